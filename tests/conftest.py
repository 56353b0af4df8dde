"""Tests import their helpers (`naive`, `jack_server`) as modules of this folder."""

from __future__ import annotations

import os
import pathlib
import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from live_run import Start

sys.path.insert(0, str(pathlib.Path(__file__).parent))

# Before numpy is loaded: with a thread a core, OpenBLAS spends ten times the time of small products on waiting.
for variable in ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS"):
    os.environ.setdefault(variable, "1")


@pytest.fixture
def start() -> Iterator[Start]:
    """Start a `rtsep run`, of which nothing is left when the test ends, however it ends: see `live_run.Live`."""
    from live_run import runs

    with runs() as starting:
        yield starting
