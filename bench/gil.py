"""What Python in the same process can do to the callback: nothing.

A JACK server with its dummy driver clocks 16 channels of 64 frames at 48 kHz. In one process with a busy Python
thread, a thread that collects garbage, and one that holds the GIL for 300 ms at a time, three callbacks run one after
the other, several rounds: rtsep's chain, a compiled callback that does nothing, and a Python callback that does
nothing. Counted: the calls of each. Needs jackd.

    python bench/gil.py [--seconds 10] [--rounds 2] [--json FILE]
"""

from __future__ import annotations

import argparse
import ctypes
import gc
import json
import os
import subprocess
import sys
import threading
import time
from typing import Any

import numpy as np

CHANNELS, BLOCK, RATE = 16, 64, 48000
PRESET = """
schema = 1
name = "gil"
latency_class = "foh"
[[chain]]
stage = "input"
[[chain]]
stage = "canceller"
taps = 2048
[[chain]]
stage = "spectral"
"""


def disturb(stop: threading.Event) -> list[threading.Thread]:
    """Start the three enemies of a Python callback."""
    def busy() -> None:
        count = 0
        while not stop.is_set():
            count += 1

    def collect() -> None:
        while not stop.is_set():
            cycle: list[Any] = [[n] for n in range(100_000)]
            cycle.append(cycle)
            gc.collect()

    def hold() -> None:
        usleep = ctypes.PyDLL(None).usleep   # called without releasing the GIL
        while not stop.is_set():
            usleep(300_000)
            time.sleep(0.05)

    threads = [threading.Thread(target=f, daemon=True) for f in (busy, collect, hold)]
    for thread in threads:
        thread.start()
    return threads


def worker(seconds: float, rounds: int) -> list[dict[str, Any]]:
    """Run in the process with the disturbance; JACK is there already."""
    import sounddevice as sd

    from rtsep import presets
    from rtsep.chain import Chain
    from rtsep.engine import Engine
    from rtsep.runner import Runner
    from rtsep.stage import Format
    from rtsep.stages.mix import Input
    from rtsep_kernels.plane import grid

    engine = Engine(presets.loads(PRESET, "gil"))
    engine.prepare(Format(RATE, CHANNELS))
    empty = Chain([Input("input")])
    empty.prepare(Format(RATE, CHANNELS))
    device = next(i for i, d in enumerate(sd.query_devices()) if d["name"].startswith("system"))
    pins = np.arange(CHANNELS, dtype=np.int32)

    def stream(callback: Any, runner: Runner) -> Any:
        for name in ("inputs", "outputs"):
            runner.record.put(name, pins)
        runner.record["device_inputs"] = runner.record["device_outputs"] = CHANNELS
        runner.record["fade"] = runner.record["fade_target"] = 1
        return sd._StreamBase(
            "duplex", samplerate=RATE, blocksize=BLOCK, device=(device, device), channels=(CHANNELS, CHANNELS),
            dtype="float32", latency="low", clip_off=True, dither_off=True,
            callback=sd._ffi.cast("PaStreamCallback *", callback), userdata=sd._ffi.cast("void *", runner.address),
        )

    results = []
    engine.go_live()
    stop = threading.Event()
    threads = disturb(stop)
    for _ in range(rounds):
        for kind in ("rtsep", "nothing", "python"):
            runner = Runner(engine if kind == "rtsep" else empty)
            calls = [0]
            if kind == "python":
                def count(*_: Any) -> None:
                    calls[0] += 1   # noqa: B023  (each stream is closed before the next)
                opened = sd.RawStream(
                    samplerate=RATE, blocksize=BLOCK, device=(device, device), channels=(CHANNELS, CHANNELS),
                    dtype="float32", latency="low", callback=count,
                )
            else:
                entry = grid.run_interleaved if kind == "rtsep" else grid.run_nothing
                opened = stream(entry.address, runner)
            opened.start()
            time.sleep(1)
            first = calls[0] if kind == "python" else runner.record["calls"]
            begun = time.perf_counter()
            time.sleep(seconds)
            last = calls[0] if kind == "python" else runner.record["calls"]
            wall = time.perf_counter() - begun
            opened.close()
            row = {"kind": kind, "calls": last - first, "of_clock": (last - first) / (wall * RATE / BLOCK)}
            if kind != "python":
                row["xruns"] = runner.record["xruns"]
                times = runner.microseconds()
                row.update({f"p{q}": float(np.percentile(times, q)) for q in (50, 99, 99.9)})
            results.append(row)
    stop.set()
    for thread in threads:
        thread.join(2)
    engine.close()
    late = engine.status()
    for row in results:
        if row["kind"] == "rtsep":
            row["late_updates"], row["updates"] = late["late_updates"], late["updates"]
    return results


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=10.0)
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--json")
    parser.add_argument("--worker", action="store_true", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.worker:
        # JACK's library talks on stdout: the result goes last, on a line of its own.
        print(json.dumps(worker(args.seconds, args.rounds)))
        return
    from rtsep.bench.jackd import JackServer

    server = JackServer(BLOCK, RATE, CHANNELS, realtime=True)
    try:
        if not server.ready():
            parser.error("jackd does not start with real-time threads")
        done = subprocess.run(
            [sys.executable, __file__, "--worker", "--seconds", str(args.seconds), "--rounds", str(args.rounds)],
            env={**server.environment, "PYTHONPATH": os.environ.get("PYTHONPATH", "")}, capture_output=True, text=True,
            check=True,
        )
    finally:
        server.close()
    rows = json.loads(done.stdout.strip().splitlines()[-1])
    print(f"{'callback':<10} {'calls':>8} {'of the clock':>13} {'p50':>6} {'p99':>6} {'p99.9':>7}  xruns")
    for row in rows:
        times = [f"{row[q]:.0f}" if q in row else "-" for q in ("p50", "p99", "p99.9")]
        print(f"{row['kind']:<10} {row['calls']:>8} {row['of_clock']:>12.1%} {times[0]:>6} {times[1]:>6} {times[2]:>7}"
              f"  {row.get('xruns', '-')}")
    # Shares of the clock, not counts: under this load a sleep of 10 s may last 10.3.
    total = {kind: sum(r["of_clock"] for r in rows if r["kind"] == kind) for kind in ("rtsep", "nothing", "python")}
    print(f"rtsep / nothing: {total['rtsep'] / total['nothing']:.1%}   python / nothing: "
          f"{total['python'] / total['nothing']:.1%}   late updates {rows[0]['late_updates']} of {rows[0]['updates']}")
    if args.json:
        with open(args.json, "w", encoding="utf-8") as file:
            json.dump(rows, file, indent=2)


if __name__ == "__main__":
    main()
