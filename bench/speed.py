"""Cost and timing of the data plane at 64 frames, 48 kHz, paced by a clock as a sound card would.

For each case: CPU seconds of all threads of the process but the twin's (the callback, the helper's adaptation, the
clock's own wake-ups) divided by seconds of audio, and the callback's time beside a twin that does nothing, on a clock
of its own in the same run. Prints a table, and the law in channels: cost = a + b k + c k^2.

    python bench/speed.py [--seconds 20] [--json FILE]
"""

from __future__ import annotations

import argparse
import json
import threading
import time
from typing import Any

import numpy as np

from rtsep.chain import Chain
from rtsep.runner import Runner
from rtsep.stage import Block, Format, Stage
from rtsep.stages.canceller import Canceller
from rtsep.stages.mix import Input
from rtsep.stages.spectral import Spectral
from rtsep.stages.unmix import Matrix

RATE, BLOCK = 48000, 64
WARM_SECONDS = 2


def matrix(k: int) -> Matrix:
    """Make a matrix without zeros: none of its products can be left out."""
    mixing = np.full((k, k), 0.5 / k)
    np.fill_diagonal(mixing, 1)
    return Matrix("matrix", mixing.tolist())


CASES = {
    "8 matrix + spectral": (8, lambda: [matrix(8), Spectral("spectral", 1024, 512, 128)]),
    "16 matrix + spectral": (16, lambda: [matrix(16), Spectral("spectral", 1024, 512, 128)]),
    "32 matrix + spectral": (32, lambda: [matrix(32), Spectral("spectral", 1024, 512, 128)]),
    "4 canceller": (4, lambda: [Canceller("canceller")]),
    "8 canceller": (8, lambda: [Canceller("canceller")]),
    "16 canceller": (16, lambda: [Canceller("canceller")]),
    "32 canceller": (32, lambda: [Canceller("canceller")]),   # 240 of 992 pairs
    "8 matrix + canceller + spectral": (
        8, lambda: [matrix(8), Canceller("canceller"), Spectral("spectral", 1024, 512, 128)]
    ),
}


def sound(k: int, seconds: float) -> Block:
    """Make sources that bleed, so that the canceller has something to do."""
    rng = np.random.default_rng(0)
    sources = 0.05 * rng.standard_normal((k, int(seconds * RATE))).astype(np.float32)
    return sources + 0.1 * np.roll(sources.sum(axis=0), 40)[None]


def measure(k: int, stages: list[Stage], seconds: float) -> dict[str, Any]:
    """Run one case beside its twin."""
    chain, twin = Chain(stages), Chain([Input("input")])
    chain.prepare(Format(RATE, k))
    twin.prepare(Format(RATE, 1))
    x = sound(k, seconds + WARM_SECONDS)
    quiet = np.zeros((1, x.shape[1]), np.float32)
    runner, nothing = Runner(chain), Runner(twin)
    out, out_quiet = np.zeros_like(x), np.zeros_like(quiet)
    chain.go_live()
    threads = [
        threading.Thread(target=r.run_paced, args=(a, b, BLOCK, np.zeros(1, np.int64)))
        for r, a, b in ((runner, x, out), (nothing, quiet, out_quiet))
    ]
    for thread in threads:
        thread.start()
    time.sleep(WARM_SECONDS)
    # The twin is the measurement's, not rtsep's: its thread's own time is taken out.
    twin_clock = time.pthread_getcpuclockid(threads[1].ident or 0)
    cpu, twin_cpu, wall = time.process_time(), time.clock_gettime(twin_clock), time.perf_counter()
    runner.forget_times()
    nothing.forget_times()
    time.sleep(seconds - 0.5)
    cpu, twin_cpu = time.process_time() - cpu, time.clock_gettime(twin_clock) - twin_cpu
    wall = time.perf_counter() - wall
    for thread in threads:
        thread.join()
    chain.close()
    us, twin_us = runner.microseconds(), nothing.microseconds()
    return {
        "channels": k, "cpu_per_audio": (cpu - twin_cpu) / wall,
        **{f"p{q}": float(np.percentile(us, q)) for q in (50, 99, 99.9)},
        "max": float(us.max()), **{f"twin_p{q}": float(np.percentile(twin_us, q)) for q in (50, 99, 99.9)},
        # Median by place in the hop and the partition: the work's own unevenness, without the machine's stalls.
        "peak_over_p50": float(max(np.median(us[n::16]) for n in range(16)) / np.median(us)),
        "late_blocks": runner.record["late"], "twin_late_blocks": nothing.record["late"],
        **chain.status(),
    }


def law(points: dict[int, float]) -> list[float]:
    """Fit cost = a + b k + c k^2 through three points."""
    k = np.array(list(points), float)
    return [float(v) for v in np.linalg.solve(np.vander(k, 3, increasing=True), np.array(list(points.values())))]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=20.0)
    parser.add_argument("--json")
    args = parser.parse_args()
    deadline = BLOCK / RATE * 1e6
    print(
        f"{'case':<32} cpu/audio   p50    p99  p99.9    max | twin p50  p99  p99.9 |"
        " peak/p50  late (twin)  late updates"
    )
    results = {}
    for name, (k, stages) in CASES.items():
        r = results[name] = measure(k, stages(), args.seconds)
        print(
            f"{name:<32} {r['cpu_per_audio']:9.3f} {r['p50']:5.0f} {r['p99']:6.0f} {r['p99.9']:6.0f} {r['max']:6.0f} |"
            f" {r['twin_p50']:7.0f} {r['twin_p99']:5.0f} {r['twin_p99.9']:6.0f} | {r['peak_over_p50']:8.2f}"
            f"  {r['late_blocks']} ({r['twin_late_blocks']})  {r.get('late_updates', 0)}", flush=True,
        )
    spectral = {k: results[f"{k} matrix + spectral"]["p50"] for k in (8, 16, 32)}
    a, b, c = law(spectral)
    print(f"matrix + spectral, p50 of the callback in channels: {a:.1f} + {b:.2f} k + {c:.4f} k² µs of {deadline:.0f}")
    if args.json:
        with open(args.json, "w", encoding="utf-8") as file:
            json.dump(results, file, indent=2)


if __name__ == "__main__":
    main()
