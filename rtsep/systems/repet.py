"""REPET: what comes back every bar is background, what does not is the voice in front of it.

Use it on music that loops: the same bars again and again behind a voice. The adaptive form follows a tempo that
changes. Do not use it on music that never repeats exactly, or where the voice repeats as strictly as the band: what
repeats is taken for background, whatever it is. `repet-sim` needs no period.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray
from scipy import fft

from rtsep.catalogue import SYSTEMS
from rtsep.errors import InputError
from rtsep.systems.separator import Audio, Passage
from rtsep.systems.spectrum import Spectrum
from rtsep_kernels import repet as kernels
from rtsep_kernels.maths import median

PARTS = ("background", "foreground")
_BINS_AT_ONCE = 256   # of an autocorrelation: it needs twice the length


class Past:
    """What was heard just before a passage: the last one of a recording may be too short to repeat by itself."""

    def __init__(self) -> None:
        self._sound = np.zeros((0, 0), np.float32)
        self._first = 0

    def lead(self, passage: Passage, seconds: float) -> Audio:
        """Return up to so much of the sound before a passage, float32[channels, n]; keep the end of this one."""
        kept = round(seconds * passage.rate)
        known = passage.first - self._first
        lead = self._sound[:, :known] if 0 < known <= self._sound.shape[1] else passage.sound[:, :0]
        begin = max(0, passage.sound.shape[1] - kept)
        # Passages overlap: some more is kept than is used.
        self._sound, self._first = passage.sound[:, begin // 2 :].copy(), passage.first + begin // 2
        return lead[:, max(0, lead.shape[1] - kept) :]


_DEFAULTS = SYSTEMS["repet"].defaults


@dataclass
class Repet:
    """Repeating background and what is in front of it, by one period for each passage.

    Parameters
    ----------
    window : int
        Samples; frames overlap by three quarters.
    period_s : float
        Seconds after which the background repeats; 0: found, for each passage.
    shortest_s, longest_s : float
        Range in which it is found, seconds; never more than a third of the passage.
    background_hz : float
        Everything below is background.

    References
    ----------
    Rafii & Pardo, "REpeating Pattern Extraction Technique (REPET)", IEEE TASLP 21.1, 2013,
    doi:10.1109/TASL.2012.2213249, eq. (1) to (6).
    """

    window: int = _DEFAULTS["window"]
    period_s: float = _DEFAULTS["period_s"]
    shortest_s: float = _DEFAULTS["shortest_s"]
    longest_s: float = _DEFAULTS["longest_s"]
    background_hz: float = _DEFAULTS["background_hz"]
    _past: Past = field(default_factory=Past, init=False, repr=False)
    _period: float = field(default=0.0, init=False, repr=False)

    def fit(self, excerpt: Passage) -> None:
        """Find the period of the whole, for passages too short to have their own."""
        self._past = Past()
        demand_range("repet", self.shortest_s, self.longest_s)
        demand_seconds("repet", excerpt, 2 * self.period_s if self.period_s else 3 * self.shortest_s)
        if not self.period_s:
            hop = self.window // 4
            spectra = Spectrum(self.window, hop).analyse(excerpt.sound)
            power = np.sum(spectra.real**2 + spectra.imag**2, axis=0)
            self._period = find_period(beat_spectrum(power), self._lags(excerpt.rate)) * hop / excerpt.rate

    def separate(self, passage: Passage) -> dict[str, Audio]:
        """See `Separator.separate`; parts `background` and `foreground`."""
        short = passage.sound.shape[1] < 3 * self.longest_s * passage.rate
        lead = self._past.lead(passage, 3 * self.longest_s)
        sound = np.concatenate([lead, passage.sound], axis=1) if short else passage.sound
        hop = self.window // 4
        spectrum = Spectrum(self.window, hop)
        spectra = spectrum.analyse(sound)
        magnitudes = np.abs(spectra)
        period = self.period_s * passage.rate / hop
        if not period:
            beats = beat_spectrum(np.sum(magnitudes**2, axis=0))
            period = find_period(beats, self._lags(passage.rate)) or self._period * passage.rate / hop
        models = np.stack([repeated(channel, period) for channel in magnitudes])
        whole = whole_bins(self.background_hz, self.window, passage.rate)
        return split(passage, sound, spectrum, models, whole)

    def _lags(self, rate: int) -> tuple[float, float]:
        per_second = rate / (self.window // 4)
        return self.shortest_s * per_second, self.longest_s * per_second


_ADAPTIVE_DEFAULTS = SYSTEMS["repet-adaptive"].defaults


@dataclass
class AdaptiveRepet:
    """The same with a period for every moment, for music that changes its tempo or its pattern.

    Parameters
    ----------
    window, shortest_s, longest_s, background_hz
        As in `Repet`; the longest period never more than a third of `stretch_s`.
    stretch_s, step_s : float
        The period is found in stretches of this length, this far apart, seconds.
    order : int
        How many repetitions, before and after, the median is taken of.

    References
    ----------
    Liutkus, Rafii, Badeau, Pardo, Richard, "Adaptive filtering for music/voice separation exploiting the repeating
    musical structure", ICASSP 2012, doi:10.1109/ICASSP.2012.6287815.
    """

    window: int = _ADAPTIVE_DEFAULTS["window"]
    shortest_s: float = _ADAPTIVE_DEFAULTS["shortest_s"]
    longest_s: float = _ADAPTIVE_DEFAULTS["longest_s"]
    background_hz: float = _ADAPTIVE_DEFAULTS["background_hz"]
    stretch_s: float = _ADAPTIVE_DEFAULTS["stretch_s"]
    step_s: float = _ADAPTIVE_DEFAULTS["step_s"]
    order: int = _ADAPTIVE_DEFAULTS["order"]
    _past: Past = field(default_factory=Past, init=False, repr=False)

    def fit(self, excerpt: Passage) -> None:
        """Learn nothing; refuse what is too short to repeat."""
        self._past = Past()
        demand_range("repet-adaptive", self.shortest_s, min(self.longest_s, self.stretch_s / 3))
        demand_seconds("repet-adaptive", excerpt, 3 * self.shortest_s)

    def separate(self, passage: Passage) -> dict[str, Audio]:
        """See `Separator.separate`; parts `background` and `foreground`."""
        lead = self._past.lead(passage, self.stretch_s)
        sound = np.concatenate([lead, passage.sound], axis=1)
        hop = self.window // 4
        spectrum = Spectrum(self.window, hop)
        spectra = spectrum.analyse(sound)
        magnitudes = np.abs(spectra)
        power = np.sum(magnitudes**2, axis=0)
        per_second = passage.rate / hop
        stretch, step = round(self.stretch_s * per_second), max(1, round(self.step_s * per_second))
        lags = (self.shortest_s * per_second, self.longest_s * per_second)
        starts = np.arange(0, max(1, len(power) - stretch + step), step)
        found = np.array([find_period(beat_spectrum(power[start : start + stretch]), lags) for start in starts])
        # A last stretch that is too short for any period goes on with the one before.
        found = np.array([value or found[max(0, n - 1)] for n, value in enumerate(found)])
        nearest = np.abs(np.arange(len(power))[:, None] - (starts + stretch / 2)).argmin(axis=1)
        picks, counts = repetitions(found[nearest], self.order)
        models = np.stack([picked_medians(channel, picks, counts) for channel in magnitudes])
        whole = whole_bins(self.background_hz, self.window, passage.rate)
        return split(passage, sound, spectrum, models, whole)


def demand_range(system: str, shortest: float, longest: float) -> None:
    """Raise InputError unless a range of periods holds any."""
    if not 0 < shortest < longest:
        raise InputError(system, f"periods from {shortest:g} to {longest:g} s are none", "allowed is a rising range")


def demand_seconds(system: str, excerpt: Passage, least: float) -> None:
    """Raise InputError unless a recording is long enough to repeat."""
    seconds = excerpt.sound.shape[1] / excerpt.rate
    if seconds < least:
        raise InputError(system, f"the recording has {seconds:.1f} s", f"allowed is {least:.1f} s or more")


def whole_bins(background_hz: float, window: int, rate: int) -> int:
    """Return how many bins lie below a frequency."""
    return min(math.ceil(background_hz * window / rate), window // 2 + 1)


def beat_spectrum(power: Audio) -> NDArray[np.float64]:
    """Return how much a spectrogram resembles itself after each lag, of the powers float32[frames, bins].

    The autocorrelation of each bin's power over time, without bias, averaged over the bins; 1 at lag 0.
    """
    frames, bins = power.shape
    size = fft.next_fast_len(2 * frames, real=True)
    total = np.zeros(frames)
    for first in range(0, bins, _BINS_AT_ONCE):
        spectra = fft.rfft(power[:, first : first + _BINS_AT_ONCE], size, axis=0)
        # The sum of the autocorrelations is that of the power spectra.
        total += fft.irfft(np.sum(spectra.real**2 + spectra.imag**2, axis=1, dtype=np.float64), size)[:frames]
    total /= frames - np.arange(frames)
    beats: NDArray[np.float64] = total / (total[0] + np.finfo(np.float64).tiny)
    return beats


def find_period(beats: NDArray[np.float64], lags: tuple[float, float]) -> float:
    """Return the lag of the highest beat, in frames and parts of one; 0.0 if the range holds none.

    It is found at the lag itself, then made precise at its multiples: an error of half a frame would grow from one
    repetition to the next.
    """
    low, high = max(1, math.ceil(lags[0])), min(math.floor(lags[1]), len(beats) // 3)
    if high < low:
        return 0.0
    period = _summit(beats, low + int(np.argmax(beats[low : high + 1])), 0)
    multiple = 2
    # Beyond two thirds the overlap is too short for a clear summit.
    while period * multiple < len(beats) * 2 / 3:
        period = _summit(beats, round(period * multiple), 1) / multiple
        multiple *= 2
    return period


def _summit(beats: NDArray[np.float64], near: int, reach: int) -> float:
    """Return where a parabola through the highest value within reach has its top."""
    top = near - reach + int(np.argmax(beats[near - reach : near + reach + 1]))
    below, here, above = beats[top - 1 : top + 2]
    curvature = below - 2 * here + above
    return top + (float(np.clip(0.5 * (below - above) / curvature, -0.5, 0.5)) if curvature < 0 else 0.0)


def repeated(magnitudes: Audio, period: float) -> Audio:
    """Return the median over all periods, repeated, of magnitudes float32[frames, bins]; `period` in frames."""
    frames, bins = magnitudes.shape
    starts = np.round(np.arange(math.ceil(frames / period)) * period).astype(int)
    starts = starts[starts < frames]
    segment = np.empty((math.ceil(period) + 1, bins), magnitudes.dtype)
    for n in range(len(segment)):
        places = starts + n
        places = places[places < frames]
        if places.size:
            segment[n] = np.median(magnitudes[places], axis=0)
    place = np.arange(frames)
    return np.ascontiguousarray(segment[place - starts[np.searchsorted(starts, place, "right") - 1]])


def repetitions(periods: NDArray[np.float64], order: int) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
    """Return for each frame the frames that are whole periods (in frames, one for each) before and after it.

    Returns
    -------
    int32[frames, order]
        The first `counts` of a row are the frames that exist; those nearest first.
    counts : int32[frames]
    """
    frames = len(periods)
    steps = np.arange(order) - order // 2
    wanted = np.arange(frames)[:, None] + np.round(periods[:, None] * steps).astype(int)
    inside = (wanted >= 0) & (wanted < frames)
    first = np.argsort(~inside, axis=1, kind="stable")
    return np.take_along_axis(wanted, first, axis=1).astype(np.int32), inside.sum(axis=1).astype(np.int32)


def picked_medians(values: Audio, picks: NDArray[np.int32], counts: NDArray[np.int32]) -> Audio:
    """Return the median of each frame's picks, of values float32[frames, bins]."""
    out = np.empty_like(values)
    median.of_frames(values, np.ascontiguousarray(picks), counts, out)
    return out


def split(passage: Passage, sound: Audio, spectrum: Spectrum, models: Audio, whole: int) -> dict[str, Audio]:
    """Return what a model of the background (its magnitudes) explains of a sound, and the rest; without the lead."""
    lead = sound.shape[1] - passage.sound.shape[1]
    background = np.empty_like(passage.sound)
    for channel, model in enumerate(models):
        spectra = spectrum.analyse(sound[channel : channel + 1])[0]
        mask = np.empty_like(model)
        kernels.shares(model, np.abs(spectra), whole, mask)
        background[channel] = spectrum.resynthesise((mask * spectra)[None], sound.shape[1])[0, lead:]
    return {PARTS[0]: background, PARTS[1]: passage.sound - background}
