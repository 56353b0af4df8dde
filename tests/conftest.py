"""Tests import their helpers (`naive`, `jack_server`) as modules of this folder."""

from __future__ import annotations

import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).parent))
