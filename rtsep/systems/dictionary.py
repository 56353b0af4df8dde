"""Dictionary: spectra of known sounds, and which part each belongs to; in a file, so that it can be used live."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rtsep.errors import InputError
from rtsep.systems import templatefile
from rtsep.systems.templatefile import Frames

COMBS = "combs"
"""In place of a file's path: `combs`, which needs no file."""

DIVERGENCES = ("euclidean", "kl", "is")
"""By their number in `rtsep_kernels.nmf`."""

_LOWEST, _HIGHEST = 36, 84       # MIDI pitches of the combs: the octaves in which music is mostly played
_PARTIALS = 20
_DECAY = 1.0                     # of the partials' amplitude: 1 / number ** decay
_LOBE_BINS = 2.0                 # half the main lobe of a Hann window


@dataclass(frozen=True)
class Dictionary:
    """Templates, and the parts that they make up.

    Parameters
    ----------
    templates : float32[templates, bins]
        Each adds up to 1.
    members : int64[templates]
        The part of each.
    names : tuple of str
        Of the parts.
    window, rate : int
        Samples and Hz of the spectra.
    divergence : str
        The measure with which they were learnt: `is` means powers, the others magnitudes.
    """

    templates: NDArray[np.float32]
    members: NDArray[np.int64]
    names: tuple[str, ...]
    window: int
    rate: int
    divergence: str = "kl"

    def save(self, path: str) -> None:
        """Write the file.

        Raises
        ------
        InputError
            If it cannot be written.
        """
        templatefile.save(path, "nmf", Frames(self.rate, self.window), self.names, {
            "templates": self.templates, "members": self.members,
            "divergence": np.array(DIVERGENCES.index(self.divergence)),
        })

    def fitted(self, window: int, rate: int) -> Dictionary:
        """Return the same for spectra of another window or rate: templates are read between their bins."""
        if (self.window, self.rate) == (window, rate):
            return self
        ours = np.arange(self.window // 2 + 1) * self.rate / self.window
        theirs = np.arange(window // 2 + 1) * rate / window
        templates = np.stack([np.interp(theirs, ours, template, right=0.0) for template in self.templates])
        return replace(self, templates=scaled(templates), window=window, rate=rate)


def load(path: str) -> Dictionary:
    """Read a file.

    Raises
    ------
    InputError
        If it is none.
    """
    learnt, names, held = templatefile.load(
        path, "nmf", Frames(0, 0), {"templates": "tb", "members": "t", "divergence": ""}
    )
    templates, members, divergence = held["templates"], held["members"].astype(np.int64), int(held["divergence"])
    fits = templates.min() >= 0 <= members.min() and members.max() < len(names) and 0 <= divergence < len(DIVERGENCES)
    if not fits:
        raise InputError(path, "holds no templates of nmf", "allowed is what nmf has saved")
    return Dictionary(
        scaled(templates.astype(np.float64)), members, names, learnt.window, learnt.rate, DIVERGENCES[divergence]
    )


def scaled(templates: NDArray[Any]) -> NDArray[np.float32]:
    """Return templates [templates, bins] that add up to 1 each; one of nothing stays so.

    Raises
    ------
    ValueError
        If they are no table of numbers from 0 on.
    """
    if templates.ndim != 2 or not np.isfinite(templates).all() or (templates < 0).any():
        raise ValueError("templates are finite numbers from 0 on, one row each")
    total = templates.sum(axis=1, keepdims=True)
    return np.ascontiguousarray(templates / np.where(total > 0, total, 1), dtype=np.float32)


def combs(window: int, rate: int, split: int) -> Dictionary:
    """Return one harmonic comb for each semitone from C2 to C6, in the parts `low` and `high`.

    Parameters
    ----------
    window, rate : int
        Samples and Hz.
    split : int
        MIDI pitch of the lowest comb that is `high`.
    """
    bins = np.arange(window // 2 + 1)
    pitches = np.arange(_LOWEST, _HIGHEST + 1)
    templates = np.zeros((len(pitches), len(bins)))
    for template, pitch in zip(templates, pitches, strict=True):
        for number in range(1, _PARTIALS + 1):
            distance = np.abs(bins - number * frequency(int(pitch)) * window / rate)
            template += np.where(distance < _LOBE_BINS, np.cos(np.pi / 2 * distance / _LOBE_BINS) ** 2, 0) \
                / number**_DECAY
    return Dictionary(scaled(templates), (pitches >= split).astype(np.int64), ("low", "high"), window, rate)


def frequency(pitch: float) -> float:
    """Return the frequency of a MIDI pitch, Hz, with A4 at 440."""
    return float(440.0 * 2 ** ((pitch - 69) / 12))


def find(place: str, path: str, window: int, rate: int, split: int) -> Dictionary:
    """Return the combs, or the templates of a file, for such spectra.

    Raises
    ------
    InputError
        If there is no such file.
    """
    if path == COMBS:
        return combs(window, rate, split)
    if not path:
        raise InputError(place, "is empty", f"allowed is a file of templates or {COMBS}")
    return load(path).fitted(window, rate)
