"""Response: what a loop makes of a probe, how late it is to a part of a sample, and whether it can be trusted.

One period of what comes back is divided by the probe in the spectrum. The largest sample of the response tells the
delay to a sample and the polarity; a parabola through it and its neighbours to a tenth; the slope of the phase around
it, weighted by power, to a thousandth. The slope is taken where both agree to a sample: a loop that filters has no
single delay, and there the parabola says where its crest is.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import stats

GOOD, SILENT, CLIPPED, NOT_LOOPED, TOO_LOW = "good", "nothing comes back", "clipped", "not looped", "signal too low"
"""What is wrong with a loop, if anything: nothing came back, or not what was sent."""

_FULL = 0.999          # of full scale
_FLAT = 3              # samples in a row at full scale: a crest of sound is not flat
_NOTHING = 1e-6        # -120 dBFS: below the noise of any converter
# Crest of the response over its noise: the largest of 32767 samples of noise alone is 4.3 sigma. From 25 on the delay
# is good to a tenth of a sample.
_FOUND, SURE = 8.0, 25.0
_AROUND = 64           # samples on either side of the crest that its phase is taken from
_ROUNDS = 3            # each leaves 3 % of what is wrong: the window is centred better each time
_FLOOR = 1e-3          # of a probe's largest power in a bin: where it has less it tells nothing
_TO_SIGMA = 1.4826     # median absolute deviation to standard deviation
_EARLY = 8             # samples that a response may lie in front: rounding, and filters of linear phase
_CONFIDENCE = 0.95


@dataclass(frozen=True)
class Response:
    """One period of what came back.

    Parameters
    ----------
    delay : float
        Samples; of what is just early, such as -0.001, a little less than 0.
    polarity : int
        1 or -1.
    gain_db : float
        Of the crest.
    crest : float
        Of the response over its noise.
    """

    delay: float
    polarity: int
    gain_db: float
    crest: float


@dataclass(frozen=True)
class Echo:
    """What a loop makes of a probe, over several periods.

    Parameters
    ----------
    verdict : str
        `GOOD`, or what is wrong: then the rest means nothing.
    delay, confidence : float
        Samples; half of its 95 % interval (Student's t over the repeats).
    polarity : int
    gain_db, crest : float
        See `Response`.
    delays : tuple of float
        Of each period.
    """

    verdict: str
    delay: float = math.nan
    confidence: float = math.nan
    polarity: int = 0
    gain_db: float = math.nan
    crest: float = 0.0
    delays: tuple[float, ...] = ()


def respond(probe: NDArray[np.float32], heard: NDArray[np.float32]) -> Response:
    """Compare a period of what came back with the probe.

    Parameters
    ----------
    probe, heard : float32[frames]
        A period each; the loop has been played for at least one before.
    """
    x, y = (np.fft.rfft(signal.astype(np.float64)) for signal in (probe, heard))
    power = np.abs(x) ** 2
    x[0], y[0] = 0, 0   # of converters' own
    inverse = np.conj(x) / (power + _FLOOR * power[1:].max())
    frames = probe.size
    ratio = y * inverse
    response = np.fft.irfft(ratio, frames)
    at = int(np.argmax(np.abs(response)))
    polarity = 1 if response[at] > 0 else -1
    crest = polarity * response[at]
    noise = _TO_SIGMA * float(np.median(np.abs(response))) or 1e-30
    parabola = _parabola(polarity * response[(at + np.arange(-1, 2)) % frames])
    slope = 0.0
    for _ in range(_ROUNDS):
        slope += _slope(polarity * _around(ratio, frames, at + slope))
    part = slope if abs(slope - parabola) < 1 else parabola
    delay, gain = (at + part + _EARLY) % frames - _EARLY, 20 * math.log10(max(float(crest), 1e-30))
    return Response(delay, polarity, gain, float(crest) / noise)


def _around(ratio: NDArray[np.complex128], frames: int, delay: float) -> NDArray[np.float64]:
    """Return the response around a delay, which comes to lie in the middle."""
    turn = np.exp(2j * np.pi * delay / frames * np.arange(ratio.size))
    response: NDArray[np.float64] = np.fft.irfft(ratio * turn, frames)
    return response[np.arange(-_AROUND, _AROUND)]


def _parabola(three: NDArray[np.float64]) -> float:
    before, crest, after = (float(value) for value in three)
    bend = before - 2 * crest + after
    return 0.5 * (before - after) / bend if bend else 0.0


def _slope(near: NDArray[np.float64]) -> float:
    """Return how far behind the middle the energy of a response lies, by the slope of its phase."""
    spectrum = np.fft.rfft(np.roll(near * np.hanning(near.size), -_AROUND))
    step = 2 * np.pi / near.size
    # First without unwrapping, then what is left, whose phase is small.
    rough = -float(np.angle(np.sum(spectrum[1:] * np.conj(spectrum[:-1])))) / step
    omega = step * np.arange(spectrum.size)
    left = spectrum * np.exp(1j * omega * rough)
    weight = np.abs(spectrum) ** 2
    weight[0] = 0
    return rough - float(np.sum(weight * omega * np.angle(left)) / np.sum(weight * omega**2))


def judge(probe: NDArray[np.float32], periods: Sequence[NDArray[np.float32]]) -> Echo:
    """Return what a loop makes of a probe.

    Parameters
    ----------
    probe : float32[frames]
    periods : sequence of float32[frames]
        What came back in each period, the first after at least one that is not among them.
    """
    all_of_it = np.concatenate(periods)
    if not np.isfinite(all_of_it).all() or float(np.abs(all_of_it).max()) < _NOTHING:
        return Echo(SILENT)
    if _flat(all_of_it):
        return Echo(CLIPPED)
    found = [respond(probe, period) for period in periods]
    crest = float(np.median([one.crest for one in found]))
    if crest < _FOUND:
        return Echo(NOT_LOOPED, crest=crest)
    delays = around([one.delay for one in found], probe.size)
    middle, half = float(np.median(delays)), confidence(delays)
    one = found[0]
    verdict = GOOD if crest >= SURE else TOO_LOW
    return Echo(verdict, (middle + _EARLY) % probe.size - _EARLY, half, one.polarity, one.gain_db, crest, tuple(delays))


def _flat(heard: NDArray[np.float32]) -> bool:
    """Tell whether it stays at full scale for several samples."""
    full = np.abs(heard) >= _FULL
    return bool(np.convolve(full, np.ones(_FLAT), "valid").max() >= _FLAT)


def around(delays: Sequence[float], period: int) -> list[float]:
    """Return delays next to the first one: just under a period and just above 0 are neighbours."""
    return [delays[0] + (delay - delays[0] + period / 2) % period - period / 2 for delay in delays]


def confidence(values: Sequence[float]) -> float:
    """Return half of the 95 % interval of a mean; nan of one value."""
    count = len(values)
    if count < 2:
        return math.nan
    quantile = float(stats.t.ppf(0.5 + _CONFIDENCE / 2, count - 1))
    return quantile * float(np.std(values, ddof=1)) / math.sqrt(count)
