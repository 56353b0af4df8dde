"""The table of all systems: each acceptance number of SYSTEMS.md, what is measured, and what a library gets."""

from __future__ import annotations

import platform
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from rtsep.bench.checks import bleed, factors, kernels, matrices, metrics, networks, spatial, templates
from rtsep.bench.checks.check import Check, Measured
from rtsep.bench.history import LESS, MORE, Reading
from rtsep.bench.markdown import table as markdown_table
from rtsep.catalogue.networks import missing
from rtsep.errors import InputError
from rtsep.models.file import INSTALL

CHECKS: tuple[Check, ...] = (
    *matrices.CHECKS, *bleed.CHECKS, *spatial.CHECKS, *kernels.CHECKS, *factors.CHECKS, *templates.CHECKS,
    *networks.CHECKS, *metrics.CHECKS,
)

_NOISE = 0.01   # of a value: what other versions of libraries change in the last digits

NEEDS_MODEL = {"1.13": "MSS after cleaning"}
"""Rows of SYSTEMS.md's table 0.1 that nothing can be said of without trained models, and which system."""


@dataclass(frozen=True)
class Row:
    """A line of the table; `measured` is None for what needs a trained model."""

    section: str
    system: str
    check: Check | None
    measured: Measured | None


def measure(only: Sequence[str] = (), advance: Callable[[float], None] | None = None) -> list[Row]:
    """Measure acceptance numbers, in the order of SYSTEMS.md.

    Parameters
    ----------
    only : sequence of str
        Systems; all, and what needs a trained model, if empty.
    advance : callable, optional
        Told after each check what share is done.

    Raises
    ------
    InputError
        If there is no check for one of `only`.
    """
    known = {check.system for check in CHECKS}
    for name in only:
        if name not in known:
            raise InputError("--only", f"there is no check of {name}", "known: " + ", ".join(sorted(known)))
    chosen = [check for check in CHECKS if not only or check.system in only]
    rows = []
    for done, check in enumerate(chosen, 1):
        cannot = check in networks.CHECKS and missing()
        rows.append(Row(check.section, check.system, check, None if cannot else check.measure()))
        if advance is not None:
            advance(done / len(chosen))
    if not only:
        rows += [Row(section, name, None, None) for section, name in NEEDS_MODEL.items()]
    return sorted(rows, key=lambda row: _place(row.section))


def _place(section: str) -> list[int]:
    """Return what sections are sorted by; what is beyond SYSTEMS.md comes last."""
    return [int(part) for part in section.split(".")] if section != "beyond" else [99]


def table(rows: Sequence[Row]) -> tuple[list[str], list[list[str]]]:
    """Return heads and cells."""
    heads = ["section", "system", "what", "acceptance", "measured", "verdict", "s/s", "reference on the same input"]
    cells = []
    for row in rows:
        if row.check is None or row.measured is None:
            needs = "needs a model file" if row.check is None else f"needs: {INSTALL}"
            cells.append([row.section, row.system, "trained networks", "-", "-", needs, "-", "-"])
            continue
        check, found = row.check, row.measured
        cells.append([
            row.section, row.system, check.claim, f"{'≥' if check.at_least else '≤'} {check.limit:g} {check.unit}",
            f"{found.value:.4g}", "pass" if check.passed(found) else "FAIL",
            "-" if found.cost is None else f"{found.cost:.2g}", found.reference or "-",
        ])
    return heads, cells


def readings(rows: Sequence[Row]) -> list[Reading]:
    """Return what the history keeps: each acceptance number that was measured; chance has a hundredth of it."""
    return [
        Reading(f"{row.section}.{row.system}.{number}", row.measured.value, row.check.unit,
                MORE if row.check.at_least else LESS, _NOISE * abs(row.measured.value))
        for number, row in enumerate(rows, 1) if row.check is not None and row.measured is not None
    ]


def markdown(rows: Sequence[Row]) -> str:
    """Return the table as a page."""
    heads, cells = table(rows)
    made = sum(row.check is not None for row in rows)
    passed = sum(cell[5] == "pass" for cell in cells)
    lines = [
        "# Systems of separation: acceptance", "",
        "Made by `rtsep bench systems -o bench/systems.md`; do not edit. Acceptance numbers are SYSTEMS.md's. The last",
        "column needs the extra `reference` (`pip install -e '.[dev,reference]'`).",
        f"{passed} of {made} checks pass. s/s: seconds of work per second of audio on this machine "
        f"({platform.machine()}, Python {platform.python_version()}), one thread, shared with others.", "",
        *markdown_table(heads, cells),
    ]
    return "\n".join(lines) + "\n"
