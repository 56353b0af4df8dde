"""The rivals of `rtsep bench bleed`: methods that need nothing but the microphones, and clean each of them.

Here are those that no user would separate with; the others are the systems that the catalogue calls `blind`. All
together by name: `RIVALS`. A rival of its own is one module with one function, both of its name.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING

from rtsep.catalogue import SYSTEMS

if TYPE_CHECKING:
    from rtsep.stage import Block

Rival = Callable[["Block", int], "Block"]
"""float32[mics, frames] and a rate in Hz to float32[mics, frames]."""

OWN = ("nlms", "gate")
"""Modules of this package."""

RIVALS = (*OWN, *(system.name for system in SYSTEMS.values() if system.blind))
"""Every rival by name."""


def rival(name: str) -> Rival:
    """Return one of `RIVALS`."""
    if name in OWN:
        method: Rival = getattr(importlib.import_module(f"{__name__}.{name}"), name)
        return method
    return partial(_separated, name)


def _separated(name: str, mics: Block, rate: int) -> Block:
    """Clean with a system of separation, its window as long as published."""
    import numpy as np

    from rtsep.systems.separator import Passage, make

    settings: tuple[str, ...] = ()
    window = SYSTEMS[name].defaults.get("window")   # samples at 48 kHz
    if window is not None:
        settings = (f"window={max(64, round(window * rate / 48000 / 8) * 8)}",)
    system = make(name, settings)
    passage = Passage(mics, rate, tuple(f"mic{c + 1}" for c in range(len(mics))))
    system.fit(passage)
    return np.concatenate(list(system.separate(passage).values()))
