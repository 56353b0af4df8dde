"""Separator: what every offline system of separation is, whatever it computes. Read this before the systems.

A system is a dataclass: its fields are its options, with the defaults of `rtsep.catalogue`. The host
(`rtsep.separation`) makes one, lets it `fit` once on an excerpt, and then hands it the recording passage by
passage, so that the memory does not grow with the length. What is learnt is kept in the object between the calls.
"""

from __future__ import annotations

import importlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, cast

import numpy as np
from numpy.typing import NDArray

from rtsep.catalogue import SYSTEMS, System
from rtsep.errors import InputError
from rtsep.params import Option

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


def make(method: str, settings: Sequence[str] = ()) -> Separator:
    """Return a system by name.

    Parameters
    ----------
    method : str
    settings : sequence of str
        `option=value`.

    Raises
    ------
    InputError
        If there is no such system or option, or the value is not allowed.
    """
    system = _find(method, "--method")
    return _made(system, dict(_read(system, setting) for setting in settings))


def make_with(method: str, options: Mapping[str, object]) -> Separator:
    """Return a system by name, as `make` does, with options as values.

    Raises
    ------
    InputError
        See `make`.
    """
    system = _find(method, "method")
    plain = {name: value.item() if isinstance(value, np.generic) else value for name, value in options.items()}
    return _made(system, {name: _option(system, name, name).check(name, value) for name, value in plain.items()})


def _find(method: str, place: str) -> System:
    if method not in SYSTEMS:
        raise InputError(place, f"there is no {method}", "known: " + ", ".join(SYSTEMS))
    return SYSTEMS[method]


def _made(system: System, values: Mapping[str, Any]) -> Separator:
    return cast(Separator, getattr(importlib.import_module(system.module), system.cls)(**values))


def _option(system: System, name: str, place: str) -> Option:
    known = {option.name: option for option in system.options}
    if name not in known:
        raise InputError(place, f"{system.name} has no option {name}", "known: " + ", ".join(known))
    return known[name]


def _read(system: System, setting: str) -> tuple[str, Any]:
    name, _, text = setting.partition("=")
    option = _option(system, name, f"--set {setting}")
    value: Any = text
    try:
        if option.kind is bool:
            value = {"true": True, "1": True, "false": False, "0": False}[text.lower()]
        elif option.kind in (int, float):
            value = option.kind(text)
    except (ValueError, KeyError):
        pass   # `check` says what would be right
    return name, option.check(f"--set {setting}", value)
