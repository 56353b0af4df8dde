"""Measure a chain of one's own before a show: its latency, from a click, and the time that its blocks take."""

from __future__ import annotations

import sys

import numpy as np

import rtsep

preset = sys.argv[1] if len(sys.argv) > 1 else "monitor"
rate, mics, block = 48000, 8, 64
rng = np.random.default_rng(1)
noise = (0.05 * rng.standard_normal((mics, 2 * rate))).astype(np.float32)

with rtsep.Stream(preset, rate, mics) as stream:
    click = np.zeros((mics, rate // 2), np.float32)
    click[0, 1000] = 0.5
    found = int(np.abs(stream.process(click)[0]).argmax()) - 1000
    print(f"{preset}: declared {stream.latency} frames, measured {found}")
    for first in range(0, noise.shape[1], block):
        stream.process(noise[:, first : first + block])
    times = np.sort(stream.microseconds())

p50, p99 = times[len(times) // 2], times[int(0.99 * len(times))]
print(f"{mics} mics, blocks of {block}: p50 {p50:.0f} µs, p99 {p99:.0f} µs of {1e6 * block / rate:.0f} µs")
