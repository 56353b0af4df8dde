"""What a scene is."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Audio = NDArray[np.float32]
Signal = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Scene:
    """A concert with its truth.

    Attributes
    ----------
    rate : int
        Sample rate in Hz.
    names : tuple of str
        Name of each microphone, after its own source; no name occurs twice.
    mics : float32[microphones, frames]
        What the microphones record: image + bleed + noise.
    images : float32[microphones, frames]
        Each source as its own microphone hears it, with its room and the microphone's gain. float32[0, frames] of
        a recording of which nobody knows the truth.
    sources : float32[microphones, frames]
        The dry sources; like `images` none, where they are not known.
    kind : str
        One of `KINDS`, or where the scene was read from.
    seed : int
        What it was made from.
    sir_db : float64[microphones]
        Energy of the image over that of the bleed, over the concert without the soundcheck; nan if not known.
    mixing : float32[microphones, sources], optional
        For linear kinds: mics = mixing @ sources + noise, until the gains first change. None for others.
    solos : tuple of (str, float, float)
        Name, start and end in seconds of each solo of the soundcheck.
    """

    rate: int
    names: tuple[str, ...]
    mics: Audio
    images: Audio
    sources: Audio
    kind: str
    seed: int
    sir_db: Signal
    mixing: Audio | None = None
    solos: tuple[tuple[str, float, float], ...] = ()

    @property
    def known(self) -> bool:
        """Whether the truth is known: images and sources."""
        return len(self.images) == len(self.names)
