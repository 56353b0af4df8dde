"""Placing: which single targets of a desk the values of a snapshot are for, and which have no place there."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

from rtsep.errors import InputError
from rtsep.names import listed

if TYPE_CHECKING:
    from rtsep.params import Param


class Targets(Protocol):
    """What has targets: a desk or a board."""

    @property
    def mics(self) -> tuple[str, ...]:
        """Names of the microphones."""

    def param(self, path: str) -> Param:
        """See `Board.param`."""

    def spread(self, path: str) -> list[str]:
        """See `Board.spread`."""


@dataclass
class Placed:
    """What became of values.

    Parameters
    ----------
    values : dict of str to float
        By the path of a single target.
    left : dict of str to list of str
        Paths that have no place, by why.
    """

    values: dict[str, float] = field(default_factory=dict)
    left: dict[str, list[str]] = field(default_factory=dict)

    def lines(self, what: str) -> list[str]:
        """Return what to tell of those that have no place: a line for each reason."""
        return [
            f"{what}: {len(paths)} value{'s' * (len(paths) > 1)} not placed, {why}: {listed(paths)}"
            for why, paths in self.left.items()
        ]


def place(values: Mapping[str, float], targets: Targets) -> Placed:
    """Find the single targets that values are for; what is said of one microphone holds against what is said of all."""
    found = Placed()
    spread: list[tuple[Sequence[str], float]] = []
    for path, value in values.items():
        try:
            targets.param(path).check(path, value)
            spread.append((targets.spread(_named(path, targets)), value))
        except InputError as error:
            found.left.setdefault(error.problem, []).append(path)
    for singles, value in sorted(spread, key=lambda one: len(one[0]) == 1):
        found.values.update(dict.fromkeys(singles, value))
    return found


def _named(path: str, targets: Targets) -> str:
    """Return a path with the name of a microphone in place of its number: what is recall-safe is told by name."""
    head, _, tail = path.rpartition(".")
    if not tail.isdecimal() or tail in targets.mics or not 1 <= int(tail) <= len(targets.mics):
        return path
    named = f"{head}.{targets.mics[int(tail) - 1]}"
    try:
        targets.param(named)
    except InputError:   # a number that is a part of a parameter's name
        return path
    return named
