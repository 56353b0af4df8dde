"""Tests import their helpers (`naive`, `jack_server`) as modules of this folder."""

from __future__ import annotations

import os
import pathlib
import sys
import tempfile
from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from live_run import Start

    from rtsep.bench.jackd import JackServer

sys.path.insert(0, str(pathlib.Path(__file__).parent))

# Before numpy is loaded: with a thread a core, OpenBLAS spends ten times the time of small products on waiting.
for variable in ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS"):
    os.environ.setdefault(variable, "1")

# What tests measure is not kept among what the user has measured.
_DATA = tempfile.TemporaryDirectory(prefix="rtsep-tests-")
os.environ["XDG_DATA_HOME"] = _DATA.name


@pytest.fixture(scope="module")
def server() -> Iterator[JackServer]:
    """Run a JACK server with four channels, for the tests of a file."""
    from jack_server import jack_server

    with jack_server(channels=4) as running:
        yield running


@pytest.fixture
def preset(tmp_path: pathlib.Path) -> str:
    """Return the file of a live preset."""
    from live_run import PRESET

    path = tmp_path / "test.toml"
    path.write_text(PRESET)
    return str(path)


@pytest.fixture
def start() -> Iterator[Start]:
    """Start a `rtsep run`, of which nothing is left when the test ends, however it ends: see `live_run.Live`."""
    from live_run import runs

    with runs() as starting:
        yield starting
