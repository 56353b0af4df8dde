"""Bands: the octaves in which the meters show how much is taken away of each mic."""

from __future__ import annotations

import numpy as np

from rtsep import fftw
from rtsep.meters import OCTAVES
from rtsep_kernels.plane import bands
from rtsep_kernels.plane.record import State

_SECONDS = 0.02   # of sound that is looked at, at least: bins of 50 Hz at most, so that the lowest octave has one


def make(channels: int, rate: int) -> State:
    """Return the record of `rtsep_kernels.plane.bands`; octaves that a rate does not have stay at 0 dB."""
    window = 1 << (int(_SECONDS * rate) - 1).bit_length()
    hann = np.sin(np.pi * (np.arange(window) + 0.5) / window) ** 2
    borders = np.array([*OCTAVES, 2 * OCTAVES[-1]]) / np.sqrt(2)   # Hz
    return bands.BANDS.make(
        channels=channels, window=window, shape=hann / np.sqrt(window / 4 * (hann**2).sum()),
        edges=np.minimum(np.ceil(borders * window / rate), window // 2).astype(np.int64),
        forward=fftw.execute_addresses()[0], plan=fftw.plan(window, True),
    )
