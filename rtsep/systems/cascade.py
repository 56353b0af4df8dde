"""Cascade: a singing voice is put together from what four systems, one after the other, take for it.

Use it on a finished recording with one singer in front of a band, where neither HPSS nor a pitch alone is enough. Do
not use it live (it needs the whole phrase), on choirs, or where an instrument plays the melody along: the melody is
taken for the voice, whoever plays it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import binary_closing, binary_opening
from sklearn.decomposition import non_negative_factorization

from rtsep.catalogue import SYSTEMS
from rtsep.systems.hpss import lengths, medians
from rtsep.systems.separator import Audio, Passage
from rtsep.systems.spectrum import Spectra, Spectrum
from rtsep.systems.yin import comb, lags, track
from rtsep_kernels import hpss as kernels

_LONG_SECONDS, _SHORT_SECONDS = 4096 / 44100, 512 / 44100   # windows: for tones, and for consonants
_STEADY_MS, _LASTING_MS = 200.0, 40.0   # what is harmonic in the long window, and no mere hit in the short one
_PERCUSSIVE_HZ = 500.0
_MARGIN = np.float32(2)       # β
_VOICED, _CLEAR = 0.8, 0.3    # aperiodicity: above there is no tone; below there is one for certain
_TONE_SHARE = 0.1             # of a frame's power: less is no tone that somebody sings
_LEAST_SECONDS = 0.1          # of a tone, and of the silence between two
_BEFORE, _AFTER = 0.1, 0.03   # seconds around the begin of a tone in which there may be a consonant
_CONSONANT_HZ = 2000.0        # fricatives and plosives are above

Exact = NDArray[np.float64]


_DEFAULTS = SYSTEMS["cascade"].defaults


@dataclass
class Cascade:
    """Voice and accompaniment of each channel.

    The recording is split with a long window into harmonic, residual and percussive sounds, and the melody is
    followed in the first two. The voice is (1) the melody's harmonics in the harmonic part, (2) the same in the
    residual, refined by a factorisation that also takes what moves with them, (3) of the percussive part what is not
    percussive in a short window, where a tone begins. The accompaniment is everything else.

    Parameters
    ----------
    fmin, fmax, threshold, width_hz
        As in `rtsep.systems.yin.Yin`.
    rank : int
        Templates of the voice, and as many of the rest, in the residual.
    iterations : int
        Of the factorisation.

    References
    ----------
    Driedger & Müller, "Extracting singing voice from music recordings by cascading audio decomposition techniques",
    ICASSP 2015, doi:10.1109/ICASSP.2015.7177945.
    """

    fmin: float = _DEFAULTS["fmin"]
    fmax: float = _DEFAULTS["fmax"]
    threshold: float = _DEFAULTS["threshold"]
    width_hz: float = _DEFAULTS["width_hz"]
    rank: int = _DEFAULTS["rank"]
    iterations: int = _DEFAULTS["iterations"]

    def fit(self, excerpt: Passage) -> None:
        """Learn nothing; refuse pitches that do not fit into the window."""
        lags("cascade", self.fmin, self.fmax, _window(_LONG_SECONDS, excerpt.rate), excerpt.rate)

    def separate(self, passage: Passage) -> dict[str, Audio]:
        """See `Separator.separate`; parts `voice` and `accompaniment`."""
        voice = np.stack([self.extract(sound.astype(np.float64), passage.rate)[0] for sound in passage.sound])
        return {
            "voice": voice.astype(np.float32), "accompaniment": (passage.sound - voice).astype(np.float32),
        }

    def extract(self, sound: Exact, rate: int) -> tuple[Exact, Exact]:
        """Return the voice and the accompaniment of a channel; exact: they add up to it."""
        long, short = Spectrum(*_frames(_LONG_SECONDS, rate)), Spectrum(*_frames(_SHORT_SECONDS, rate))
        spectra = long.analyse(sound[None])[0]
        harmonic, percussive, residual = _hrps(spectra, long, _STEADY_MS, rate)
        tonal = long.resynthesise((harmonic + residual)[None], len(sound))[0].astype(np.float32)
        pitch, aperiodicity = track(tonal, rate, long.window, long.hop, self.fmin, self.fmax, self.threshold)
        pitch[aperiodicity >= _VOICED] = 0
        melody = comb(pitch, rate, long.window, self.width_hz)
        tone = melody * harmonic + self._refined(residual, melody) * residual
        struck = long.resynthesise(percussive[None], len(sound))
        steady, _, noise = _hrps(short.analyse(struck)[0], short, _LASTING_MS, rate)
        clear = (aperiodicity < _CLEAR) & (_power(tone) > _TONE_SHARE * _power(spectra))
        consonants = _begins(clear, long, short, rate, len(steady)) * (steady + noise)
        voice = long.resynthesise(tone[None], len(sound))[0] + short.resynthesise(consonants[None], len(sound))[0]
        return voice, sound - voice

    def _refined(self, residual: Spectra, melody: Audio) -> Audio:
        """Return the voice's share of the residual, float32[frames, bins], begun at the melody's bins."""
        magnitudes = np.abs(residual).astype(np.float32)
        if not magnitudes.any() or not melody.any():
            return melody
        rng = np.random.default_rng(0)
        activations, templates = [], []
        for begun in (magnitudes * melody, magnitudes * (1 - melody)):
            start = (rng.random((len(begun), self.rank)), rng.random((self.rank, begun.shape[1])))
            h, w = factorise(begun, *start, self.iterations)
            activations.append(h)
            templates.append(w)
        h, w = factorise(magnitudes, np.hstack(activations), np.vstack(templates), self.iterations)
        tiny = np.finfo(np.float32).tiny
        voice = (h[:, : self.rank] @ w[: self.rank] + tiny) / (h @ w + 2 * tiny)
        share: Audio = (voice * melody.any(axis=1, keepdims=True)).astype(np.float32)
        return share


def factorise(magnitudes: Audio, activations: Any, templates: Any, iterations: int) -> tuple[Any, Any]:
    """Return H and W of magnitudes float32[frames, bins] ≈ H W (Kullback-Leibler) from where they start."""
    least = np.float32(1e-12)   # a zero would stay one
    h, w, _ = non_negative_factorization(
        magnitudes, np.maximum(activations, least).astype(np.float32), np.maximum(templates, least).astype(np.float32),
        n_components=len(templates), init="custom", solver="mu", beta_loss="kullback-leibler", tol=0,
        max_iter=iterations,
    )
    return h, w


def _window(seconds: float, rate: int) -> int:
    """Return the power of two that comes nearest to a duration, in samples."""
    return 1 << round(float(np.log2(seconds * rate)))


def _frames(seconds: float, rate: int) -> tuple[int, int]:
    window = _window(seconds, rate)
    return window, window // 4


def _hrps(spectra: Spectra, spectrum: Spectrum, harmonic_ms: float, rate: int) -> tuple[Spectra, Spectra, Spectra]:
    """Return the harmonic, the percussive and the residual part of spectra complex[frames, bins]."""
    power = (spectra.real**2 + spectra.imag**2).astype(np.float32)
    count, neighbours = lengths(harmonic_ms, _PERCUSSIVE_HZ, spectrum.window, spectrum.hop, rate)
    steady, struck = medians(power, count, neighbours, causal=False)
    mask, parts = np.empty_like(power), []
    for which in range(3):
        kernels.parts(steady, struck, which, _MARGIN, True, mask)
        parts.append(mask * spectra)
    return parts[0], parts[1], parts[2]


def _power(spectra: Spectra) -> Exact:
    """Return the power of each frame of complex[frames, bins]."""
    power: Exact = np.sum(spectra.real**2 + spectra.imag**2, axis=1)
    return power


def _begins(clear: NDArray[np.bool_], long: Spectrum, short: Spectrum, rate: int, count: int) -> Audio:
    """Return 1 where a clear tone begins, above the lowest consonants, 0 elsewhere; float32[short frames, bins]."""
    least = np.ones(max(2, round(_LEAST_SECONDS * rate / long.hop)), bool)
    # A hit within a tone is no end of it, and what is so short is no tone.
    clear = binary_opening(binary_closing(clear, least), least)
    onsets = np.flatnonzero(clear[1:] & ~clear[:-1]) + 1
    # A frame is about its middle.
    seconds = (onsets * long.hop - long.window / 2) / rate
    now = (np.arange(count) * short.hop - short.window / 2) / rate
    near = np.zeros(count, bool)
    for onset in seconds:
        near |= (now >= onset - _BEFORE) & (now <= onset + _AFTER)
    high = np.arange(short.bins) * rate / short.window >= _CONSONANT_HZ
    return (near[:, None] & high[None]).astype(np.float32)
