"""Judging: what was heard of one fault in a long recording, mic by mic, whatever else happened before and after."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from rtsep.bench.faults import hearing
from rtsep.bench.faults.hearing import SILENT, Event, Heard, runs

LEVEL_SECONDS = 0.01   # that a level is measured over
OFF_DB = 6.0           # beside its usual level a mic is off: dry where its strip turns it down by more, or faded
NOTICED = 0.02         # seconds: what is shorter is heard as a click, and does not put off when sound is back
NO_DEVICE = 0.5        # seconds without a call of the ears, at the end, after which there is no device any more
Levels = NDArray[np.float64]


@dataclass(frozen=True)
class Window:
    """What was heard between two times, at its worst ear.

    Parameters
    ----------
    silence, repeat, off, deaf : float
        The longest of each, seconds: nothing heard, a block again, beside the usual level, ears that were not called.
    peak_db : float
        Of all ears, dBFS.
    not_finite : int
        Samples.
    last : float or None
        When the last of what is noticed ended, seconds of `time.monotonic`; None: nothing was.
    """

    silence: float
    repeat: float
    off: float
    deaf: float
    peak_db: float
    not_finite: int
    last: float | None


def cut(tape: Heard, since: float, until: float) -> Heard:
    """Return the part of a tape between two times; its arrays are views."""
    first, last = int(np.searchsorted(tape.stamps, since)), int(np.searchsorted(tape.stamps, until))
    sound = tape.sound[:, first * tape.period : last * tape.period]
    return Heard(sound, tape.stamps[first:last], tape.period, tape.rate)


def levels(tape: Heard) -> Levels:
    """Return the level of each ear, dBFS, float64[ears, windows]; what is silent is as low as silence may be."""
    frames = round(LEVEL_SECONDS * tape.rate)
    count = tape.sound.shape[1] // frames
    sound = tape.sound[:, : count * frames].astype(np.float64)
    with np.errstate(invalid="ignore", over="ignore"):
        power = np.nan_to_num(sound**2, nan=1e60, posinf=1e60).reshape(len(sound), count, frames).mean(2)
    return np.asarray(10 * np.log10(np.maximum(power, SILENT**2)))


def usual(tapes: Sequence[Heard], since: float, until: float) -> Levels | None:
    """Return the usual level of each ear, dBFS, float64[ears]: the middle one of some time; None if nothing was heard.

    Parameters
    ----------
    tapes : sequence of Heard
        The last one counts.
    since, until : float
        Seconds of `time.monotonic`.
    """
    found = levels(cut(tapes[-1], since, until))
    return np.asarray(np.median(found, axis=1)) if found.shape[1] else None


def off(tape: Heard, normal: Levels, ears: Sequence[int]) -> list[Event]:
    """Return when an ear was beside its usual level, and not silent.

    Parameters
    ----------
    tape : Heard
    normal : float64[ears]
        Of `usual`.
    ears : sequence of int
    """
    frames, heard = round(LEVEL_SECONDS * tape.rate), levels(tape)
    found = []
    for ear in ears:
        wrong = (np.abs(heard[ear] - normal[ear]) > OFF_DB) & (heard[ear] > 20 * np.log10(SILENT))
        found += [
            Event("off", tape.when(a * frames), tape.when(b * frames - 1) + 1 / tape.rate) for a, b in runs(wrong, 1)
        ]
    return found


def events(
    tapes: Sequence[Heard], since: float, until: float, normal: Levels | None, ears: Sequence[int]
) -> list[Event]:
    """Return all but usual sound that any of some ears heard between two times.

    Parameters
    ----------
    tapes : sequence of Heard
        Lives of the device, in order; between two there is silence.
    since, until : float
        Seconds of `time.monotonic`.
    normal : float64[ears] or None
        Of `usual`; None: levels are not looked at.
    ears : sequence of int
    """
    found: list[Event] = []
    end = since
    for tape in tapes:
        if not len(tape.stamps) or tape.stamps[0] > until or tape.stamps[-1] < since:
            continue
        if tape.when(0) > end:
            found.append(Event("silence", end, tape.when(0)))
        part = cut(tape, since, until)
        if not len(part.stamps):
            continue
        there = [ear for ear in ears if ear < len(part.sound)]
        for ear in there:   # each by itself: one that is silent is hidden by the others
            found += hearing.silences(part, 0, [ear])
        found += hearing.repeats(Heard(part.sound[there], part.stamps, part.period, part.rate), 0)
        found += hearing.deafness(part, since)
        if normal is not None:
            found += off(part, normal, there)
        end = part.when(part.sound.shape[1])
    last = max((float(tape.stamps[-1]) + LEVEL_SECONDS for tape in tapes if len(tape.stamps)), default=since)
    if until - max(last, since) > NO_DEVICE:
        found.append(Event("silence", max(last, since), until))
    return found


def judge(tapes: Sequence[Heard], since: float, until: float, normal: Levels | None, ears: Sequence[int]) -> Window:
    """Say what was heard between two times; see `events` for what it is given. Peaks count at all ears."""
    found = events(tapes, since, until, normal, ears)
    peak, wrong = 1e-10, 0
    for tape in tapes:
        part = cut(tape, since, until).sound
        finite = np.isfinite(part)
        wrong += int(part.size - np.count_nonzero(finite))
        peak = max(peak, float(np.abs(part[finite]).max(initial=0.0)))
    silence, repeat, level, deaf = (hearing.longest(found, kind) for kind in ("silence", "repeat", "off", "deaf"))
    noticed = [event.end for event in found if event.kind != "deaf" and event.seconds > NOTICED]
    return Window(silence, repeat, level, deaf, float(20 * np.log10(peak)), wrong, max(noticed, default=None))
