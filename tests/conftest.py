"""Tests import their helpers (`naive`, `jack_server`) as modules of this folder."""

from __future__ import annotations

import os
import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).parent))

# Before numpy is loaded: with a thread a core, OpenBLAS spends ten times the time of small products on waiting.
for variable in ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS"):
    os.environ.setdefault(variable, "1")
