"""Whoever starts is told that kernels are compiled if they are, and only then."""

from __future__ import annotations

import os
import pathlib
import subprocess
import sys

SCRIPT = """
from rtsep_kernels.compiling import Told
heard = []
with Told(lambda: heard.append(1)):
    import rtsep_kernels.plane.chain
print(len(heard))
"""


def heard(folder: pathlib.Path) -> int:
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT], env={**os.environ, "NUMBA_CACHE_DIR": str(folder)}, capture_output=True,
        text=True, check=True,
    )
    return int(done.stdout)


def test_only_what_is_compiled_is_told(tmp_path: pathlib.Path) -> None:
    assert heard(tmp_path) == 1   # once
    assert heard(tmp_path) == 0   # they are in the cache now
