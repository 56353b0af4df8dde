"""Fitting: a preset's stages as they fit a format, their options, their memory and their latency."""

from __future__ import annotations

import dataclasses

from rtsep.catalogue import CLASS_LIMITS, STAGES
from rtsep.chain import Chain
from rtsep.errors import InputError
from rtsep.names import numbered
from rtsep.presets import Preset, StageConfig, lay_out
from rtsep.stage import Format

_RATES = (8000, 11025, 12000, 16000, 22050, 24000, 32000, 44100, 48000, 88200, 96000, 176400, 192000)   # of recorders


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
    most = CLASS_LIMITS[preset.latency_class]
    if chain.latency > most * fmt.rate:
        late = f"its chain makes sound {1000 * chain.latency / fmt.rate:.1f} ms late ({chain.latency} samples)"
        allowed = f"class {preset.latency_class} allows {1000 * most:g} ms"
        enough = next((rate for rate in _RATES if rate > fmt.rate and _latency(preset, rate) <= most * rate), None)
        if enough is not None:   # it is the rate's fault
            late = f"at {fmt.rate} Hz its windows cannot be made short enough: {late}"
            allowed += f"; use it from {enough} Hz on, or a preset of a class that may be later"
        raise InputError(f"preset {preset.name}", late, allowed)


def _latency(preset: Preset, rate: int) -> int:
    """Return what a preset's chain would add at a rate, samples."""
    return sum(STAGES[c.stage].latency(c.options) for c in fitted(preset, Format(rate, 1)))
