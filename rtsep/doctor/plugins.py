"""Plug-ins: each one of a preset that comes from a file is test-loaded, in a process of its own."""

from __future__ import annotations

from collections.abc import Iterator

from rtsep.doctor.finding import BAD, GOOD, WARN, Finding
from rtsep.errors import InputError
from rtsep.plugins.probing import probe
from rtsep.plugins.slots import SlotConfig
from rtsep.presets import Preset


def plugins(preset: Preset, rate: int) -> list[Finding]:
    """Test-load what a preset has, and say which of it is slow, lies about its latency, or cannot be used.

    Parameters
    ----------
    preset : Preset
    rate : int
        Hz.
    """
    found = [_one(slot, rate, unit) for slot, unit in _of_files(preset)]
    return found or [Finding("plug-ins", GOOD, "none that come from files")]


def _one(slot: SlotConfig, rate: int, unit: int) -> Finding:
    try:
        seen = probe(slot.plugin, slot.path, rate, unit, slot.state, place=slot.plugin or slot.path, fresh=True,
                     width=slot.width)
    except InputError as error:
        return Finding("plug-ins", BAD, str(error), "take it out of the preset, or install it again")
    text = f"{seen.name} {seen.version}: latency {seen.latency} samples, p50 {seen.p50_ms:.2f} ms a unit"
    if seen.notes:
        return Finding("plug-ins", WARN, f"{text}; {'; '.join(seen.notes)}", "listen to it before the show")
    return Finding("plug-ins", GOOD, text)


def _of_files(preset: Preset) -> Iterator[tuple[SlotConfig, int]]:
    """Return every different plug-in of a file, and the unit that it will get."""
    from rtsep.catalogue.strips import chain_of, slots
    from rtsep.plugins.builtins import BUILTINS

    seen = set()
    for config in preset.chain:
        if config.stage != "strips":
            continue
        chains = [slots(config.options["each"]), *map(chain_of, config.options["strips"])]
        for slot in (slot for chain in chains for slot in chain):
            key = (slot.plugin, slot.path, slot.state, slot.width)
            if key not in seen and (slot.path or slot.plugin not in BUILTINS):
                seen.add(key)
                yield slot, config.options["unit"]
