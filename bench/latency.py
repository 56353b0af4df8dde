"""Declared against measured latency of every preset, to the sample, while bleed is really being removed.

Three mics of noise that bleed into each other. Through the engine: the lag between a mic's own sound and what comes
out. Through JACK: a client plays the same into `rtsep run` and records what comes back; a run of a chain without
latency tells the device's own part. Beside each lag stands what the mic gained in SI-SDR at the time.

    python bench/latency.py [--no-jack] [--json FILE]
"""

from __future__ import annotations

import argparse
import contextlib
import json
import pathlib
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from typing import Any

import numpy as np

from rtsep import metrics, presets
from rtsep.demo import delay
from rtsep.runner import process
from rtsep.session import Session
from rtsep.stage import Block

RATE, MICS, SECONDS, PERIOD = 48000, 3, 12, 256
EMPTY = 'schema = 1\nname = "empty"\nlatency_class = "live"\n[[chain]]\nstage = "input"\n'


def concert() -> tuple[Block, Block]:
    """Make what the mics hear, and each one's own sound."""
    rng = np.random.default_rng(0)
    frames = SECONDS * RATE
    playing = (rng.random((MICS, frames // 9600 + 1)) > 0.3).repeat(9600, 1)[:, :frames]
    own = 0.05 * rng.standard_normal((MICS, frames)) * playing
    mics = own + 0.001 * rng.standard_normal((MICS, frames))
    for i in range(MICS):
        for j in range(MICS):
            if i != j:
                mics[i, 90 + 10 * j :] += 0.4 * own[j, : -90 - 10 * j]
    return mics.astype(np.float32), own.astype(np.float32)


def judge(own: Block, mics: Block, heard: Block) -> tuple[list[int], list[float]]:
    """Return each mic's lag in samples, and its gain in SI-SDR over the second half at that lag."""
    lags = [delay(own[i], heard[i]) for i in range(MICS)]
    gains = []
    for i, lag in enumerate(lags):
        last = min(own.shape[1], heard.shape[1] - lag)
        half = slice(own.shape[1] // 2, last)
        after = heard[i, half.start + lag : last + lag]
        gains.append(float(metrics.si_sdr(own[i, half], after) - metrics.si_sdr(own[i, half], mics[i, half])))
    return lags, gains


def through_engine(name: str) -> dict[str, Any]:
    mics, own = concert()
    engine = Session.open(name, RATE, ("a", "b", "c")).engine
    heard = process(engine, np.pad(mics, ((0, 0), (0, engine.latency))), 64)
    lags, gains = judge(own, mics, heard)
    return {"declared": engine.latency, "engine_lags": lags, "engine_gains_db": gains}


def client(server: str, folder: pathlib.Path) -> None:
    """Be the JACK client: play on "go", record all the while, store the record."""
    import jack

    me = jack.Client("loop", servername=server, no_start_server=True)
    signal = np.load(folder / "mics.npy")
    sends = [me.outports.register(f"send{c}") for c in range(MICS)]
    returns = [me.inports.register(f"return{c}") for c in range(MICS)]
    heard = np.zeros((MICS, signal.shape[1] + 2 * RATE), np.float32)
    place = [-1]
    lost = [0]

    @me.set_process_callback
    def _process(frames: int) -> None:
        at = place[0]
        for c in range(MICS):
            out = sends[c].get_array()
            if 0 <= at < heard.shape[1]:
                piece = signal[c, at : at + frames]
                out[: piece.size] = piece
                out[piece.size :] = 0
                heard[c, at : at + frames] = returns[c].get_array()[: heard.shape[1] - at]
            else:
                out[:] = 0
        if at >= 0:
            place[0] = at + frames

    @me.set_xrun_callback
    def _xrun(_delay: float) -> None:
        lost[0] += int(place[0] >= 0)

    with me:
        print("ready", flush=True)
        sys.stdin.readline()
        place[0] = 0
        while place[0] < heard.shape[1]:
            time.sleep(0.05)
    np.save(folder / "heard.npy", heard)
    print(lost[0], flush=True)


@contextlib.contextmanager
def running(environment: dict[str, str], preset: str) -> Iterator[subprocess.Popen[str]]:
    """Start `rtsep run` between the client's ports, and wait until it sounds."""
    command = [sys.executable, "-m", "rtsep", "run", "--preset", preset, "-i", "loop", "-o", "loop", "-b", str(PERIOD),
               "--no-view", "--json"]
    run = subprocess.Popen(command, env=environment, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                           stderr=subprocess.PIPE, text=True)
    try:
        assert run.stderr is not None
        for line in run.stderr:
            if "latency" in line:
                break
        time.sleep(1.5)   # the soft start is over
        yield run
    finally:
        run.send_signal(2)
        with contextlib.suppress(subprocess.TimeoutExpired):
            run.communicate(timeout=20)
        run.kill()


def through_jack(name: str, server: Any) -> dict[str, Any]:
    """Return lags and gains through a JACK server; tries again when JACK lost a period in between."""
    mics, own = concert()
    for _ in range(3):
        with tempfile.TemporaryDirectory() as temporary:
            folder = pathlib.Path(temporary)
            np.save(folder / "mics.npy", mics)
            (folder / "empty.toml").write_text(EMPTY)
            loop = subprocess.Popen([sys.executable, __file__, "--client", server.name, temporary],
                                    env=server.environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
            try:
                assert loop.stdout is not None
                loop.stdout.readline()
                preset = str(folder / "empty.toml") if name == "empty" else name
                with running(server.environment, preset):
                    said, _ = loop.communicate("go\n", timeout=60)
                heard = np.load(folder / "heard.npy")
            finally:
                loop.kill()
        lags, gains = judge(own, mics, heard)
        xruns = int(said.split()[-1])
        # JACK also counts what other clients lose, at start and end: the lags decide.
        if len(set(lags)) == 1:
            break
    return {"lags": lags, "gains_db": gains, "xruns": xruns}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--no-jack", action="store_true")
    parser.add_argument("--json")
    parser.add_argument("--client", nargs=2, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.client:
        client(args.client[0], pathlib.Path(args.client[1]))
        return
    rows = {name: through_engine(name) for name in presets.names()}
    if not args.no_jack:
        from rtsep.bench.jackd import JackServer

        server = JackServer(PERIOD, RATE, 2, realtime=True)
        try:
            if not server.ready():
                parser.error("jackd does not start")
            device = through_jack("empty", server)
            print(f"device's own loop: {device['lags']} samples (JACK period {PERIOD}), xruns {device['xruns']}",
                  flush=True)
            for name, row in rows.items():
                row["jack"] = through_jack(name, server)
                row["jack_lags"] = [lag - device["lags"][0] for lag in row["jack"]["lags"]]
                print(f"{name}: through JACK {row['jack']}", flush=True)
        finally:
            server.close()
    print(f"{'preset':<10} declared   engine (gain dB)                        JACK less device (gain dB)")
    for name, row in rows.items():
        def show(lags: list[int], gains: list[float]) -> str:
            return " ".join(f"{lag} ({gain:+.1f})" for lag, gain in zip(lags, gains, strict=True))
        jack = show(row["jack_lags"], row["jack"]["gains_db"]) if "jack" in row else "-"
        print(f"{name:<10} {row['declared']:>8}   {show(row['engine_lags'], row['engine_gains_db']):<40}{jack}")
    if args.json:
        with open(args.json, "w", encoding="utf-8") as file:
            json.dump(rows, file, indent=2)


if __name__ == "__main__":
    main()
