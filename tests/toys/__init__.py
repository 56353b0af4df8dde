"""Toys: the smallest extension of each kind, as CONTRIBUTING.md says that one is made.

A toy is what it changes: new files, and lines put behind a line of a file that there is. `tests/test_contributing.py`
adds each to a copy of the tree and runs its test there.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Toy:
    """An extension.

    Parameters
    ----------
    kind : str
        Its heading in CONTRIBUTING.md.
    new : mapping of str to str
        Text of each new file.
    behind : mapping of str to tuple of (str, str)
        Of each file that there is: a line, and what comes behind it.
    """

    kind: str
    new: dict[str, str]
    behind: dict[str, tuple[tuple[str, str], ...]]

    @property
    def files(self) -> set[str]:
        """Every file that it touches."""
        return {*self.new, *self.behind}
