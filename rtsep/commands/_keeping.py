"""How verbs that measure keep what they have found: see `rtsep.bench.history`."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from rtsep.control.writer import say_last
from rtsep.errors import InputError

if TYPE_CHECKING:
    from rtsep.bench.history.reading import Reading


def keep(bench: str, options: Mapping[str, Any], readings: Sequence[Reading], notes: Mapping[str, Any]) -> None:
    """Keep a run, and say so; a history that cannot be written takes nobody's figures away."""
    from rtsep.bench import history

    try:
        number = history.keep(bench, options, readings, notes)
    except InputError as error:
        say_last(sys.stderr, f"rtsep: not kept: {error}")
        return
    say_last(sys.stderr, f"kept: rtsep bench history {number}")
