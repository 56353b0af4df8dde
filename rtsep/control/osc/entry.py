"""Entry: one OSC address, which values it takes, and what of the board they mean."""

from __future__ import annotations

import functools
import struct
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from rtsep.errors import InputError

if TYPE_CHECKING:
    from rtsep.control.osc.packet import Value

_BYPASSED, _ON = 1.0, 2.0     # a plug-in's three states; 0 is off


@dataclass(frozen=True)
class Law:
    """How a value on the wire and a target on the board belong together.

    Parameters
    ----------
    to_board, from_board : callable
    low, high : float, optional
        On the wire; None: as on the board.
    """

    to_board: Callable[[float], float]
    from_board: Callable[[float], float]
    low: float | None = None
    high: float | None = None


def _fader_to_db(place: float) -> float:
    """Return dB of a fader's place, by the X32's four straight lines: 0.75 is 0 dB, 1 is +10 dB."""
    if place >= 0.5:
        return 40 * place - 30
    if place >= 0.25:
        return 80 * place - 50
    return 160 * place - 70 if place >= 0.0625 else 480 * place - 90


def _db_to_fader(db: float) -> float:
    if db >= -10:
        place = (db + 30) / 40
    elif db >= -30:
        place = (db + 50) / 80
    else:
        place = (db + 70) / 160 if db >= -60 else (db + 90) / 480
    return min(1.0, max(0.0, place))


PLAIN = Law(float, float)
NOT = Law(lambda on: 1 - on, lambda target: 1 - target)
FADER = Law(_fader_to_db, _db_to_fader, 0.0, 1.0)
STATE = Law(lambda on: _ON if on else _BYPASSED, lambda state: float(state == _ON), 0.0, 1.0)


@dataclass(frozen=True)
class Address:
    """One address.

    Parameters
    ----------
    address : str
    types : str
        Of its values, as OSC has them: `f`, `i`, `s`; `i|s`: either.
    access : str
        `rw`, `r` or `w`; without values it is read.
    help : str
        One sentence.
    low, high : float, optional
        Range of a number.
    unit : str
    path : str
        On the board; empty: it is no parameter.
    law : Law
    limits : (float, float), optional
        Range of the target, where the law may lead beyond.
    """

    address: str
    types: str
    access: str
    help: str
    low: float | None = None
    high: float | None = None
    unit: str = ""
    path: str = ""
    law: Law = PLAIN
    limits: tuple[float, float] | None = None

    def take(self, values: Sequence[Value]) -> float:
        """Return the target that one value means.

        Raises
        ------
        InputError
            If it is none, or out of range.
        """
        if len(values) != 1 or isinstance(values[0], str | bytes):
            raise InputError(self.address, f"{len(values)} values, or one that is no number", self._allowed())
        value = float(values[0])
        low, high = self._reach
        if not low <= value <= high or (self.types == "i" and value != int(value)):
            raise InputError(self.address, f"{value:g} is out of range", self._allowed())
        assert self.low is not None
        assert self.high is not None
        target = self.law.to_board(min(self.high, max(self.low, value)))   # a float32 may lie a little beyond
        return target if self.limits is None else min(self.limits[1], max(self.limits[0], target))

    def value(self, target: float) -> Value:
        """Return what is said of a target."""
        said = self.law.from_board(target)
        return round(said) if self.types == "i" else said

    @functools.cached_property
    def _reach(self) -> tuple[float, float]:
        """Return the range as it comes over the wire."""
        assert self.low is not None
        assert self.high is not None
        return _single(self.low), _single(self.high)

    def _allowed(self) -> str:
        return f"allowed is one number from {self.low:g} to {self.high:g} {self.unit}".rstrip()


def _single(value: float) -> float:
    """Return a number as a float32 holds it: so it comes over the wire, even from who only sends back what it got."""
    return float(struct.unpack(">f", struct.pack(">f", value))[0])
