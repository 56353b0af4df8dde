"""Demix: undo a known mixture by gains, X = Λ S, with the pseudo-inverse of Λ.

Use it for digital crosstalk, splits and coincident pickups whose gains are known, or were found by `altmin`,
`fastica` or `ratio`. Do not use it in a room: there every microphone hears the others later and echoed, and a matrix of
gains hardly helps.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike, NDArray

from rtsep.catalogue import SYSTEMS
from rtsep.errors import InputError
from rtsep.stages.unmix import unmixing_of
from rtsep.systems.separator import Audio, Passage, by_name

Matrix = NDArray[np.float64]

_DEFAULTS = SYSTEMS["demix"].defaults


@dataclass
class Demix:
    """Ŝ = Λ† X, in float64, no latency, every sample by itself.

    Parameters
    ----------
    mixing : str
        Λ: how much of source j (column) is in mic i (row), rows separated by `;` and numbers by blanks or commas; or
        the name of a text file with such rows, one a line. With more mics than sources the first mics are the
        sources' own. Columns are divided by their diagonal: each source comes out as its own mic hears it.
    max_condition : float
        Λ with a larger condition number is refused.
    regularisation : float
        ε in (ΛᵀΛ + ε tr(ΛᵀΛ)/n I)⁻¹ Λᵀ. With 0, as given here, an exact Λ is undone exactly; 1e-6, as SYSTEMS.md
        suggests, costs 120 dB at best and matters only without a limit on the condition.

    References
    ----------
    Rajesh & Rajan, WASPAA 2023, doi:10.1109/WASPAA58266.2023.10248133: S = Λ† X.
    """

    mixing: str = _DEFAULTS["mixing"]
    max_condition: float = _DEFAULTS["max_condition"]
    regularisation: float = _DEFAULTS["regularisation"]

    def fit(self, excerpt: Passage) -> None:
        """See `Separator.fit`."""
        if not self.mixing:
            raise InputError("demix", "there is no mixing matrix", 'allowed is for instance mixing="1 0.1; 0.1 1"')
        lam = read_mixing(self.mixing)
        if len(lam) != len(excerpt.sound):
            allowed = f"allowed is one row of {self.mixing!r} for each, {len(lam)}"
            raise InputError("demix", f"the recording has {len(excerpt.sound)} channels", allowed)
        self.unmixing = unmixing_of("demix.mixing", lam, self.max_condition, self.regularisation)

    def separate(self, passage: Passage) -> dict[str, Audio]:
        """See `Separator.separate`; a part for each source, with the name of its own mic."""
        return by_name(apply(self.unmixing, passage.sound), passage.names)


def apply(unmixing: ArrayLike, sound: NDArray[np.floating]) -> Matrix:
    """Return a matrix times a sound, float64[sources, frames]."""
    result: Matrix = np.asarray(unmixing, np.float64) @ sound.astype(np.float64)
    return result


def read_mixing(text: str) -> Matrix:
    """Return the matrix that `Demix.mixing` describes.

    Raises
    ------
    InputError
        If it is neither numbers nor a file of them.
    """
    allowed = 'allowed are rows of numbers such as "1 0.1; 0.1 1", or a file of them'
    lines = text.split(";")
    try:
        if Path(text).is_file():
            lines = Path(text).read_text().splitlines()
    except (OSError, ValueError):
        raise InputError("demix.mixing", f"{text!r} cannot be read", allowed) from None
    try:
        rows = [[float(number) for number in line.replace(",", " ").split()] for line in lines if line.strip()]
        return np.array(rows, np.float64).reshape(len(rows), -1)
    except ValueError:
        raise InputError("demix.mixing", f"{text!r} is no matrix", allowed) from None
