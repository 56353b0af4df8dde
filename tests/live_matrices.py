"""Live systems: matrices."""

from __future__ import annotations

from live import Live

LIVE: dict[str, Live] = {}
