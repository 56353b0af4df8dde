"""News of the mics: which two hear one source, and which hear what nobody else does."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

_SURE = 40   # looks in a row, 2 s of a live host's: what is not clear yet comes and goes


class MicNews:
    """Tells what has been so for a while, and when it is over; each once.

    Parameters
    ----------
    names : sequence of str
        Of the microphones.
    """

    def __init__(self, names: Sequence[str]) -> None:
        self._names = tuple(names)
        k = len(self._names)
        self._twin_looks, self._twin_told = np.zeros((k, k), int), np.zeros((k, k), bool)
        self._out_told = np.zeros(k, bool)

    def look(self, twin: NDArray[np.bool_], out: NDArray[np.bool_]) -> list[str]:
        """Look at what the canceller has found.

        Parameters
        ----------
        twin : bool[k, k]
            The second mic hears the source of the first.
        out : bool[k]
            It is shut out.

        Returns
        -------
        list of str
            A line for each change.
        """
        one = np.triu(twin | twin.T, 1)
        self._twin_looks = np.where(one != self._twin_told, self._twin_looks + 1, 0)
        turned = self._twin_looks >= _SURE
        told = [self._of_pair(int(i), int(j), bool(one[i, j])) for i, j in np.argwhere(turned)]
        self._twin_told ^= turned
        told += [self._of_mic(int(c), bool(out[c])) for c in np.flatnonzero(out != self._out_told)]
        self._out_told = out.copy()
        return told

    def _of_pair(self, i: int, j: int, one: bool) -> str:
        pair = f"{self._names[i]} and {self._names[j]}"
        said = "hear one source: neither is taken out of the other" if one else "are two sources again"
        return f"{pair} {said}"

    def _of_mic(self, c: int, out: bool) -> str:
        said = "hears what nobody else does (a cable? a knock?): left as it is" if out else "is with the others again"
        return f"{self._names[c]} {said}"
