"""Compiles all kernels that are compiled when their module is imported, on all cores, for `make test` on a new machine.

Otherwise every process of the tests would do so for itself, at the same time.
"""

from __future__ import annotations

import importlib
import multiprocessing
import pathlib

ROOT = pathlib.Path(__file__).parent.parent / "kernels"
LONGEST = ("canceller.job", "canceller.apply")   # half of all the time: they begin first


def modules() -> list[str]:
    """Return the names of all modules of kernels, those that take longest first."""
    package = ROOT / "rtsep_kernels"
    names = {".".join(path.relative_to(package).with_suffix("").parts) for path in package.rglob("*.py")}
    others = sorted(names - set(LONGEST), key=lambda name: (name.startswith("canceller"), name))
    return [f"rtsep_kernels.{name}" for name in (*LONGEST, *others) if not name.endswith("__init__")]


def load(name: str) -> None:
    """Import a module."""
    importlib.import_module(name)


def main() -> None:
    """Import each of them in one of as many processes as there are cores; what is compiled is kept."""
    with multiprocessing.get_context("spawn").Pool() as pool:
        pool.map(load, modules(), chunksize=1)


if __name__ == "__main__":
    main()
