"""pedalboard's built-in effects that are of use on a mic: their parameters, as a table that loads nothing."""

from __future__ import annotations

from dataclasses import dataclass

from rtsep.params import Param


@dataclass(frozen=True)
class Builtin:
    """A built-in effect.

    Parameters
    ----------
    name : str
        Its class in pedalboard.
    params : tuple of Param
        Named as its attributes.
    help : str
        One line.
    """

    name: str
    params: tuple[Param, ...]
    help: str


BUILTINS: dict[str, Builtin] = {}
