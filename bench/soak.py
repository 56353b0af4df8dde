"""Does memory stay flat: `rtsep run` through JACK for minutes, resident memory of all its processes.

Prints the slope of a line through the samples after a warm-up, in MB over the whole run, and the run's counters.

    python bench/soak.py [--seconds 600] [--mics 8] [--preset foh] [--json FILE]
"""

from __future__ import annotations

import argparse
import json
import pathlib
import signal
import subprocess
import sys
import time

import numpy as np

WARM_SECONDS = 30


def family(pid: int) -> list[int]:
    """Return a process and its descendants."""
    found = [pid]
    for child in pathlib.Path(f"/proc/{pid}/task/{pid}/children").read_text().split():
        found += family(int(child))
    return found


def resident_mb(pid: int) -> float:
    """Return the resident memory of a process and its descendants."""
    pages = 0
    for one in family(pid):
        pages += int(pathlib.Path(f"/proc/{one}/statm").read_text().split()[1])
    return pages * 4096 / 1e6


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=600)
    parser.add_argument("--mics", type=int, default=8)
    parser.add_argument("--preset", default="foh")
    parser.add_argument("--json")
    args = parser.parse_args()
    from rtsep.bench.jackd import JackServer

    server = JackServer(64, 48000, args.mics)
    try:
        if not server.ready():
            parser.error("jackd does not start")
        with server.player(args.mics) as player:
            run = subprocess.Popen(
                [sys.executable, "-m", "rtsep", "run", "--preset", args.preset, "-i", player, "-o", "system",
                 "--no-view", "--json"],
                env=server.environment, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
                text=True,
            )
            samples = []
            begun = time.monotonic()
            while time.monotonic() - begun < args.seconds + WARM_SECONDS and run.poll() is None:
                time.sleep(2)
                samples.append((time.monotonic() - begun, resident_mb(run.pid)))
            run.send_signal(signal.SIGINT)
            summary = json.loads(run.communicate(timeout=30)[0])
    finally:
        server.close()
    times, memory = np.array([s for s in samples if s[0] > WARM_SECONDS]).T
    slope = float(np.polyfit(times, memory, 1)[0]) * float(times[-1] - times[0])
    print(f"resident {memory[0]:.1f} MB at {times[0]:.0f} s, {memory[-1]:.1f} MB at {times[-1]:.0f} s, "
          f"slope {slope:+.2f} MB over the run")
    shown = ("calls", "xruns", "late_updates", "late_blocks", "unstable", "faults", "load", "block_us")
    print({key: summary[key] for key in shown if key in summary})
    if args.json:
        with open(args.json, "w", encoding="utf-8") as file:
            json.dump({"samples": samples, "slope_mb": slope, "summary": summary}, file)


if __name__ == "__main__":
    main()
