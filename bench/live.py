"""Live is offline: `rtsep run` through a JACK server against `rtsep render` of the input it has recorded.

For every preset and several periods: the same float32 samples, when the printed counters say that nothing was late
(up to five tries). At last a run whose helper thread is starved on purpose, which must differ and say so; that needs
the right to real-time priorities.

    python bench/live.py [--presets live,foh] [--periods 64,512] [--seconds 6] [--sound FILE] [--json FILE]
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import pathlib
import subprocess
import sys
import tempfile
import time
from typing import Any

import numpy as np
import soundfile

MICS = 4


def live(
    server: Any, preset: str, period: int, seconds: float, folder: pathlib.Path, mics: int, sound: str
) -> dict[str, Any]:
    """Run live and render what was recorded; return counters, how many samples differ, and levels of both."""
    with server.player(mics, sound) as player:
        run = subprocess.run(
            [sys.executable, "-m", "rtsep", "run", "--preset", preset, "-i", player, "-o", "system", "-b", str(period),
             "--record", str(folder / "tape"), "--seconds", str(seconds), "--no-view", "--json"],
            env=server.environment, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=True,
        )
    summary = json.loads(run.stdout)
    subprocess.run(
        [sys.executable, "-m", "rtsep", "render", str(folder / "tape" / "in.wav"), "-o", str(folder / "offline.wav"),
         "--preset", preset, "-b", "480", "--no-compensate"], check=True, capture_output=True,
    )
    heard = soundfile.read(folder / "tape" / "out.wav", dtype="float32", always_2d=True)[0]
    offline = soundfile.read(folder / "offline.wav", dtype="float32", always_2d=True)[0]
    given = soundfile.read(folder / "tape" / "in.wav", dtype="float32", always_2d=True)[0]
    return {
        "levels_db": [[round(float(db), 2) for db in level(x)] for x in (heard, offline)],
        "frames": len(heard), "different": int(np.sum(heard != offline)), "processed": int(np.sum(heard != given)),
        **{key: summary[key] for key in ("xruns", "late_updates", "lost_frames", "updates", "block") if key in summary},
    }


def level(x: np.ndarray) -> np.ndarray:
    """Return the level of each channel from a second on, dBFS."""
    return np.asarray(10 * np.log10(np.mean(x[48000:].astype(float) ** 2, axis=0) + 1e-12))


def starve(stop: Any) -> None:
    """Take a core from the helper thread, not from JACK's: bursts at a priority between theirs."""
    os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(2))
    while not stop.is_set():
        until = time.perf_counter() + 0.08
        while time.perf_counter() < until:
            pass
        time.sleep(0.4)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--presets", default="live,monitor,foh,record")
    parser.add_argument("--periods", default="64,512")
    parser.add_argument("--seconds", type=float, default=6)
    parser.add_argument("--sound", default="", help="a file at 48 kHz to be played instead of noise: mutes, pairs …")
    parser.add_argument("--json")
    args = parser.parse_args()
    from rtsep.bench.jackd import JackServer

    mics = soundfile.info(args.sound).channels if args.sound else MICS
    rows = []
    print(f"{'preset':<10} period  tries   frames  different  changed by rtsep  xruns  late updates")
    cases = [(preset, int(period), False) for period in args.periods.split(",") for preset in args.presets.split(",")]
    cases.append((args.presets.split(",")[0], 64, True))
    for preset, period, starved in cases:
        for tries in range(1, 6):   # noqa: B007  (how many it took is part of the result)
            server = JackServer(period, 48000, mics, realtime=True)
            stop = multiprocessing.Event()
            hogs = [multiprocessing.Process(target=starve, args=(stop,)) for _ in range(os.cpu_count() or 1)]
            try:
                if not server.ready():
                    parser.error("jackd does not start with real-time threads")
                for hog in hogs if starved else []:
                    hog.start()
                with tempfile.TemporaryDirectory() as folder:
                    row = live(server, preset, period, args.seconds, pathlib.Path(folder), mics, args.sound)
            finally:
                stop.set()
                for hog in hogs if starved else []:
                    hog.join()
                server.close()
            good = row["late_updates"] > 0 if starved else row["late_updates"] + row["xruns"] + row["lost_frames"] == 0
            if good:
                break
        row.update(preset=preset, period=period, tries=tries, starved=starved)
        rows.append(row)
        print(
            f"{preset:<10} {period:>6} {tries:>6} {row['frames']:>8} {row['different']:>10} {row['processed']:>17}"
            f" {row['xruns']:>6} {row['late_updates']:>13}{'   (helper starved on purpose)' if starved else ''}",
            flush=True,
        )
        for name, levels in zip(("live", "render"), row["levels_db"], strict=True):
            print(f"{'':10} {name:6} dBFS  {'  '.join(f'{db:7.2f}' for db in levels)}", flush=True)
    if args.json:
        with open(args.json, "w", encoding="utf-8") as file:
            json.dump(rows, file, indent=2)


if __name__ == "__main__":
    main()
