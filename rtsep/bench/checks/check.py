"""Check: one acceptance number of SYSTEMS.md, and how to measure it."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

T = TypeVar("T")


@dataclass(frozen=True)
class Measured:
    """What a check found.

    Parameters
    ----------
    value : float
        In the check's unit.
    cost : float, optional
        Seconds of work per second of audio; None where that means nothing.
    reference : str
        What a well-known library gets from the same input, in words: its name, figure and cost. Empty: there is none.
    """

    value: float
    cost: float | None = None
    reference: str = ""


@dataclass(frozen=True)
class Check:
    """An acceptance number.

    Parameters
    ----------
    section : str
        Row of SYSTEMS.md's table 0.1, as "3.2".
    system : str
        Name in `rtsep.catalogue`, or what the row is called.
    claim : str
        What is measured, on what, in a few words.
    limit : float
        The acceptance number, never loosened.
    at_least : bool
        True: the value must reach the limit; False: it must not exceed it.
    unit : str
    measure : callable
        Returns `Measured`.
    slow : bool
        Takes more than some seconds: run by `pytest -m slow` and by the table.
    """

    section: str
    system: str
    claim: str
    limit: float
    at_least: bool
    unit: str
    measure: Callable[[], Measured]
    slow: bool = False

    def passed(self, measured: Measured) -> bool:
        """Say whether a value meets the limit; nan does not."""
        return measured.value >= self.limit if self.at_least else measured.value <= self.limit


def timed(work: Callable[[], T]) -> tuple[T, float]:
    """Return what `work` returns, and the seconds that it took."""
    begun = time.perf_counter()
    result = work()
    return result, time.perf_counter() - begun


def version(package: str) -> str:
    """Return `package version`, or an empty string if it is not installed."""
    from importlib.metadata import PackageNotFoundError
    from importlib.metadata import version as installed

    try:
        return f"{package} {installed(package)}"
    except PackageNotFoundError:
        return ""
