"""The picture that a terminal shows of a run: levels, bleed removed, load, latency, and what the keys have done."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from rtsep import figures

if TYPE_CHECKING:
    from collections.abc import Iterable

    from rtsep.control.surface import Show

_WINDOW = 2048        # frames over which the engine measures powers
_FLOOR_DB = -60.0     # left end of a bar
_BAR = 20             # its length in letters
_LOUD_DB, _HOT_DB = -12.0, -3.0   # from here on a bar is yellow, red: room for a drum hit, none left
_SILENCE = 1e-8       # mean square (-80 dBFS) below which bleed removed means nothing
_MOST_REMOVED = 99.9  # dB; more does not fit, and would be nothing but silence


def render(show: Show, notes: Iterable[str] = ()) -> RenderableType:
    """Draw one picture.

    Parameters
    ----------
    show : Show
    notes : iterable of str
        The latest messages, shown below.
    """
    desk, info, meters = show.desk, show.info, show.meters
    get, samples = meters.get, meters.get("latency")
    late = Text(figures.told(get, "view", "  "))
    if any(get(figure.name) for figure in figures.FIGURES if "view" in figure.places):
        late.stylize("yellow")
    head = Text.assemble(
        (desk.preset.name, "bold"), f" ({desk.preset.latency_class})  latency {samples:.0f} samples "
        f"{1000 * samples / info['sample_rate']:.2f} ms + device {1000 * info['device_latency_s']:.1f} ms\n",
        f"{info['host_api']}  load {100 * get('load'):.0f} %  p99 {get('block_us.p99'):.0f} us  ", late,
    )
    table = Table(box=None, pad_edge=False)
    for column in ("mic", "in dBFS", "", "out dBFS", "", "bleed removed", "limiter"):
        table.add_column(column, no_wrap=True, justify="right" if column.endswith(("dBFS", "removed")) else "left")
    for c, mic in enumerate(desk.mics):
        peak_in, peak_out = meters.level("in_peak")[c], meters.level("out_peak")[c]
        table.add_row(
            mic, f"{_db(peak_in):.1f}", _bar(peak_in), f"{_db(peak_out):.1f}", _bar(peak_out),
            _removed(meters.level("dry_power")[c], meters.level("out_power")[c]),
            _limiter(meters.level("limiter_gain")[c]),
        )
    keys = Text()
    for key, word, on in (
        ("d", "dry all", desk.get("output.dry_all") > 0.5),
        ("m", "mute all", desk.get("output.mute_all") > 0.5),
        ("f", "freeze", desk.frozen),
        ("q", "quit", False),
    ):
        keys.append(f" {key} {word}{' ON' if on else ''} ", "reverse" if on else "dim")
        keys.append(" ")
    return Group(head, table, keys, *(Text(note, "yellow") for note in notes))


def _db(peak: float) -> float:
    return 20 * float(np.log10(max(float(peak), 1e-6)))


def _bar(peak: float) -> Text:
    db = _db(peak)
    full = round(_BAR * min(1.0, max(0.0, 1 - db / _FLOOR_DB)))
    return Text("█" * full + "·" * (_BAR - full), "red" if db > _HOT_DB else "yellow" if db > _LOUD_DB else "green")


def _removed(dry: float, out: float) -> str:
    if dry < _SILENCE * _WINDOW:
        return "-"
    return f"{min(_MOST_REMOVED, 10 * float(np.log10(dry / max(out, 1e-20)))):.1f} dB"


def _limiter(gain: float) -> Text:
    return Text("" if gain > 0.999 else f"{_db(gain):.1f} dB", "bold red")
