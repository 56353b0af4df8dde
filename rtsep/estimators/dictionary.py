"""Dictionary: spectra of known sounds, and which part each belongs to; in a file, so that it can be used live.

The file is NumPy's .npz: `templates` float[templates, bins], `members` int[templates] (the part of each), `names` (of
the parts), `window` (samples), `rate` (Hz), `divergence`.
"""

from __future__ import annotations

import zipfile
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rtsep.errors import InputError

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
        try:
            with Path(path).open("wb") as file:
                np.savez(
                    file, templates=self.templates, members=self.members, names=np.array(self.names),
                    window=self.window, rate=self.rate, divergence=self.divergence,
                )
        except OSError as error:
            raise InputError(path, f"cannot be written: {error.strerror}") from error

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
    try:
        with Path(path).open("rb") as opened, np.load(opened, allow_pickle=False) as file:
            made = Dictionary(
                scaled(np.asarray(file["templates"], dtype=np.float64)), np.asarray(file["members"], dtype=np.int64),
                tuple(str(name) for name in file["names"]), int(file["window"]), int(file["rate"]),
                str(file["divergence"]),
            )
    except OSError as error:
        raise InputError(path, f"cannot be read: {error.strerror or 'it is no file of templates'}") from error
    except (ValueError, TypeError, AttributeError, KeyError, IndexError, EOFError, zipfile.BadZipFile) as error:
        raise InputError(path, "is no file of templates", "`rtsep separate --method nmf --set save=PATH` makes one") \
            from error
    rank, bins = made.templates.shape
    sound = (
        rank > 0 and bins == made.window // 2 + 1 and made.members.shape == (rank,) and len(made.names) > 0
        and made.members.min() >= 0 and made.members.max() < len(made.names) and made.divergence in DIVERGENCES
    )
    if not sound:
        raise InputError(path, "its templates, parts and window do not fit together")
    return made


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
