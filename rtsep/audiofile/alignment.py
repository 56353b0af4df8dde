"""When the recordings of a folder begin, by their time stamps: who starts later than the first, and by how much."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date

from rtsep.audiofile.joining import Shape, apart

_TOLD = 3   # that one line names


def leads(shapes: Sequence[Shape], names: Sequence[str]) -> tuple[list[int], str]:
    """Return for each recording by how many frames it begins after the first one, and what is to be said of that.

    Those that most others overlap with are put where they were. What has no time, or one hours away, begins with the
    first of them.

    Parameters
    ----------
    shapes : sequence of Shape
    names : sequence of str
        Of the files, for the line.
    """
    nothing = [0] * len(shapes)
    starts = [shape.tags.start for shape in shapes]
    known = [i for i, start in enumerate(starts) if start is not None]
    if len({starts[i] for i in known}) < 2:   # none, one, or all at once
        lonely = len(known) == 1 < len(shapes) and bool(starts[known[0]])
        return nothing, f"only {names[known[0]]} has a time stamp: all begin at once" if lonely else ""
    places = {i: apart(starts[known[0]] or 0, starts[i] or 0, shapes[i].rate) for i in known}
    together = _together(places, shapes)
    if len(together) < 2:
        first, second = sorted(known, key=lambda i: places[i])[:2]
        gap = (places[second] - places[first] - shapes[first].frames) / shapes[first].rate
        away = f"{names[second]} begins {_shown(gap)} after {names[first]} has ended" if gap >= 0 else \
            f"{names[second]} is of another day than {names[first]}"
        return nothing, f"the time stamps do not belong together ({away}): all begin at once"
    begin = min(places[i] for i in together)
    found = [places[i] - begin if i in together else 0 for i in range(len(shapes))]
    return found, _line(found, together, shapes, names)


def _together(places: dict[int, int], shapes: Sequence[Shape]) -> list[int]:
    """Return the most recordings that were running at once, one overlapping with another."""
    groups: list[list[int]] = []
    end = 0
    for i in sorted(places, key=lambda i: places[i]):
        if not groups or places[i] >= end or not _same_night(shapes[groups[-1][0]].tags.date, shapes[i].tags.date):
            groups.append([])
            end = places[i]
        groups[-1].append(i)
        end = max(end, places[i] + shapes[i].frames)
    return max(groups, key=len)


def _same_night(one: str, other: str) -> bool:
    """Return whether two dates are not more than a day apart; so are those that nobody knows."""
    try:
        return abs((date.fromisoformat(one) - date.fromisoformat(other)).days) <= 1
    except ValueError:   # no dates, or none that exist
        return True


def _line(found: Sequence[int], together: Sequence[int], shapes: Sequence[Shape], names: Sequence[str]) -> str:
    first = names[next(i for i in together if not found[i])]
    late = [f"{names[i]} {found[i] / shapes[i].rate:.3f} s" for i in together if found[i]]
    parts = []
    if late:
        parts.append(f"placed by their time stamps: {_listed(late)} after {first}")
    odd = [names[i] for i in range(len(shapes)) if i not in together]
    if odd:
        parts.append(f"no time stamp that fits in {_listed(odd)}: begins with the first")
    return "; ".join(parts)


def _listed(names: Sequence[str]) -> str:
    more = f" and {len(names) - _TOLD} more" if len(names) > _TOLD else ""
    return ", ".join(names[:_TOLD]) + more


def _shown(seconds: float) -> str:
    return f"{seconds:.1f} s" if seconds < 120 else f"{seconds / 60:.0f} min" if seconds < 7200 else \
        f"{seconds / 3600:.1f} h"
