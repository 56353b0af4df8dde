"""What the canceller is tuned to: in seconds, Hz and parts of what is named, each with its origin.

Times hold at every rate: `numbers` makes of them what a record counts in. `x_seconds` is a time; `x_memory`, in
seconds, that in which something falls to 1 / e; `x_kept` what a step leaves of the past at 48 kHz, where it was found:
a step is a block of 512 samples, or what is named. Of what names no origin none is written down: it stands as it was
found.
"""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rtsep.assurance import CONFIDENT
from rtsep_kernels.canceller.handover import HANDOVER
from rtsep_kernels.canceller.kalman import KALMAN
from rtsep_kernels.canceller.record import BLOCK, GROUPS, HISTORY
from rtsep_kernels.plane.record import Table

RATE = 48000   # Hz, at which the prior's decay, and what is kept of the past from step to step, were found


def numbers(tuning: Any, table: Table, rate: int, blocks: int = 1, found_at: int = 1) -> dict[str, float]:
    """Return tuning as a record has it.

    `x_seconds` becomes `x_blocks`; `x_memory` becomes `x_kept`, what a step leaves of the past; an `x_kept` was found
    at 48 kHz, and is adapted to how long a step lasts.

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
    longer = (blocks * RATE) / (found_at * rate)   # exactly 1 at 48 kHz
    found: dict[str, float] = {}
    for name, value in dataclasses.asdict(tuning).items():
        stem, _, kind = name.rpartition("_")
        if kind == "seconds":
            found[f"{stem}_blocks"] = max(1, round(value * rate / (blocks * BLOCK)))
        elif kind == "memory":
            found[f"{stem}_kept"] = kept(value, rate, blocks)
        elif kind == "kept":
            found[name] = value**longer
        elif isinstance(value, int | float):
            found[name] = value
    return {name: value for name, value in found.items() if name in table.fields}


def kept(seconds: float, rate: int, blocks: int = 1) -> float:
    """Return what a step of so many blocks leaves of a memory of so many seconds."""
    return float(np.exp(-blocks * BLOCK / (seconds * rate)))


@dataclass(frozen=True)
class Learning:
    """The Kalman filter, and what is handed over and taken back.

    Where no other origin is named, a value is the round number with which the simulated stages of `rtsep bench` were
    cleaned well; half or twice as much changes little.

    Parameters
    ----------
    blind, calibrated : tuple of float
        What a block at 48 kHz keeps of doubt, and the part of the prior by which doubt grows in it: from nothing, and
        from a soundcheck, which is good and moves little. Memories of 11 seconds and of 18 minutes.
    prior, prior_kept : float
        Expected power of a path in its first 512 samples at 48 kHz, per bin: -17 dB; and what is left of it in each
        512 more: 60 dB less after 0.9 s, a room or a stage.
    tracked : int
        Partitions that the Kalman filter adapts, with up to eight mics; the others are refined only. A bound of the
        work, so that it is no time: 85 ms at 48 kHz.
    caution : float
        Times the smoothed power of what is left counts as the wanted sound, which the filter must not learn: 1 would
        be right if that power were known.
    smooth_kept : float
        Of that power: a memory of 21 ms. Notes start faster than that, so that the larger of the smoothed and the
        newest one is used.
    tamed_seconds, tamed_kept : float
        For how long a mic's output has been clearly louder than its input when its paths shrink: two players in unison
        may cancel for some tenths of a second; and what is left of them: what was learnt wrongly is gone within a
        tenth of a second.
    again_seconds : float
        Of two explosions within it, the second one leaves nothing.
    good_seconds : float
        From one keeping of a good partition to the next. What explodes has been growing for less.
    loudness_kept : float
        Of the loudest input, in a segment of 64 samples: it falls by 6 dB in 1.8 s.
    usual_memory : float
        Seconds over which is known how loud a mic usually is: who was far softer when his mic died was resting.
    confident : float
        Confidence from which a soundcheck's path is believed in.
    known_doubt : float
        Part of the prior that such a path leaves unknown: -33 dB, as a soundcheck's take of some seconds gives.
    """

    blind: tuple[float, float] = (0.999, 1e-4)
    calibrated: tuple[float, float] = (0.99999, 3e-6)
    prior: float = 0.02
    prior_kept: float = 0.85
    tracked: int = 8
    caution: float = 1.5
    smooth_kept: float = 0.6
    tamed_seconds: float = 0.34
    tamed_kept: float = 0.7
    again_seconds: float = 10.67
    good_seconds: float = 2.73
    loudness_kept: float = 0.9995
    usual_memory: float = 10.0
    confident: float = CONFIDENT
    known_doubt: float = 5e-4

    def per_block(self, known: bool, rate: int) -> tuple[float, float]:
        """Return memory a2 and drift q, from a soundcheck or from nothing."""
        memory, drift = self.calibrated if known else self.blind
        return memory ** (RATE / rate), drift * (RATE / rate)

    def priors(self, rate: int) -> NDArray[np.float64]:
        """Return the expected power of each partition of a path, per bin, float64[HISTORY]."""
        left = self.prior_kept ** (RATE / rate)
        first = self.prior * (1 - left) / (1 - self.prior_kept)   # over all partitions the power is the same
        priors: NDArray[np.float64] = first * left ** np.arange(HISTORY)
        return priors

    def tracked_of(self, mics: float) -> int:
        """Return how many partitions are tracked with all pairs of so many mics: beyond eight, work is bounded."""
        return min(self.tracked, max(2, self.tracked * 8 // max(1, math.ceil(mics))))

    def kalman(self, rate: int) -> dict[str, float]:
        """Return the numbers of `rtsep_kernels.canceller.kalman.KALMAN`."""
        found = numbers(self, KALMAN, rate)
        # The powers of so many blocks are at hand, and some of them are just being overwritten.
        return {**found, "tamed_blocks": min(found["tamed_blocks"], HISTORY - 2 * GROUPS)}

    def handover(self, partitions: int, rate: int) -> dict[str, float]:
        """Return the numbers of `rtsep_kernels.canceller.handover.HANDOVER`."""
        found = numbers(self, HANDOVER, rate)
        return {**found, "good_blocks": max(partitions, found["good_blocks"])}


LEARNING = Learning()


@dataclass(frozen=True)
class Refinement:
    """Least squares over the last seconds, and the watch over a soundcheck's paths.

    Where no other origin is named, a value is the round number that the simulated stages of `rtsep bench` were cleaned
    well with; half or twice as much changes little.

    Parameters
    ----------
    rate : float
        Hz, nearly: where paths are refined. Bleed is loudest below 5 kHz; a pass costs a sixteenth of the full rate's.
    lowpass_zeros, lowpass_edge : int, float
        Of the filter in front of it: zero crossings, and the cut-off as a part of the low rate's Nyquist frequency.
        Flat within 0.1 dB up to 0.77 of it, 55 dB down from 1.05 of it on.
    looked_at : float
        Seconds of sound that a round learns from. As long as rooms stay what they are, more is better; who walks
        has gone a few steps in ten seconds.
    first_round : float
        Seconds that are heard before the first round.
    fresh : tuple of float
        Least and most seconds, not learnt from, on which old and new paths are compared.
    kept : float
        Seconds that a mic at least keeps when it forgets its older half.
    edges, edge : tuple of float, float
        Hz: old or new is chosen in each band between these; half the width of each edge, which keeps what it rings
        within 10 ms.
    trust : float
        In the power of the wanted sound as the weights have it, which is a guess: how much the heard counts beside
        the prior.
    memory : float
        Seconds of the Kalman filter's memory where new paths came in; until then it is that of the blind start.
    left_doubt : float
        Part of the prior that a refinement at least leaves unknown.
    known_doubt : float
        Variance of a soundcheck's paths, beside the prior's.
    watched, soon : float
        Seconds over which a soundcheck's paths are held against what is heard; that a judgement needs.
    sure : float
        Doubt below which a path is expected to hold.
    plays : float
        Part of a mic's power that is left when it is cleaned if its own player does not rest.
    certain : float
        Cells that speak for a gain of 1 before any is heard.
    heard : float
        Cells in which a part must be the loudest: fewer say nothing of its path.
    moved : float
        How far the gains of what has moved are off 1: right paths stay below 0.11, a walk of 1.5 m reaches 0.5.
    turned, settled : float
        The same of a fader, and of one that was just moved: its first figure is of before and after.
    uniform : float
        The gains of a row that a fader makes differ less.
    smooth : float
        Hz to both sides: a path that has changed is as loud as it was, about there.
    """

    rate: float = 12000.0
    lowpass_zeros: int = 32
    lowpass_edge: float = 0.9
    looked_at: float = 10.24
    first_round: float = 1.0
    fresh: tuple[float, float] = (0.7, 1.4)
    kept: float = 3.0
    edges: tuple[float, float, float] = (400.0, 1200.0, 2600.0)
    edge: float = 60.0
    trust: float = 1.0
    memory: float = 21.328
    left_doubt: float = 0.01
    known_doubt: float = 1e-4
    watched: float = 1.0
    soon: float = 0.7
    sure: float = 0.1
    plays: float = 0.3
    certain: float = 0.5
    heard: float = 400.0
    moved: float = 0.25
    turned: float = 0.15
    settled: float = 0.03
    uniform: float = 0.1
    smooth: float = 750.0


REFINEMENT = Refinement()


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
    twin_product: float = 0.35          # Lambda_ij Lambda_ji of twins, two mics on one source
    twin_entry: float = 0.8             # entry for another mic that hears hardly anything else, if it may be bleed
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
    sure_seconds: float = 0.5           # in which both sound, before two mics are one line: a few notes are alike
    rest_seconds: float = 4.0           # as one line, after which who was heard apart is taken for a copy: a re-patch
    one: float = 0.85                   # coherence of one line: copies 0.88 to 1 (a delay of 1.75 ms: 0.92; filters
    #                                     with steep edges: 0.88), second mics at 15 cm 0.6 to 0.8, solos in rooms 0.4
    exact: float = 0.97                 # of one through nothing but gains, which is no mixture either: splits 0.99; two
    #                                     mics in a mixture, one of them with little of its own, stay at 0.83 to 0.91
    soft: float = 0.25                  # in power, 6 dB below a twin: what later stages take for its bleed; at 10 dB
    #                                     they cost half a dB, at 20 dB 1.8, at 30 dB 4
    incoherent: float = 0.6             # a pair is freed below: of two sources it is below 0.45, once both play
    coherent: float = 0.7               # and barred above
    elsewhere: float = 0.36             # the same, of correlation at close lags: of two sources below 0.33
    together: float = 0.41
    apart: float = 32.0                 # in power, 15 dB: a mic so much softer may learn from the other, however
    #                                     coherent, if that comes late enough to be bleed
    active: float = 1e-4                # of a mic's loudest power of late: below is silence
    risen: float = 100.0                # times louder than ever: what was seen before was not this mic's source
    silence: float = 1e-7               # mean square of a mic that is dead or unplugged: -70 dBFS
    near_peak: float = 0.9              # of the mic's peak: where a wave may be clipped


@dataclass(frozen=True)
class Quarantine:
    """Of `rtsep_kernels.canceller.quarantine`: which sounds no paths can explain."""

    louder: float = 5.0                 # in power, 7 dB: so much more than most hear in an octave is no bleed
    matters: float = 0.02               # of what they hear in all octaves
    silence: float = 0.02               # power of the spectrum of a dead mic, -70 dBFS: it proves nothing
    later_seconds: float = 0.0213       # after which a block is judged: bleed has come 7 m far
    quiet_seconds: float = 0.171        # without such sounds, after which a mic is let in
    most_seconds: float = 4.0           # for which a mic is shut out at a time
    barred_seconds: float = 10.0        # after so long a time


@dataclass(frozen=True)
class Polarity:
    """Of `rtsep_kernels.canceller.polarity`."""

    allowed: float = 0.05               # nepers a bin and block that speak for the other sign by chance
    alarming: float = 0.5               # of their sum, which stays below 0.05 while signs are right
    most: float = 3.0                   # of their sum
    least_seconds: float = 0.053        # of an alarm, before somebody is found
    most_seconds: float = 1.07          # of one in which nobody is
    opposed: float = 0.02               # of the most that a mic's pairs can be against what is heard; found: 0.05


@dataclass(frozen=True)
class Evidence:
    """Of `rtsep_kernels.canceller.guard.evidence`; what is kept is kept from hop to hop."""

    hop: float = 0.0213                 # seconds, nearly: a power of two of blocks; frames are four times as long
    band: tuple[float, float] = (60.0, 6000.0)   # Hz that are looked at
    along_memory: float = 0.25          # seconds: of what a note lets expect of the next frame
    sums_memory: float = 6.0            # seconds
    mean_kept: float = 0.98             # of a bin's mean power: a second
    floor: float = 1e-3                 # of that mean, so that silence does not count
    trusted: float = 1e4                # both sums of five seconds of bleed, 20 dB below a mic at -30 dBFS: what
    #                                     speaks for a soundcheck's paths

    def blocks(self, rate: int) -> int:
        """Return how many blocks a hop has."""
        return max(1, int(2 ** round(math.log2(self.hop * rate / BLOCK))))


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
QUARANTINE, POLARITY = Quarantine(), Polarity()
