"""Pasting: one microphone's chain of plug-ins for other microphones, with all that stands on its knobs."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from rtsep import presets
from rtsep.catalogue.strips import STRIPS, chain_of, mics_of, name_of, state_path
from rtsep.errors import InputError
from rtsep.params import Board
from rtsep.plugins.slots import chain_params
from rtsep.presets import Preset, StageConfig
from rtsep.show import statefiles
from rtsep.show.folder import Show
from rtsep.show.keeping import Keeper, State, load


def paste(show: Show, source: str, targets: Sequence[str]) -> Path:
    """Write the show's preset with a chain copied, so that a show that runs goes over to it; returns the file.

    What was there is in the history. Values and plug-ins' states are those that stood there last.

    Parameters
    ----------
    show : Show
    source : str
        A microphone, or a strip of two.
    targets : sequence of str
        Likewise.

    Raises
    ------
    InputError
        If there are no such, or a plug-in cannot be there; then nothing is written.
    """
    state = load(show.folder) or State()
    named = state.preset or show.preset
    if named in presets.names():
        raise InputError(str(show.folder), f"its preset {named} is built in",
                         f"`rtsep presets {named} > {show.folder}/mine.toml`, and name that in show.toml")
    path = show.folder / named
    preset = presets.load(str(path))
    given = {place: statefiles.read(show.folder, name) for place, name in state.states.items()}
    made = pasted(preset, tuple(mic.name for mic in show.mics), source, targets, state.values, given)
    presets.loads(presets.dumps(made), str(path))   # with files, each plug-in is looked at for where it comes to
    Keeper(show.folder).keep_old(path)
    presets.save(made, path)
    return path


def pasted(
    preset: Preset, mics: Sequence[str], source: str, targets: Sequence[str], values: Mapping[str, float],
    states: Mapping[str, str],
) -> Preset:
    """Return a preset with one's chain for others as well.

    Parameters
    ----------
    preset : Preset
    mics : sequence of str
    source : str
    targets : sequence of str
    values : mapping of str to float
        What stands on the board, by path, where it is not what the preset says.
    states : mapping of str to str
        Plug-ins' states, base64 by path, where they are not the preset's.

    Raises
    ------
    InputError
        If there are no such.
    """
    configs = [config for config in preset.chain if config.stage == STRIPS.name]
    if len(configs) != 1:
        raise InputError(f"preset {preset.name}", f"has {len(configs)} stages strips", "allowed is one")
    config = configs[0]
    own = {name_of(strip): strip for strip in config.options["strips"]}
    linked = {mic: name for name, strip in own.items() for mic in mics_of(strip) if name != mic}
    known = [*(mic for mic in mics if mic not in linked), *(name for name in own if name not in mics)]
    for name in (source, *targets):
        if name not in known:
            told = f"it is a part of {linked[name]}" if name in linked else "there is no such microphone"
            raise InputError(repr(name), told, f"known: {', '.join(known)}")
    plugins = [
        {**entry, "state": states.get(state_path(config.name, own, source, entry["name"]), entry["state"])}
        for entry in (own[source]["plugins"] if source in own else config.options["each"])
    ]
    if not plugins:
        raise InputError(repr(source), "has no plug-ins", "name one that has")
    first, now = presets.lay_out(preset, mics), presets.lay_out(preset, mics)
    for path, value in values.items():
        with contextlib.suppress(InputError):   # of another preset
            now.set(path, value)
    params = dict(preset.params)
    for target in (name for name in targets if name != source):
        own[target] = {**own.get(target, {"mic": target, "group": ""}), "plugins": plugins}
        params = {path: value for path, value in params.items() if not path.startswith(f"{config.name}.{target}.")}
        params |= _values(config, source, target, own[target], first, now)
    return _with(preset, config, list(own.values()), params)


def _values(
    config: StageConfig, source: str, target: str, strip: Mapping[str, Any], first: Board, now: Board
) -> dict[str, float]:
    """Return what the target's knobs are put to, by path."""
    had = {name_of(one) for one in config.options["strips"]}
    values = {}
    for param in chain_params(chain_of(strip)):
        there = f"{config.name}.{source}.{param.name}" if source in had else f"{config.name}.{param.name}.{source}"
        here, value = f"{config.name}.{target}.{param.name}", now.get(there)
        if here in first.paths() and first.get(here) == value != now.get(here):
            # It was turned since, which a reload respects where presets say the same: so this one says what is next.
            middle = np.float32((param.low + param.high) / 2)
            value = float(np.nextafter(np.float32(value), middle if value != middle else np.float32(param.low)))
        if value != param.default or here in first.paths():
            values[here] = value
    return values


def _with(preset: Preset, config: StageConfig, strips: list[dict[str, Any]], params: dict[str, float]) -> Preset:
    new = dataclasses.replace(config, options={**config.options, "strips": strips})
    chain = tuple(new if one is config else one for one in preset.chain)
    return dataclasses.replace(preset, chain=chain, params=params)
