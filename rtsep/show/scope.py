"""Scope: which paths a pattern means. `output.gain_db` is all of its microphones, `*.vox` all of one's parameters."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from rtsep import presets

if TYPE_CHECKING:
    from rtsep.presets import Preset

_APART = ("output.dry_all", "output.mute_all", "output.clear_clips", "output.solo", "ear", "play")


def matches(pattern: str, path: str) -> bool:
    """Return whether a path is meant by a pattern: `*` is anything, dots as well; what stands below is meant too."""
    return _glob(pattern, path) or _glob(f"{pattern}.*", path)


def any_matches(patterns: Iterable[str], path: str) -> bool:
    """Return whether one of some patterns means a path."""
    return any(matches(pattern, path) for pattern in patterns)


def apart(preset: Preset) -> tuple[str, ...]:
    """Return what stands apart: turned for a moment, or to freeze what is learnt, whatever is recalled."""
    return (*_APART, *presets.learning(preset))


def within(scope: Iterable[str], path: str, apart: Iterable[str]) -> bool:
    """Return whether a path is in a scope: what stands apart must be named there, without a `*`."""
    if any_matches(apart, path):
        return any(matches(pattern, path) for pattern in scope if "*" not in pattern and any_matches(apart, pattern))
    return any_matches(scope, path)


def _glob(pattern: str, path: str) -> bool:
    """Match with `*` alone: microphones' names have all other characters. Takes as long as both are, never longer."""
    first, *rest = pattern.split("*")
    if not rest:
        return pattern == path
    *middle, last = rest
    if not path.startswith(first):
        return False
    at, end = len(first), len(path) - len(last)
    for part in middle:
        found = path.find(part, at, end)
        if found < 0:
            return False
        at = found + len(part)
    return end >= at and path.endswith(last)
