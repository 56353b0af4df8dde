"""Separator: what every offline system of separation is, whatever it computes. Read this before the systems.

A system is a dataclass: its fields are its options, with the defaults of `rtsep.catalogue`. The host
(`rtsep.separate`) makes one, lets it `fit` once on an excerpt, and then hands it the recording passage by
passage, so that the memory does not grow with the length. What is learnt is kept in the object between the calls.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from rtsep.errors import InputError

Audio = NDArray[np.float32]


@dataclass(frozen=True)
class Passage:
    """A part of a recording.

    Parameters
    ----------
    sound : float32[channels, frames]
        C-contiguous; not to be changed.
    rate : int
        Sampling rate, Hz.
    names : tuple of str
        Of the channels.
    first : int
        Frame of the recording at which it begins: what a score is read by.
    """

    sound: Audio
    rate: int
    names: tuple[str, ...]
    first: int = 0

    def demand_channels(self, system: str, least: int, most: int | None = None) -> None:
        """Raise InputError unless there are as many channels as a system can use."""
        count = len(self.sound)
        if count < least or (most is not None and count > most):
            allowed = f"{least}" if least == most else f"{least} or more" if most is None else f"{least} to {most}"
            raise InputError(system, f"the recording has {count} channel{'s' * (count != 1)}", f"allowed is {allowed}")


class Separator(Protocol):
    """A system of separation, offline."""

    def fit(self, excerpt: Passage) -> None:
        """Learn what holds for the whole recording, and refuse what the system cannot use.

        Parameters
        ----------
        excerpt : Passage
            All of a short recording; of a long one several parts, one after the other, about two minutes in all.

        Raises
        ------
        InputError
            If the recording, or an option together with it, is unsuitable.
        """
        ...

    def separate(self, passage: Passage) -> dict[str, Audio]:
        """Separate a passage.

        Returns
        -------
        dict of str to float32[channels, frames]
            Each part by its name; always the same names and channels, and as many frames as the passage.
        """
        ...


def by_name(own: NDArray[np.floating[Any]], names: Sequence[str]) -> dict[str, Audio]:
    """Return one part of one channel for each row, named after its mic."""
    rounded = np.ascontiguousarray(own, np.float32)
    return {name: rounded[c : c + 1] for c, name in enumerate(names[: len(own)])}
