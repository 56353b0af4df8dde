"""The short-time spectrum of the offline systems, in the very frames of the live stage.

SciPy's ShortTimeFFT would give the same numbers (a test compares); it stores complex128 whatever comes in and works
frame by frame in Python, which costs more than some of the systems themselves.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import fft
from scipy.signal.windows import hann

from rtsep.stages.spectral import windows

Sound = NDArray[np.floating[Any]]
Spectra = NDArray[np.complexfloating[Any, Any]]


class Spectrum:
    """Analysis and resynthesis; what is not changed in between comes back as it was.

    Frame n ends at sample n * hop, from n = 0 (silence) on, until every sample was in every overlapping frame.

    Parameters
    ----------
    window, hop : int
        Samples; the window a multiple of the hop, twice at least.
    live : bool
        The windows of `rtsep.stages.spectral.Spectral`. False: a Hann window and its dual, as most publications.
    synthesis : int, optional
        With `live`, length of the synthesis window if it is shorter than the analysis window.
    taper : str
        Without `live`: `hann`, or `sqrt-hann`.

    Attributes
    ----------
    window, hop, bins : int
    """

    def __init__(self, window: int, hop: int, live: bool = False, synthesis: int | None = None,
                 taper: str = "hann") -> None:
        if window % hop or window < 2 * hop:
            raise ValueError(f"a window of {window} is not a number of hops of {hop}")
        self.window, self.hop, self.bins = window, hop, window // 2 + 1
        if live:
            first: Sound
            first, second = windows(window, synthesis or window, hop)
            # The stage's window holds 1 / window for FFTW.
            last: Sound = np.concatenate([np.zeros(window - len(second)), second.astype(np.float64) * window])
        else:
            first = hann(window, sym=False) ** (0.5 if taper == "sqrt-hann" else 1)
            last = first / np.tile((first.reshape(-1, hop) ** 2).sum(axis=0), window // hop)
        self._windows: dict[np.dtype[Any], tuple[Sound, Sound]] = {
            np.dtype(kind): (first.astype(kind), last.astype(kind)) for kind in (np.float32, np.float64)
        }

    def count(self, frames: int) -> int:
        """Return how many spectra a sound of so many samples has."""
        return -(-frames // self.hop) + self.window // self.hop

    def analyse(self, sound: Sound) -> Spectra:
        """Return the spectra, complex[channels, frames, bins], of a sound float[channels, samples], as precise as it.

        Bins come last: a frame is contiguous. Use `swapaxes(1, 2)` for the [bins, frames] of publications.
        """
        channels, samples = sound.shape
        count = self.count(samples)
        padded = np.zeros((channels, (count - 1) * self.hop + self.window), sound.dtype)
        padded[:, self.window : self.window + samples] = sound
        frames = np.lib.stride_tricks.sliding_window_view(padded, self.window, axis=1)[:, :: self.hop]
        weighted: Sound = frames * self._windows[sound.dtype][0]
        spectra: Spectra = fft.rfft(weighted, axis=2)
        return spectra

    def resynthesise(self, spectra: Spectra, samples: int) -> Sound:
        """Return the sound float[channels, samples] of spectra [channels, frames, bins]."""
        frames: Sound = fft.irfft(spectra, self.window, axis=2)
        frames *= self._windows[frames.dtype][1]
        channels, count, _ = frames.shape
        parts = self.window // self.hop
        pieces = frames.reshape(channels, count, parts, self.hop)
        sound = np.zeros((channels, count + parts - 1, self.hop), frames.dtype)
        for part in range(parts):
            sound[:, part : part + count] += pieces[:, :, part]
        return np.ascontiguousarray(sound.reshape(channels, -1)[:, self.window : self.window + samples])
