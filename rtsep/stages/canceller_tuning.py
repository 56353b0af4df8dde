"""Tuning of what the canceller decides: its instantaneous mode, its guard, its choice of pairs.

Times are in seconds and frequencies in Hz; `numbers` turns them into blocks and bins of the rate, for the records of
the kernels. Of what names no origin none is written down: it stands as it was found.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any

import numpy as np

from rtsep_kernels.canceller.apply import BLOCK
from rtsep_kernels.plane.record import Table

_RATE = 48000   # Hz, at which what is kept of the past from block to block was found


@dataclass(frozen=True)
class Instant:
    """Of `rtsep_kernels.canceller.instant`."""

    slow_memory: float = 2.0            # seconds, as of the fast one
    fast_memory: float = 0.12           # seconds: eleven blocks
    score_memory: float = 1.0           # seconds: of what is said of the estimates
    advantage_kept: float = 0.9         # smooths the comparison of the estimates over a tenth of a second
    apart_kept: float = 0.7             # of the way to the newest estimate that is left
    highest: float = 15750.0            # Hz that are looked at: 336 bins, a multiple of what is summed at once
    edges: tuple[float, ...] = (0, 750, 2250, 4500, 6750, 11250)   # Hz, where bands begin that must agree
    floor: float = 1e-4                 # of a mic's mean power: what counts as silence of the wanted sound
    common_floor: float = 1e-7          # of the loudest mic's: a muted mic must not outweigh all that follows
    ridge: float = 300.0                # as many bins of equal level speak for the value that an estimate leans on
    damping: float = 0.15               # of a step: while a player rests his mic is a mixture of the others,
    #                                     until its row is right
    largest: float = 1.5                # entry of Lambda
    plausible: float = 0.995            # entry of a row in the mode: at the limit is what has found no place
    better: float = 0.003               # nepers of power a bin and mic by which another estimate must be better
    level_seconds: float = 2.13         # of the mean levels
    patience_seconds: float = 0.21      # after which the slow estimate restarts from a better one
    settled_seconds: float = 1.6        # without a restart, after which the slow estimate is worth keeping
    start_seconds: float = 1.49         # no decision before: the canceller, too, deserves time to show what it can
    doubted_seconds: float = 1.07       # a mic leaves after so long a bad time: a change of gains is followed sooner
    barred_seconds: float = 5.33        # a mic that has left waits: what is nearly instantaneous would come and go
    moving_seconds: float = 0.51        # from long paths to one tap: slow enough to make no click
    enough_bleed: float = 0.1           # nepers that are expected of a mic which can be judged
    quiet_bleed: float = 0.01           # nepers; a mic in the mode without them learns nothing about it from the block
    believed: float = 0.6               # part of what was expected that must come true, to enter
    disbelieved: float = 0.3            # and to stay
    beaten: float = 0.05                # nepers by which the mixture must explain more than the canceller's long paths
    weakest: float = 1e-3               # power of a row of Lambda that is worth a mode
    twin_product: float = 0.35          # Lambda_ij Lambda_ji of two mics on one source
    twin_entry: float = 0.8             # entry for another mic that hears hardly anything else
    pivot: float = 0.05                 # of Lambda: 1 / pivot is how much louder noise may come out, 26 dB
    calibrated_bins: float = 30000.0    # about a second of audio must speak against a soundcheck's paths
    one_tap: float = 0.9                # part of tap 0 in the paths to a mic that makes them an instantaneous mixture


@dataclass(frozen=True)
class Guard:
    """Of `rtsep_kernels.canceller.guard`."""

    coherence_memory: float = 6.0       # seconds
    level_memory: float = 2.0           # seconds
    peak_kept: float = 0.999            # of a mic's loudest sample: ten seconds
    loud_kept: float = 0.9995           # of a mic's loudest power: twenty seconds
    shrink_kept: float = 0.95           # of a twin's paths: a fifth of a second
    clipped_seconds: float = 4.27       # for which a mic counts as clipped
    first_seconds: float = 0.085        # in which both sound, before a pair is judged
    turn_seconds: float = 0.085         # in which each pair is judged once
    compared: tuple[float, float] = (60.0, 8000.0)   # Hz: where mics are compared
    close: float = 1.75e-3              # seconds: two mics on one source are not farther apart, 60 cm
    least_alike: float = 0.47           # regression over all cells alike of which nothing is given
    enough_alike: float = 0.67          # and everything
    least_innovations: float = 0.44     # the same, over innovations
    enough_innovations: float = 0.84
    incoherent: float = 0.6             # a pair is freed below: of two sources it is below 0.45, once both play
    coherent: float = 0.7               # and barred above
    elsewhere: float = 0.36             # the same, of correlation at close lags: of two sources below 0.33
    together: float = 0.41
    apart: float = 32.0                 # in power, 15 dB: a mic so much softer may learn from the other, however alike
    active: float = 1e-4                # of a mic's loudest power of late: below is silence
    risen: float = 100.0                # times louder than ever: what was seen before was not this mic's source
    silence: float = 1e-7               # mean square of a mic that is dead or unplugged: -70 dBFS
    near_peak: float = 0.9              # of the mic's peak: where a wave may be clipped


@dataclass(frozen=True)
class Evidence:
    """Of `rtsep_kernels.canceller.guard.evidence`; what is kept is kept from hop to hop."""

    hop: int = 1024                     # samples at 48 kHz, nearly; frames are four times as long, 85 ms
    band: tuple[float, float] = (60.0, 6000.0)   # Hz that are looked at
    along_memory: float = 0.25          # seconds: of what a note lets expect of the next frame
    sums_memory: float = 6.0            # seconds
    mean_kept: float = 0.98             # of a bin's mean power: a second
    floor: float = 1e-3                 # of that mean, so that silence does not count
    trusted: float = 1e4                # both sums of five seconds of bleed, 20 dB below a mic at -30 dBFS: what
    #                                     speaks for a soundcheck's paths


@dataclass(frozen=True)
class Choice:
    """Of `rtsep_kernels.canceller.choice`."""

    path_memory: float = 10.0           # seconds: of paths that are looked for
    level_memory: float = 20.0          # seconds: who rests for a while comes back
    round_seconds: float = 0.34         # in which every pair is measured once
    first_rounds: int = 2               # before the first choice
    fade_seconds: float = 1.02          # in which a path shrinks to nothing
    settled_seconds: float = 2.03       # before a pair that came in is judged by what it subtracts
    rest_seconds: float = 10.03         # before a pair that left may come back
    better: float = 2.0                 # times as much must a pair be worth that takes another one's place
    least: float = 1e-3                 # and so much at least: else the weakest would only change places
    found: float = 0.1                  # of a path's power, by the estimate of a pair that is not held
    doubt: float = 0.05                 # of a path that is looked for
    swaps: int = 16                     # one in so many of the pairs that are held may leave after each round
    at_once: int = 4                    # mics that are listened to in each job, once the first pairs are chosen


INSTANT, GUARD, EVIDENCE, CHOICE = Instant(), Guard(), Evidence(), Choice()


def numbers(tuning: Any, table: Table, rate: int, blocks: int = 1, found_at: int = 1) -> dict[str, float]:
    """Return tuning as a record has it.

    `x_seconds` becomes `x_blocks`; `x_memory`, the seconds in which something falls to 1 / e, becomes `x_kept`, what a
    step leaves of the past; an `x_kept` was found at 48 kHz, and is adapted to how long a step lasts.

    Parameters
    ----------
    tuning : dataclass
    table : Table
        What it has no number for is left out.
    rate : int
        Hz.
    blocks : int
        Of 512 samples in a step.
    found_at : int
        Blocks in a step at 48 kHz.
    """
    longer = (blocks * _RATE) / (found_at * rate)   # exactly 1 at 48 kHz
    found: dict[str, float] = {}
    for name, value in dataclasses.asdict(tuning).items():
        stem, _, kind = name.rpartition("_")
        if kind == "seconds":
            found[f"{stem}_blocks"] = max(1, round(value * rate / (blocks * BLOCK)))
        elif kind == "memory":
            found[f"{stem}_kept"] = float(np.exp(-blocks * BLOCK / (value * rate)))
        elif kind == "kept":
            found[name] = value**longer
        elif isinstance(value, int | float):
            found[name] = value
    return {name: value for name, value in found.items() if name in table.fields}
