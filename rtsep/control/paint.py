"""Paint: lines of text with styles, as wide as they look, for a terminal; and what may not reach one."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable

Span = tuple[str, str]
"""Text, and the name of its style."""
Line = tuple[Span, ...]

# Select Graphic Rendition, ECMA-48.
_STYLES = {"bold": "1", "dim": "2", "reverse": "7", "red": "31", "green": "32", "yellow": "33", "alarm": "1;31"}
_CUT = "…"


def shown(text: str) -> str:
    r"""Return text of which a terminal obeys nothing: control letters as `\x1b`, letters and brackets as they are."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def width(text: str) -> int:
    """Return how many columns printable text takes."""
    return sum(_columns(c) for c in text)


def fit(text: str, columns: int, right: bool = False) -> str:
    """Return text that takes exactly this many columns: filled up, or cut and marked as that."""
    if width(text) > columns:
        text = _beginning(text, columns - 1) + _CUT if columns > 0 else ""
    room = " " * (columns - width(text))
    return room + text if right else text + room


def plain(line: Line) -> str:
    """Return a line's text alone."""
    return "".join(text for text, _style in line)


def paint(lines: Iterable[Line], columns: int, rows: int, colour: bool = True) -> str:
    """Return what draws lines from the top of a terminal and clears the rest; what does not fit is cut.

    Parameters
    ----------
    lines : iterable of Line
    columns, rows : int
        Of the terminal.
    colour : bool
        With styles.
    """
    drawn = ["".join(_styled(text, style, colour) for text, style in _cut(line, columns)) for line in lines]
    # A row is cleared before it is written: behind a letter in the last column the cursor still stands on that letter.
    return "\x1b[H" + "\r\n".join("\x1b[K" + row for row in [*drawn, *[""] * rows][:rows])


def _styled(text: str, style: str, colour: bool) -> str:
    return f"\x1b[{_STYLES[style]}m{text}\x1b[0m" if style and colour and text else text


def _cut(line: Line, columns: int) -> Line:
    kept = []
    for text, style in line:
        if width(text) > columns:
            kept.append((fit(text, columns), style))
            break
        kept.append((text, style))
        columns -= width(text)
    return tuple(kept)


def _columns(letter: str) -> int:
    if unicodedata.combining(letter):
        return 0
    return 2 if unicodedata.east_asian_width(letter) in "WF" else 1


def _beginning(text: str, columns: int) -> str:
    kept = ""
    for letter in text:
        columns -= _columns(letter)
        if columns < 0:
            break
        kept += letter
    return kept
