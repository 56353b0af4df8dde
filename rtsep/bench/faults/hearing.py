"""What was heard: silences, repeated blocks and the peak of what a player's ears kept, on the clock of the wall."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from rtsep.stage import Block

SILENT = 1e-4              # -80 dBFS
SHORTEST = 0.005           # seconds: what is shorter is no silence
TOUCHING = 0.005           # seconds of anything else between two silences that are told as one
LATE_PERIODS = 2.5         # periods without a call of the ears after which nothing was heard, whoever is to blame


@dataclass(frozen=True)
class Heard:
    """One tape.

    Parameters
    ----------
    sound : float32[ears, frames]
    stamps : float64[calls]
        When each period came, seconds of `time.monotonic`.
    period : int
        Frames.
    rate : int
        Hz.
    """

    sound: Block
    stamps: NDArray[np.float64]
    period: int
    rate: int

    def when(self, frame: int) -> float:
        """Return when a frame was there; a period's frames last until it has passed at the rate."""
        if not len(self.stamps):
            return 0.0
        call = min(frame // self.period, len(self.stamps) - 1)
        return float(self.stamps[call]) + (frame - call * self.period) / self.rate

    def after(self, time: float) -> int:
        """Return the first frame of the first period that came at `time` or later."""
        return int(np.searchsorted(self.stamps, time)) * self.period


@dataclass(frozen=True)
class Event:
    """Something that was heard: `silence`, `repeat`, or `deaf` (the ears themselves were not called)."""

    kind: str
    begin: float
    end: float

    @property
    def seconds(self) -> float:
        """How long."""
        return self.end - self.begin


def runs(flags: NDArray[np.bool_], shortest: int) -> list[tuple[int, int]]:
    """Return first and last + 1 of all runs of True that are long enough.

    Parameters
    ----------
    flags : bool[frames]
    shortest : int
        Frames.
    """
    edges = np.flatnonzero(np.diff(np.concatenate(([False], flags, [False])).astype(np.int8)))
    return [(int(a), int(b)) for a, b in zip(edges[::2], edges[1::2], strict=True) if b - a >= shortest]


def silences(tape: Heard, first: int, ears: Sequence[int]) -> list[Event]:
    """Return when none of some ears heard anything.

    Parameters
    ----------
    tape : Heard
    first : int
        Frame from which on it matters.
    ears : sequence of int
    """
    quiet = np.all(np.abs(tape.sound[list(ears), first:]) < SILENT, axis=0)
    return [
        Event("silence", tape.when(first + a), tape.when(first + b - 1) + 1 / tape.rate)
        for a, b in runs(quiet, round(SHORTEST * tape.rate))
    ]


def repeats(tape: Heard, first: int) -> list[Event]:
    """Return when an ear heard a whole block that was, bit for bit, the one before, and not silent.

    Parameters
    ----------
    tape : Heard
    first : int
        Frame from which on it matters.
    """
    found = []
    for ear in tape.sound:
        sound, lag = ear[first:], tape.period
        if len(sound) <= lag:
            continue
        for a, b in runs(sound[lag:] == sound[:-lag], lag):
            if np.abs(sound[a + lag : b + lag]).max() > SILENT:
                found.append(Event("repeat", tape.when(first + a + lag), tape.when(first + b + lag - 1)))
    return _joined(found)


def deafness(tape: Heard, since: float) -> list[Event]:
    """Return when the ears were not called, though their server lived: what a device played then is not known."""
    gaps = np.diff(tape.stamps)
    late = np.flatnonzero((gaps > LATE_PERIODS * tape.period / tape.rate) & (tape.stamps[1:] > since))
    return [Event("deaf", float(tape.stamps[i]) + tape.period / tape.rate, float(tape.stamps[i + 1])) for i in late]


def listen(tapes: Sequence[Heard], since: float, ears: Sequence[int]) -> list[Event]:
    """Return everything but sound that was heard, in order; between two tapes there is silence.

    Parameters
    ----------
    tapes : sequence of Heard
        In order of time.
    since : float
        Seconds of `time.monotonic` from which on it matters.
    ears : sequence of int
        Those that a sound is expected at.
    """
    quiet: list[Event] = []
    others: list[Event] = []
    end = None
    for tape in tapes:
        if not len(tape.stamps):
            continue
        if end is not None and tape.when(0) > since:
            quiet.append(Event("silence", max(end, since), tape.when(0)))
        first = tape.after(since)
        there = [ear for ear in ears if ear < len(tape.sound)]
        if first < tape.sound.shape[1]:
            quiet += silences(tape, first, there)
            others += repeats(tape, first)
        others += deafness(tape, since)
        end = tape.when(tape.sound.shape[1])
    return sorted([*_joined(quiet), *others], key=lambda event: event.begin)


def _joined(events: Iterable[Event]) -> list[Event]:
    joined: list[Event] = []
    for event in sorted(events, key=lambda event: event.begin):
        if joined and event.begin - joined[-1].end < TOUCHING:
            joined[-1] = Event(event.kind, joined[-1].begin, max(joined[-1].end, event.end))
        else:
            joined.append(event)
    return joined


def longest(events: Iterable[Event], kind: str) -> float:
    """Return how long the longest event of a kind was, seconds; 0 if there was none."""
    return max((event.seconds for event in events if event.kind == kind), default=0.0)


def peak_db(tapes: Sequence[Heard], since: float) -> float:
    """Return the peak of all ears from a time on, dBFS; not finite samples count as infinite."""
    most = 1e-10
    for tape in tapes:
        part = tape.sound[:, tape.after(since) :]
        if part.size:
            most = max(most, float(np.abs(part).max()) if np.isfinite(part).all() else np.inf)
    return float(20 * np.log10(most))
