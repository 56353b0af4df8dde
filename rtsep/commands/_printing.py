"""How verbs print: tables and JSON on standard output, reports into files."""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any


def print_json(value: Any) -> int:
    """Print a value as JSON; returns the exit code of a verb that is done with that."""
    print(_json(value))
    return 0


def write_json(path: str | None, value: Any) -> None:
    """Write a value as JSON, whole or not at all; nothing where no file is asked for."""
    if path is not None:
        from rtsep.atomic import replacing

        with replacing(path) as file:
            file.write((_json(value) + "\n").encode())


@contextmanager
def compiling_told() -> Iterator[None]:
    """Say on standard error, once, that kernels are compiled, if any are: minutes of silence look like a hang."""
    from rtsep.control.writer import say_last
    from rtsep_kernels.compiling import Told

    with Told(lambda: say_last(sys.stderr, "rtsep: compiling the kernels: only the first run takes minutes")):
        yield


def print_numbers(
    rows: Sequence[Mapping[str, Any]], columns: Sequence[str], note: str, mean: Mapping[str, float] | None = None
) -> None:
    """Print rows of numbers under their names, each row's `mic` in front; plain text, so that it can be piped."""
    width = max(4, *(len(str(row["mic"])) for row in rows))
    heads = [column.replace("_", " ") for column in columns]
    widths = [max(7, len(head)) for head in heads]
    print("  ".join(["mic".ljust(width), *(head.rjust(w) for head, w in zip(heads, widths, strict=True))]))
    shown = [*rows, {"mic": "mean", **mean}] if mean else rows
    for row in shown:
        numbers = (row[column] for column in columns)
        cells = [(f"{x:.1f}" if math.isfinite(x) else "-").rjust(w) for x, w in zip(numbers, widths, strict=True)]
        print("  ".join([str(row["mic"]).ljust(width), *cells]))
    print(f"({note})")


def print_grid(heads: Sequence[str], rows: Sequence[Sequence[str]], texts: int, title: str) -> None:
    """Print a table: with lines on a terminal, plain in a pipe. The first `texts` columns are words."""
    if not rows:
        return
    if sys.stdout.isatty():
        from rich.console import Console
        from rich.table import Table

        table = Table(title=title)
        for n, head in enumerate(heads):
            table.add_column(head, justify="left" if n < texts else "right")
        for row in rows:
            table.add_row(*row)
        Console().print(table)
        return
    widths = [max(len(row[n]) for row in [heads, *rows]) for n in range(len(heads))]
    print(f"({title})")
    for row in [heads, *rows]:
        cells = (c.ljust(w) if n < texts else c.rjust(w) for n, (c, w) in enumerate(zip(row, widths, strict=True)))
        print("  ".join(cells).rstrip())


def _json(value: Any) -> str:
    """Return a value as JSON, which has no NaN: what is not known is null."""
    return json.dumps(_known(value), indent=2, allow_nan=False)


def _known(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _known(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [_known(one) for one in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
