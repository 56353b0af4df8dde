"""Fitting: a preset's stages as they fit a format, their options, their memory and their latency."""

from __future__ import annotations

import dataclasses

from rtsep.catalogue import CLASS_LIMITS, STAGES
from rtsep.chain import Chain
from rtsep.errors import InputError
from rtsep.names import numbered
from rtsep.presets import Preset, StageConfig, lay_out
from rtsep.stage import Format


def needed(preset: Preset, fmt: Format) -> int:
    """Return the bytes that a preset's stages would take; they are not taken."""
    board, total = lay_out(preset, numbered(fmt.channels)), 0
    for config in fitted(preset, fmt):
        stage = STAGES[config.stage].make(config.name, config.options)
        total += stage.allocate(fmt, board)
        stage.close()
    return total


def fitted(preset: Preset, fmt: Format) -> list[StageConfig]:
    """Return a preset's stages with the options that fit its class at this rate."""
    return [
        dataclasses.replace(c, options=STAGES[c.stage].fit(c.options, fmt.rate, preset.latency_class))
        for c in preset.chain
    ]


def check_class(preset: Preset, chain: Chain, fmt: Format) -> None:
    """Refuse a chain that is later than its preset's class allows.

    Raises
    ------
    InputError
    """
    limit = CLASS_LIMITS[preset.latency_class] * fmt.rate
    if chain.latency > limit:
        raise InputError(
            f"preset {preset.name}", f"its chain adds {chain.latency} samples at {fmt.rate} Hz",
            f"class {preset.latency_class} allows {int(limit)}",
        )
