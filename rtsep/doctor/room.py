"""Room: does a preset with so many mics fit into this machine, and how many would."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING

import numpy as np

from rtsep import realtime
from rtsep.doctor.finding import BAD, GOOD, WARN, Finding
from rtsep.presets import Preset

if TYPE_CHECKING:
    from rtsep.runner import Runner

_SECONDS = 3.0       # of sound that are played for it
_SETTLE = 0.5        # of them, at the start, that do not count
_ROOM = 0.7          # share of the deadline from which on a machine that does anything else is late


def room(preset: Preset, rate: int, block: int, mics: int) -> list[Finding]:
    """Play noise through a preset as fast as it goes, and compare its time with that of the sound.

    Parameters
    ----------
    preset : Preset
    rate : int
        Hz.
    block : int
        Frames.
    mics : int
    """
    from rtsep.names import numbered
    from rtsep.session import Session

    began = time.monotonic()
    with Session.open(preset, rate, numbered(mics)) as session:
        latency, runner = session.engine.latency, session.start()
        session.engine.go_live()
        started = time.monotonic() - began
        times, cpu = _play(runner, rate, block, mics)
    deadline = block / rate
    p50, p99 = (float(np.percentile(times, q)) / deadline for q in (50, 99))
    text = (
        f"{mics} mics, blocks of {block}: callback p50 {100 * p50:.0f} %, p99 {100 * p99:.0f} % of the deadline, "
        f"{cpu:.2f} cores in all; latency {latency} samples ({1000 * latency / rate:.1f} ms); ready in {started:.1f} s"
    )
    advice = "fewer mics, longer blocks (--blocksize), or a preset that does less"
    if p99 > 1:
        return [Finding("room", BAD, text, advice)]
    return [Finding("room", WARN, text, advice) if p99 > _ROOM else Finding("room", GOOD, text)]


def _play(runner: Runner, rate: int, block: int, mics: int) -> tuple[list[float], float]:
    """Return the seconds that each block took, and how many cores were busy, at the pace of the sound."""
    found: list[tuple[list[float], float]] = []
    thread = threading.Thread(target=lambda: found.append(_paced(runner, rate, block, mics)))   # urgent, then gone
    thread.start()
    thread.join()
    return found[0]


def _paced(runner: Runner, rate: int, block: int, mics: int) -> tuple[list[float], float]:
    realtime.ask(realtime.AUDIO)
    noise = (0.05 * np.random.default_rng(0).standard_normal((mics, block))).astype(np.float32)
    out = np.empty_like(noise)
    times: list[float] = []
    began, cpu, due = time.monotonic(), time.process_time(), time.monotonic()
    count, settle = round(_SECONDS * rate / block), round(_SETTLE * rate / block)
    for n in range(count):
        at = time.monotonic()
        runner.process(noise, out)
        if n >= settle:
            times.append(time.monotonic() - at)
        due += block / rate
        time.sleep(max(0.0, due - time.monotonic()))
    return times, (time.process_time() - cpu) / (time.monotonic() - began)
