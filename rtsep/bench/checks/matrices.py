"""Acceptance of matrices."""

from __future__ import annotations

from rtsep.bench.checks.check import Check

CHECKS: tuple[Check, ...] = ()
