"""Layout: what of a picture fits a terminal. Names come first: everything else gives way before they are cut."""

from __future__ import annotations

from dataclasses import dataclass

NAME = 11          # columns of a name at least, or its whole length: ten letters, and the mark that it is cut
_GOOD_NAME = 20    # if there is room
_MOST_ACROSS = 4
_BETWEEN = 2       # columns between two mics side by side
_BARS = {"in_bar": 4, "out_bar": 4}   # columns at least; they grow with the room
_MOST_BAR = 20
# Columns that a figure takes. `level` is one letter, `removed` has a shorter head than `bleed removed`.
_WIDTHS = {"in": 6, "out": 6, "bleed removed": 13, "removed": 8, "reduction": 9, "limiter": 8, "level": 1}
# What is shown of a mic, from rich to poor.
_PARTS = (
    ("in", "in_bar", "out", "out_bar", "bleed removed", "reduction", "limiter"),
    ("in", "in_bar", "out", "out_bar", "bleed removed", "limiter"),
    ("in", "out", "out_bar", "removed", "limiter"),
    ("in", "out", "removed", "limiter"),
    ("in", "out", "removed"),
    ("out", "removed"),
    ("out",),
    ("level",),
)
_LEAN = 6   # of them: where only less than this fits, names are cut before more is left out
# Lines besides the mics, from rich to poor: at the top, over the columns, keys, messages.
_LINES = ((2, 1, 1, 4), (2, 1, 1, 2), (1, 1, 1, 1), (1, 0, 1, 1))
_LAST_LINES = (1, 0, 0, 0)


@dataclass(frozen=True)
class Layout:
    """What is shown where.

    Parameters
    ----------
    across : int
        Mics side by side.
    down : int
        Mics below one another; what is more than `across * down` is not shown.
    name : int
        Columns of a name.
    parts : tuple of str
        What is shown of a mic.
    bar : int
        Columns of a bar.
    head, titles, keys, notes : int
        Lines for what runs, over the columns, for the keys, and for messages.
    """

    across: int
    down: int
    name: int
    parts: tuple[str, ...]
    bar: int
    head: int
    titles: int
    keys: int
    notes: int

    def width(self, part: str) -> int:
        """Return the columns of a part."""
        return self.bar if part in _BARS else _WIDTHS[part]

    def before(self, part: str) -> str:
        """Return what stands before a part."""
        return " " * _before(part)

    @property
    def whole(self) -> int:
        """Columns of a mic."""
        return self.name + sum(len(self.before(part)) + self.width(part) for part in self.parts)

    @property
    def between(self) -> int:
        """Columns between two mics side by side."""
        return _BETWEEN


def lay_out(mics: int, longest: int, columns: int, rows: int) -> Layout:
    """Choose what is shown.

    Parameters
    ----------
    mics : int
    longest : int
        Columns of the longest name.
    columns, rows : int
        Of the terminal.
    """
    for lines in (*_LINES, _LAST_LINES):
        down = rows - sum(lines)
        for across in range(1, _MOST_ACROSS + 1):
            last = lines is _LAST_LINES
            if across * down >= mics and (row := _row(longest, columns, across, poorest=last)) is not None:
                return Layout(across, -(-mics // across), *row, *lines)
    # Smaller than any stage needs: what fits.
    down = max(1, rows - sum(_LAST_LINES))
    for across in range(_MOST_ACROSS, 1, -1):
        if (row := _row(longest, columns, across, poorest=True)) is not None:
            return Layout(across, down, *row, *_LAST_LINES)
    name = min(longest, max(1, columns - 2))
    return Layout(1, down, name, ("level",), 0, *_LAST_LINES)


def _row(longest: int, columns: int, across: int, poorest: bool) -> tuple[int, tuple[str, ...], int] | None:
    """Return the columns of names, what is shown, and the columns of bars; None if too little would be."""
    room = (columns + _BETWEEN) // across - _BETWEEN
    for parts in (_PARTS[:_LEAN], _PARTS[_LEAN:] if poorest else ()):
        for most in (_GOOD_NAME, (NAME + _GOOD_NAME) // 2, NAME):
            for shown in parts:
                left = room - min(longest, most) - sum(
                    _before(part) + _BARS.get(part, _WIDTHS.get(part, 0)) for part in shown
                )
                if left >= 0:
                    return _spread(left, min(longest, most), longest, shown)
    return None


def _before(part: str) -> int:
    return 0 if part == "level" else 1   # one letter beside a name that may need the column


def _spread(left: int, name: int, longest: int, shown: tuple[str, ...]) -> tuple[int, tuple[str, ...], int]:
    """Give what is left to the bars, then to names."""
    bars = sum(part in _BARS for part in shown)
    bar = 0
    if bars:
        bar = min(_MOST_BAR, _BARS["in_bar"] + left // bars)
        left -= bars * (bar - _BARS["in_bar"])
    return min(longest, name + left), shown, bar
