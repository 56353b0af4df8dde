"""The least-squares fit of the bleed paths that leave one microphone, from passages in which only its player sounds."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

Float = NDArray[np.float64]
Audio = NDArray[np.float32]

_FRAME = 0.5        # s; of .25 … 1 s best: leaking players change faster than 1 s, and a frame must hold the room
_SMOOTH = 3         # bins to each side that share one noise estimate
_QUICK = 0.9        # share of the noise that may change from frame to frame, the rest is the mean over the solo
_RESTS = 0.1        # of the mean power of a bin: below, the player's microphone holds what leaks rather than the player
_FIRST = 1.0        # of the target: the first guess of the noise. From -30 dB the fit ends in leaks (-22 for -39 dB)
_TURNS = 4
_OUTER = 4
_STEPS = 60
_ENOUGH = 1e-4      # of the residual's power, in the preconditioner
_BLOCK = 32         # taps that share one variance at the beginning of a path; later an eighth of their time


class SoloFit:
    """The fit of all paths that leave one microphone.

    The path a maximises the posterior of d = u * a + noise, a_t ~ N(0, v_t). The noise, i.e. other players who leak,
    is white only within one bin of one frame: the error is weighted by 1 / N(frame, bin). N, v and a are found in
    turns (evidence maximisation). Where the player rests, the leaks in the own microphone are no source: there the
    weight falls. The normal equations hold for the heard samples exactly; conjugate gradients
    solve them, with a Toeplitz system as the preconditioner, which again is solved by conjugate gradients.

    Parameters
    ----------
    mics : float32[mics, frames]
        The recording.
    mic : int
        The player's microphone.
    passages : sequence of (int, int)
        First sample of each solo, and the one after the last.
    taps : int
        Length of the paths, samples.
    rate : int
        Sampling rate, Hz.

    References
    ----------
    Chan, SIAM J. Sci. Stat. Comput. 9 (1988), doi:10.1137/0909051, eq. (3), for the circulant preconditioner;
    MacKay, Neural Computation 4 (1992), doi:10.1162/neco.1992.4.3.415, for the variances by evidence;
    Notay, SIAM J. Sci. Comput. 22 (2000), doi:10.1137/S1064827599362314, for flexible conjugate gradients.
    """

    def __init__(self, mics: Audio, mic: int, passages: Sequence[tuple[int, int]], taps: int, rate: int) -> None:
        from scipy import fft

        self.mics = mics
        self.taps = taps
        longest = max(end - start for start, end in passages)
        passages = [(start, end) for start, end in passages if end - start >= longest / 10]
        # What is played just before still sounds in the room when the solo begins: it belongs to the source.
        self.passages = passages
        self.leads = [min(taps, start) for start, _ in passages]
        source = [mics[mic, s - lead : e].astype(np.float64) for (s, e), lead in zip(passages, self.leads, strict=True)]
        self.size = fft.next_fast_len(max(len(u) for u in source) + taps, real=True)
        self.spectra = [fft.rfft(u, self.size) for u in source]
        self.power = _power(source) / sum(len(u) for u in source)
        shortest = min(end - start for start, end in passages)
        self.frame = 4 * max(min(round(_FRAME * rate), shortest // 2) // 4, 1)
        # Only whole frames: their windows fade the error in and out, so that no cut looks like noise.
        self.window = np.sin(np.pi * (np.arange(self.frame) + 0.5) / self.frame) ** 2 / np.sqrt(1.5)
        self.padded = fft.next_fast_len(self.frame + taps, real=True)
        framed = self._frames([u[lead:] for u, lead in zip(source, self.leads, strict=True)])
        self.source_power = np.abs(fft.rfft(framed, self.padded)) ** 2
        self.heed = self._heed()
        edges = [0]
        while edges[-1] < taps:
            edges.append(min(taps, edges[-1] + max(_BLOCK, edges[-1] // 8)))
        self.edges = np.array(edges)

    def path(self, target: int) -> tuple[Audio, float]:
        """Fit the path to a microphone.

        Parameters
        ----------
        target : int
            The microphone.

        Returns
        -------
        path : float32[taps]
            Causal filter from the player's microphone to the target.
        left : float
            Power that it leaves in the target, full scale squared.
        """
        wanted = [self.mics[target, start:end].astype(np.float64) for start, end in self.passages]
        energy = _power(wanted)
        frames = sum(len(d) for d in wanted)
        if energy <= 0 or self.power <= 0:
            return np.zeros(self.taps, dtype=np.float32), 0.0
        density = self._noise(wanted, np.zeros(1)).mean(axis=0)
        floor = 1e-6 * density + 1e-30
        noise = np.tile(_FIRST * (density + 1e-4 * density.mean()) + floor, (len(self.source_power), 1))
        variance = np.full(self.taps, energy / frames / self.power / self.taps)
        a = np.zeros(self.taps)
        for _ in range(_TURNS):
            auto = self._correlation(noise / self.heed)
            a = self._improve(a, wanted, noise / self.heed, variance, auto)
            left = self._residual(wanted, a)
            noise = self._noise(left, floor)
            variance = self._variances(a, variance, _circulant(auto))
        # Digital crosstalk has one tap: thousands of free ones around it would only add their errors.
        one = self._single(wanted, noise / self.heed)
        left_one = self._residual(wanted, one)
        excess = np.mean(self._noise(left_one, floor).mean(axis=0) / noise.mean(axis=0))
        if excess < 1.2 and _power(left_one) < 0.1 * energy:
            a, left = one, left_one
        return a.astype(np.float32), _power(left) / frames

    def _improve(self, a: Float, wanted: list[Float], noise: Float, variance: Float, auto: Float) -> Float:
        """Take some steps of flexible conjugate gradients on the exact equations."""
        precision = 1 / variance
        gradient = self._normal(self._residual(wanted, a), noise) - precision * a
        direction = image = np.zeros(0)
        curvature = 0.0
        for n in range(_OUTER):
            step = _solve(auto, gradient, precision)
            direction = step - (step @ image) / curvature * direction if n else step
            image = self._normal(self._filtered(direction), noise) + precision * direction
            curvature = float(direction @ image)
            if not curvature > 0:
                break
            length = float(gradient @ direction) / curvature
            a = a + length * direction
            gradient = gradient - length * image
        return a

    def _filtered(self, a: Float) -> list[Float]:
        from scipy import fft

        response = fft.rfft(a, self.size)
        return [
            fft.irfft(u * response, self.size)[lead : lead + end - start]
            for u, lead, (start, end) in zip(self.spectra, self.leads, self.passages, strict=True)
        ]

    def _residual(self, wanted: list[Float], a: Float) -> list[Float]:
        return [d - heard for d, heard in zip(wanted, self._filtered(a), strict=True)]

    def _normal(self, error: list[Float], noise: Float) -> Float:
        """Return the weighted error, correlated with the source: the transpose of `_filtered`."""
        from scipy import fft

        weighted = fft.irfft(fft.rfft(self._frames(error), self.frame) / noise, self.frame) * self.window
        hop, at = self.frame // 4, 0
        cross = np.zeros(self.size // 2 + 1, dtype=np.complex128)
        for u, lead, e in zip(self.spectra, self.leads, error, strict=True):
            whole = np.zeros(self.size)
            for m in range((len(e) - self.frame) // hop + 1):
                whole[lead + m * hop :][: self.frame] += weighted[at]
                at += 1
            cross += np.conj(u) * fft.rfft(whole)
        return np.asarray(fft.irfft(cross, self.size)[: self.taps])

    def _correlation(self, noise: Float) -> Float:
        """Return the Toeplitz matrix that is closest in spirit: each frame's autocorrelation over its noise."""
        from scipy import fft

        bins = self.padded // 2 + 1
        at = np.minimum(np.round(np.arange(bins) * self.frame / self.padded).astype(int), noise.shape[1] - 1)
        weighted = np.sum(self.source_power / noise[:, at], axis=0)
        return np.asarray(fft.irfft(weighted, self.padded)[: self.taps])

    def _heed(self) -> Float:
        """Return a weight 0 to 1 for each [frame, bin]: what leaks while the player rests would teach wrong paths."""
        from scipy import ndimage

        power = ndimage.uniform_filter1d(self.source_power, 9, axis=1)
        bins = self.frame // 2 + 1
        at = np.minimum(np.round(np.arange(bins) * self.padded / self.frame).astype(int), power.shape[1] - 1)
        power = power[:, at]
        return np.asarray(np.maximum(power / (power + _RESTS * power.mean(axis=0) + 1e-30), 1e-6))

    def _noise(self, error: list[Float], floor: Float) -> Float:
        """Return the power density [frame, bin] of an error: for white noise its variance."""
        from scipy import fft, ndimage

        power = np.abs(fft.rfft(self._frames(error), self.frame)) ** 2 / np.sum(self.window**2)
        weights = np.hanning(2 * _SMOOTH + 3)[1:-1] / (_SMOOTH + 1)
        smooth = ndimage.convolve1d(power, weights, axis=1, mode="mirror")
        mean = smooth.mean(axis=0)
        smooth = ndimage.convolve1d(smooth, np.array([0.25, 0.5, 0.25]), axis=0, mode="nearest")
        return np.asarray(np.maximum(_QUICK * smooth + (1 - _QUICK) * mean, floor))

    def _variances(self, a: Float, variance: Float, symbol: Float) -> Float:
        """Return the variances that make the data most likely: of blocks, what was found plus what stays unknown."""
        first, last = self.edges[:-1], self.edges[1:]
        middle = (first + last) // 2
        found = np.add.reduceat(a**2, first) / (last - first)
        unknown = np.array([np.mean(1 / (symbol + 1 / v)) for v in variance[middle]])
        return np.asarray(np.exp(np.interp(np.arange(self.taps), middle, np.log(found + unknown + 1e-30))))

    def _single(self, wanted: list[Float], noise: Float) -> Float:
        """Return the best path of one tap."""
        one = np.zeros(self.taps)
        one[0] = 1
        own = self._normal(self._filtered(one), noise)[0]
        return np.asarray(one * (self._normal(wanted, noise)[0] / own if own > 0 else 0))

    def _frames(self, signals: list[Float]) -> Float:
        hop = self.frame // 4
        views = [np.lib.stride_tricks.sliding_window_view(x, self.frame)[::hop] for x in signals]
        return np.asarray(np.concatenate(views) * self.window)


def _power(signals: Sequence[Float]) -> float:
    return sum(float(np.sum(x**2)) for x in signals)


def _circulant(auto: Float) -> Float:
    """Return the eigenvalues of Chan's optimal circulant: a power density, never negative."""
    from scipy import fft

    n = len(auto)
    t = np.arange(n)
    nearest = ((n - t) * auto + t * np.r_[0.0, auto[:0:-1]]) / n
    return np.asarray(np.maximum(fft.rfft(nearest).real, 0), dtype=np.float64)


def _solve(auto: Float, cross: Float, precision: Float) -> Float:
    """Solve (Toeplitz(auto) + diag(precision)) a = cross by preconditioned conjugate gradients."""
    from scipy import fft

    n = len(cross)
    size = fft.next_fast_len(2 * n, real=True)
    embedded = np.zeros(size)
    embedded[:n] = auto
    embedded[size - n + 1 :] = auto[:0:-1]
    symbol = fft.rfft(embedded)
    circulant = _circulant(auto) + np.exp(np.mean(np.log(precision)))
    a = np.zeros(n)
    residual = cross.copy()
    z = fft.irfft(fft.rfft(residual) / circulant, n)
    direction = z.copy()
    rz = residual @ z
    enough = _ENOUGH * rz
    for _ in range(_STEPS):
        if rz <= enough:
            break
        image = fft.irfft(symbol * fft.rfft(direction, size), size)[:n] + precision * direction
        curvature = direction @ image
        if not curvature > 0:   # an autocorrelation cut at the end need not be positive
            break
        step = rz / curvature
        a += step * direction
        residual -= step * image
        z = fft.irfft(fft.rfft(residual) / circulant, n)
        rz, before = residual @ z, rz
        direction = z + rz / before * direction
    return a
