"""Plug-in chains in other processes: what each isolation costs, against the same chains in one Python process.

    python bench/plugins.py [--mics 32] [--plugins 5] [--block 64] [--delay 128] [--seconds 15] [--json FILE]
    python bench/plugins.py --most [--late 0.01]

A JACK server with its dummy driver (real-time threads where they are granted) clocks `rtsep run` with a `strips` stage:
a high-pass, an EQ, a compressor, a gate and a gain for each mic. Printed for each isolation: CPU of all its processes
÷ audio, the callback's p50, p99 and p99.9, and the share of a mic's units that were late, for which it was dry. Beside
it, paced by a clock in one Python process: the same chains one after the other (`one process`), and the bare sum of
the times of `process` (`bare`), with nothing around them.

`--most` looks for the largest number of mics with at most `--late` of all units late. Needs jackd.
"""

from __future__ import annotations

import argparse
import json
import os
import pathlib
import signal
import subprocess
import sys
import tempfile
import time
from typing import Any

import numpy as np

from rtsep import realtime
from rtsep.bench.jackd import JackServer

RATE = 48000
PLUGINS = ("HighpassFilter", "PeakFilter", "Compressor", "NoiseGate", "Gain")
ISOLATIONS = ("chain", "group", "one")
MOST = 64        # mics that are tried
SETTLE = 4.0     # seconds that do not count
START = 120.0    # seconds that a run may take until it sounds
TICKS = os.sysconf("SC_CLK_TCK")


def chain(count: int) -> str:
    """Return the plug-ins of a mic as a preset has them."""
    names = [PLUGINS[n % len(PLUGINS)] for n in range(count)]
    return ", ".join(f'{{plugin = "{name}", name = "p{n}"}}' for n, name in enumerate(names))


def preset(folder: pathlib.Path, mics: int, plugins: int, isolation: str, block: int, delay: int) -> pathlib.Path:
    """Write a preset; groups have four mics each."""
    strips = "\n".join(
        f'[[chain.strips]]\nmic = "m{n}"\ngroup = "g{(n - 1) // 4}"\nplugins = [{chain(plugins)}]'
        for n in range(1, mics + 1)
    )
    path = folder / f"{isolation}.toml"
    path.write_text(
        f'schema = 1\nname = "plugins"\nlatency_class = "record"\n[host]\nblock = {block}\n[[chain]]\nstage = "input"\n'
        f'[[chain]]\nstage = "strips"\nisolation = "{isolation}"\ndelay = {delay}\n{strips}\n'
    )
    return path


def tree(root: int) -> list[int]:
    """Return a process and all that it has started."""
    parents: dict[int, list[int]] = {}
    for entry in pathlib.Path("/proc").iterdir():
        if entry.name.isdecimal():
            try:
                parent = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
            except (OSError, IndexError):
                continue
            parents.setdefault(parent, []).append(int(entry.name))
    found = [root]
    for pid in found:
        found += parents.get(pid, [])
    return found


def cpu(pids: list[int]) -> float:
    """Return the CPU seconds that processes have used."""
    total = 0.0
    for pid in pids:
        try:
            fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        except OSError:
            continue
        total += (int(fields[11]) + int(fields[12])) / TICKS
    return total


def live(path: pathlib.Path, mics: int, block: int, seconds: float) -> dict[str, Any]:
    """Run a preset on a JACK server and return what it has measured itself, and its CPU ÷ audio."""
    server = JackServer(block, RATE, mics, realtime=realtime.granted() or os.geteuid() == 0)
    try:
        if not server.ready():
            raise SystemExit("plugins: jackd does not start")
        with server.player(mics) as player:
            run = subprocess.Popen(
                [sys.executable, "-m", "rtsep", "run", "--preset", path, "-i", player, "-o", "system", "--no-view",
                 "--json", "-b", str(block), "--map", _map(path.parent, mics)],
                env=server.environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
            )
            assert run.stderr is not None
            said = []
            for line in run.stderr:
                said.append(line)
                if "latency" in line:
                    break
            else:
                raise SystemExit("plugins: " + "".join(said))
            time.sleep(SETTLE)
            before, at = cpu(tree(run.pid)), time.monotonic()
            processes = len(tree(run.pid))
            time.sleep(seconds)
            used = (cpu(tree(run.pid)) - before) / (time.monotonic() - at)
            run.send_signal(signal.SIGINT)
            out, err = run.communicate(timeout=60)
            summary: dict[str, Any] = json.loads(out) if out else {"error": err}
            return {**summary, "cpu": used, "processes": processes}
    finally:
        server.close()


def _map(folder: pathlib.Path, mics: int) -> str:
    path = folder / "map.csv"
    path.write_text("mic,in,out\n" + "".join(f"m{n},{n},{n}\n" for n in range(1, mics + 1)))
    return str(path)


def in_one_process(mics: int, plugins: int, block: int, seconds: float) -> dict[str, Any]:
    """Pace the same chains by a clock, in this process."""
    import pedalboard

    from rtsep.plugins.chain import PluginChain
    from rtsep.plugins.slots import SlotConfig

    names = [PLUGINS[n % len(PLUGINS)] for n in range(plugins)]
    slots = [SlotConfig(f"p{n}", name) for n, name in enumerate(names)]
    chains = [PluginChain(RATE, block, slots) for _ in range(mics)]
    values = np.array([param.default for param in chains[0].params], np.float32)
    bare = [[getattr(pedalboard, name)() for name in names] for _ in range(mics)]
    noise = (0.1 * np.random.default_rng(0).standard_normal((1, block))).astype(np.float32)
    found: dict[str, Any] = {}
    realtime.ask(realtime.AUDIO)

    def ours() -> None:
        for one in chains:
            one.work(noise, values)

    def theirs() -> None:
        for one in bare:
            x = noise
            for plugin in one:
                x = plugin.process(x, RATE, reset=False)

    for name, work in (("one process", ours), ("bare", theirs)):
        times, due = [], time.monotonic()
        used, began = time.process_time(), time.monotonic()
        while time.monotonic() - began < seconds:
            at = time.monotonic()
            work()
            times.append(time.monotonic() - at)
            due += block / RATE
            time.sleep(max(0.0, due - time.monotonic()))
        p50, p99, p999 = (1e6 * float(np.percentile(times, q)) for q in (50, 99, 99.9))
        found[name] = {
            "cpu": (time.process_time() - used) / (time.monotonic() - began), "block_us": {"p50": p50, "p99": p99,
            "p999": p999}, "late": float(np.mean(np.array(times) > block / RATE)), "processes": 1,
        }
    return found


def row(name: str, found: dict[str, Any], late: float) -> str:
    """Return a line of the table."""
    us = found["block_us"]
    return (f"{name:12}  {found['processes']:9}  {found['cpu']:5.2f}  {us['p50']:6.0f}  {us['p99']:6.0f}  "
            f"{us['p999']:6.0f}  {100 * late:6.2f} %")


def share_late(found: dict[str, Any], mics: int, unit: int = 64) -> float:
    """Return the share of all mics' units that were not on time."""
    units = found["seconds"] * RATE / unit * mics
    return float(found["late_strips"] / units) if units else 1.0


def most(args: argparse.Namespace, folder: pathlib.Path) -> None:
    """Look for the largest number of mics, isolation by isolation."""
    for isolation in ISOLATIONS:
        good, bad, count = 0, MOST + 1, 8
        while good < count < bad:
            path = preset(folder, count, args.plugins, isolation, args.block, args.delay)
            found = live(path, count, args.block, args.seconds)
            late = share_late(found, count)
            print(f"{isolation}: {count} mics: {100 * late:.2f} % late, {found['cpu']:.2f} cores", flush=True)
            holds = late <= args.late and found["late_blocks"] <= args.late * found["calls"]
            good, bad = (count, bad) if holds else (good, count)
            count = min(2 * good, MOST) if bad > MOST else (good + bad) // 2
            if bad - good <= max(1, good // 8):
                break
        print(f"{isolation}: at most {good} mics", flush=True)


def main() -> None:
    """Measure."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--mics", type=int, default=32)
    parser.add_argument("--plugins", type=int, default=5)
    parser.add_argument("--block", type=int, default=64)
    parser.add_argument("--delay", type=int, default=128)
    parser.add_argument("--seconds", type=float, default=15.0)
    parser.add_argument("--late", type=float, default=0.01)
    parser.add_argument("--most", action="store_true")
    parser.add_argument("--json")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        if args.most:
            return most(args, folder)
        print(f"{args.mics} mics, {args.plugins} plug-ins each, blocks of {args.block}, delay {args.delay}")
        print("isolation     processes    CPU     p50     p99   p99.9    late units")
        kept: dict[str, Any] = {}
        for isolation in ISOLATIONS:
            path = preset(folder, args.mics, args.plugins, isolation, args.block, args.delay)
            kept[isolation] = live(path, args.mics, args.block, args.seconds)
            if "late_strips" not in kept[isolation]:
                print(isolation, kept[isolation])
                continue
            print(row(isolation, kept[isolation], share_late(kept[isolation], args.mics)), flush=True)
        kept |= in_one_process(args.mics, args.plugins, args.block, args.seconds)
        for one in ("one process", "bare"):
            print(row(one, kept[one], kept[one]["late"]))
        if args.json:
            pathlib.Path(args.json).write_text(json.dumps(kept, indent=1))


if __name__ == "__main__":
    main()
