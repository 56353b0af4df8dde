"""A JACK server for tests: a fixture's body, which skips where there can be none."""

from __future__ import annotations

import contextlib
import pathlib
import shutil
from collections.abc import Iterator

import pytest

from rtsep.bench.jackd import RATE, JackServer


@contextlib.contextmanager
def jack_server(period: int = 64, rate: int = RATE, channels: int = 4, sync: bool = False) -> Iterator[JackServer]:
    """Run a JACK server, or skip the test with the reason why there is none."""
    if shutil.which("jackd") is None or shutil.which("jack_lsp") is None:
        pytest.skip("jackd is not installed")
    pytest.importorskip("jack", reason="JACK-Client is not installed")
    server = JackServer(period, rate, channels, sync=sync)
    try:
        if not server.ready():
            # Servers that were killed fill JACK's registry for good; with none alive it may be made anew.
            server.close()
            if not _any_server():
                for left in pathlib.Path("/dev/shm").glob("jack*"):
                    shutil.rmtree(left) if left.is_dir() else left.unlink()
            server = JackServer(period, rate, channels, sync=sync)
        if not server.ready():
            pytest.skip("jackd cannot start on this machine")
        yield server
    finally:
        server.close()


def _any_server() -> bool:
    names = (path.read_text() for path in pathlib.Path("/proc").glob("[0-9]*/comm") if path.exists())
    return any(name.strip() == "jackd" for name in names)
