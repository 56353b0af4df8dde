"""The picture that a terminal shows of a run: levels, bleed removed, load, latency, and what the keys have done."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from rtsep import figures
from rtsep.control.layout import Layout, lay_out
from rtsep.control.paint import Line, Span, fit, plain, shown, width
from rtsep.meters import FULL_SCALE, OPEN

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from rtsep.control.desk import Desk
    from rtsep.control.surface import Running

_FLOOR_DB = -60.0     # left end of a bar
_LOUD_DB, _HOT_DB = -12.0, -3.0   # from here on a bar is yellow, red: room for a drum hit, none left
_HIDDEN_DB = 3.0      # with less removed, what the mic itself plays was most of what was measured
_LEVELS = " ▁▂▃▄▅▆▇█"
_CLIPPED = "!"
_TITLES = {"in": "in dB", "out": "out dB", "in_bar": "", "out_bar": "", "level": ""}


def render(
    running: Running, removed: NDArray[np.float64], columns: int, rows: int, notes: Sequence[str] = (),
    waiting: str = "", fresh: bool = False,
) -> list[Line]:
    """Draw one picture, of at most as many lines as the terminal has rows.

    Parameters
    ----------
    running : Running
    removed : float64[mics]
        Bleed reduction in dB, see `rtsep.control.removed`; nan: not known.
    columns, rows : int
        Of the terminal.
    notes : sequence of str
        The latest messages, shown below.
    waiting : str
        What the run waits for, if it does.
    fresh : bool
        The last note is new: where there is no line for it, it takes the place of the first.
    """
    names = [shown(mic) for mic in running.desk.mics]
    layout = lay_out(len(names), max(width(name) for name in names), columns, rows)
    lines = _head(running, layout, columns, waiting)
    if fresh and notes and not layout.notes:
        lines = [((shown(notes[-1]), "yellow"),)]
    lines += _titles(layout)
    cells = [_mic(running, layout, c, name, float(removed[c])) for c, name in enumerate(names)]
    if len(cells) > layout.across * layout.down:
        more = len(cells) - layout.across * layout.down + 1
        cells = [*cells[:-more], ((f"+{more} more", "dim"),)]
    lines += _side_by_side(cells, layout)
    if layout.keys:
        lines.append(_keys(running, columns))
    return lines + [((shown(note), "yellow"),) for note in list(notes)[len(notes) - layout.notes :] if layout.notes]


def _head(running: Running, layout: Layout, columns: int, waiting: str) -> list[Line]:
    desk, info, get = running.desk, running.info, running.meters.get
    samples, rate = get("latency"), info["sample_rate"]
    late = f"{1000 * samples / rate:.2f} ms"
    device = figures.milliseconds(info["device_latency_s"])
    first = _longest(columns, (
        f"{desk.preset.name} ({desk.preset.latency_class})  latency {samples:.0f} samples {late} + device {device}"
        f"  {info['host_api']}",
        f"{desk.preset.name} ({desk.preset.latency_class})  latency {samples:.0f} samples {late} + device {device}",
        f"{desk.preset.name}  {samples:.0f} samples {late} + {device}", f"{desk.preset.name}  {late} + {device}",
    ))
    load = f"load {100 * get('load'):.0f} %"
    counts = [(f.label, get(f.name)) for f in figures.FIGURES if "view" in f.places]
    all_counts, wrong = ("".join(f"  {label} {n:.0f}" for label, n in counts if n or every) for every in (True, False))
    block = get("block")
    times = f"  p99 {get('block_us.p99'):.0f}" + (f" of {1e6 * block / rate:.0f} us" if block else " us")
    if layout.head == 1:
        first = _longest(columns, (f"{first}  {load}{wrong}", f"{late}  {load}{wrong}", f"{load}{wrong}"))
        return [((waiting, "yellow"),) if waiting else ((first, "yellow" if wrong else ""),)]
    second = _longest(columns, (load + times + all_counts, load + times + wrong, load + wrong))
    state: Span = (shown(waiting), "yellow") if waiting else (second, "yellow" if wrong else "")
    return [((first, "bold"),), (state,)]


def _longest(columns: int, texts: Sequence[str]) -> str:
    """Return the first text that fits, or else the last."""
    return next((text for text in texts if width(text) <= columns), texts[-1])


def _titles(layout: Layout) -> list[Line]:
    if not layout.titles:
        return []
    cells = [("mic", False, layout.name)]
    cells += [(_TITLES.get(part, part), not part.endswith("bar"), layout.width(part)) for part in layout.parts]
    one = " ".join(fit(text, columns, right) for text, right, columns in cells)
    return [(((" " * layout.between).join([one] * layout.across).rstrip(), "dim"),)]


def _mic(running: Running, layout: Layout, c: int, name: str, removed: float) -> Line:
    level = running.meters.level
    limiter = float(level("limiter_gain")[c])
    marks = _marks(running, layout, c)
    ear = running.desk.ear
    spans: list[Span] = [(fit(name, layout.name), "reverse" if ear is not None and ear.chosen == c else "")]
    for part in layout.parts:
        columns = layout.width(part)
        spans.append((layout.before(part), ""))
        if part == "removed" or part == "bleed removed":
            spans.append((fit(_removed(removed), columns, right=True), ""))
        elif part == "reduction":
            reduction = float(running.meters.reduction()[:, c].mean())
            spans.append((fit("" if abs(reduction) < 0.05 else f"{reduction:.1f} dB", columns, right=True), ""))
        elif part == "limiter":
            spans.append((fit("" if limiter > OPEN else f"{_db(limiter):.1f} dB", columns, right=True), "alarm"))
        else:
            peak = float(level("in_peak" if part.startswith("in") else "out_peak")[c])
            mark, style = marks.get(part, ("", ""))
            text = {"in": _marked(mark, peak), "out": _marked(mark, peak), "level": _letter(peak)}.get(part)
            limited = part in ("out", "level") and limiter <= OPEN
            style = "alarm" if limited else style or ("" if part in ("in", "out") else _colour(peak))
            spans.append((_bar(peak, columns) if text is None else fit(text, columns, right=True), style))
    return tuple(spans)


def _marks(running: Running, layout: Layout, c: int) -> dict[str, Span]:
    """Return the mark and the style of a mic's levels: what has clipped stays marked until it is cleared."""
    meters = running.meters
    first = next(part for part in ("in", "out", "level") if part in layout.parts)
    behind = "out" if "out" in layout.parts else first
    marks: dict[str, Span] = {}
    if meters.early(running.desk.get("output.early_clip_db"))[c]:
        marks[first] = ("", "yellow")
    if meters.level("limiter_held")[c] < OPEN:
        marks[behind] = (_CLIPPED, "alarm")
    if meters.level("in_held")[c] >= FULL_SCALE:
        marks[first] = (_CLIPPED, "alarm")
    return marks


def _marked(mark: str, peak: float) -> str:
    """Return a level of at most six letters, the mark among them."""
    text = f"{mark}{_db(peak):.1f}"
    return text if len(text) <= 6 else f"{mark}{_db(peak):.0f}"


def _side_by_side(cells: Sequence[Line], layout: Layout) -> list[Line]:
    """Put mics into columns, one below the other first."""
    lines = []
    for r in range(min(layout.down, len(cells))):
        spans: list[Span] = []
        for cell in cells[r :: layout.down]:
            if spans:
                spans.append((" " * layout.between, ""))
            spans += [*cell, (" " * (layout.whole - width(plain(cell))), "")]
        lines.append(tuple(spans))
    return lines


def _keys(running: Running, columns: int) -> Line:
    desk = running.desk
    keys = [
        ("d", "dry all", desk.get("output.dry_all") > 0.5),
        ("m", "mute all", desk.get("output.mute_all") > 0.5),
        ("f", "freeze", desk.frozen),
        ("c", "clear clips", False),
        *([("s", "save", False)] if desk.can_save else []),
        *_transport(desk),
        ("u", "undo", False),
        ("q", "quit", False),
    ]
    if desk.ear is not None:
        dim = desk.get("ear.dim") > 0.5
        keys[-1:-1] = [("↑↓ i o x a", f"ear {shown(desk.ear.told)}", desk.ear.heard), ("b", "dim", dim)]
    if (snapshots := desk.snapshots) is not None:
        known = dict(snapshots.listing())
        current = f"{snapshots.current} {shown(known.get(snapshots.current, ''))}" if snapshots.current else "none yet"
        keys[-1:-1] = [("n p", f"snapshot {current}", False), ("w", "store", False)]
    texts = [(f" {key} {word}{' ON' if on else ''} ", on) for key, word, on in keys]
    if sum(width(text) + 1 for text, _on in texts) > columns:   # what is on, and the letters
        texts = [(f"{key} {word} ON" if on else key, on) for key, word, on in keys]
    spans: list[Span] = []
    for text, on in texts:
        spans += [(text, "reverse" if on else "dim"), (" ", "")]
    return tuple(spans)


def _transport(desk: Desk) -> list[tuple[str, str, bool]]:
    """Return the keys of a recording that is played."""
    if desk.transport is None:
        return []
    minutes, seconds = divmod(int(desk.transport.position), 60)
    runs, loops = desk.get("play.run") > 0.5, desk.get("play.loop") > 0.5
    return [("space", f"play {minutes}:{seconds:02d}", runs), ("r", "rewind", False), ("l", "loop", loops)]


def _db(peak: float) -> float:
    return 20 * float(np.log10(max(peak, 1e-6)))


def _share(peak: float) -> float:
    return min(1.0, max(0.0, 1 - _db(peak) / _FLOOR_DB))


def _colour(peak: float) -> str:
    db = _db(peak)
    return "red" if db > _HOT_DB else "yellow" if db > _LOUD_DB else "green"


def _bar(peak: float, columns: int) -> str:
    full = round(columns * _share(peak))
    return "█" * full + "·" * (columns - full)


def _letter(peak: float) -> str:
    return _LEVELS[round((len(_LEVELS) - 1) * _share(peak))]


def _removed(decibels: float) -> str:
    if np.isnan(decibels):
        return "-"
    return f"{'≥ ' if 0 <= decibels < _HIDDEN_DB else ''}{decibels:.1f} dB"
