"""Presets: the builtin ones and files of them, and what a change from one to another disturbs."""

from __future__ import annotations

import itertools
import os
import textwrap
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from rtsep.atomic import replacing
from rtsep.catalogue import CLASS_LIMITS, OWN_PARAMS, STAGES, StageSpec
from rtsep.catalogue.spec import defaults
from rtsep.errors import InputError
from rtsep.params import Board, Param
from rtsep.presetfile import BLOCK, HOST_OPTIONS, HostConfig, Preset, StageConfig, dumps, loads
from rtsep.tomltext import read

__all__ = [
    "BLOCK",
    "HostConfig", "Preset", "StageConfig", "diff", "dumps", "layout", "learning", "load", "loads", "make_board",
    "most_block", "names", "notes", "save", "text",
]  # fmt: skip


def load(name_or_path: str | os.PathLike[str]) -> Preset:
    """Read and check a preset.

    Parameters
    ----------
    name_or_path : str or path
        One of `names()`, or else a file.

    Raises
    ------
    InputError
        If it cannot be read, or anything in it is wrong; with the line.
    """
    path, place = Path(name_or_path), str(name_or_path)
    if place in CLASS_LIMITS:
        path = _builtin_folder() / f"{place}.toml"
        place = path.name
    elif place in names():
        return _of_stage(STAGES[place])
    allowed = "allowed is a .toml file or one of " + ", ".join(names())
    return loads(read(path, place, "preset", allowed), place)


def names() -> list[str]:
    """Return the names of the builtin presets: one for each latency class, then one for each live system."""
    return [*CLASS_LIMITS, *sorted(name for name, spec in STAGES.items() if spec.turned is not None)]


def text(name: str) -> str:
    """Return a builtin preset as a file to begin one's own with, and what to know of it as comments.

    Raises
    ------
    InputError
        If there is none of that name.
    """
    if name not in names():
        raise InputError(name, "there is no such preset", "allowed is one of " + ", ".join(names()))
    if name in CLASS_LIMITS:
        return (_builtin_folder() / f"{name}.toml").read_text("utf-8")
    hint = textwrap.fill(STAGES[name].hint, 120, initial_indent="# ", subsequent_indent="# ")
    return f"{hint}\n{dumps(load(name))}"


def save(preset: Preset, path: str | os.PathLike[str]) -> None:
    """Write a preset; whatever fails, the file is the old one or the new one, whole.

    Raises
    ------
    InputError
        If the preset would not load again, or the file cannot be written.
    """
    text = dumps(preset)
    loads(text, str(path))
    with replacing(path) as file:
        file.write(text.encode())


def diff(old: Preset, new: Preset) -> Literal["nothing", "params", "chain", "host"]:
    """Say what must be done to get from one preset to another: the most disruptive wins.

    Returns
    -------
    str
        `host`: open the device again; `chain`: build the chain and swap, as the latency class may allow another
        one; `params`: set values; `nothing`: at most the preset's name differs.
    """
    if old.host != new.host:
        return "host"
    if old.chain != new.chain or old.latency_class != new.latency_class:
        return "chain"
    if old.params != new.params:
        return "params"
    return "nothing"


def alike(new: Sequence[StageConfig], old: Sequence[StageConfig]) -> int:
    """Return how many stages at the front of two chains are equal."""
    pairs = zip(new, old, strict=False)
    return sum(1 for _ in itertools.takewhile(lambda pair: pair[0] == pair[1], pairs))


def layout(preset: Preset) -> list[tuple[str, Sequence[Param]]]:
    """Return what `Board` is laid out by: each stage's name and parameters, then the groups of `OWN_PARAMS`."""
    groups: list[tuple[str, Sequence[Param]]] = [
        (c.name, STAGES[c.stage].params_of(c.options)) for c in preset.chain
    ]
    return [*groups, *OWN_PARAMS]


def notes(preset: Preset, mics: int) -> list[str]:
    """Return what should be said before a preset runs with so many microphones: which stages cannot do all of it."""
    return [
        f"{config.name}: {note}" for config in preset.chain for note in STAGES[config.stage].notes(config.options, mics)
    ]


def most_block(preset: Preset) -> int | None:
    """Return how many frames a device may hand over at once, for what is learnt to be in time; None: any number."""
    found = (STAGES[config.stage].most_block for config in preset.chain)
    return min((most for most in found if most is not None), default=None)


def learning(preset: Preset) -> list[str]:
    """Return the paths of the parameters that stop, at 0, all that learns."""
    learns = ((config.name, STAGES[config.stage].learns) for config in preset.chain)
    return [f"{name}.{param}" for name, param in learns if param]


def make_board(preset: Preset, mics: Sequence[str], name: str | None = None, create: bool = True) -> Board:
    """Lay out a board for a preset, alike in every process; `OWN_PARAMS` come first, whatever the chain is.

    Parameters
    ----------
    preset : Preset
    mics : sequence of str
    name, create
        As `Board` takes them.
    """
    groups, length = layout(preset), len(preset.chain)
    return Board(mics, [*groups[length:], *groups[:length]], name, create)


def _of_stage(spec: StageSpec) -> Preset:
    """Return a live system's own preset: an input and its stage, in the first class that its latency allows."""
    late = spec.latency(spec.defaults) / 48000
    latency_class = next(name for name, most in CLASS_LIMITS.items() if late <= most)
    chain = tuple(StageConfig(s.name, s.name, s.defaults) for s in (STAGES["input"], spec))
    params = {f"{spec.name}.{name}": float(value) for name, value in (spec.turned or {}).items()}
    return Preset(spec.name, latency_class, HostConfig(**defaults(HOST_OPTIONS)), chain, params)


def _builtin_folder() -> Path:
    here = Path(__file__).resolve().parent
    wheel = here / "builtin_presets"
    return wheel if wheel.is_dir() else here.parent / "presets"


def lay_out(preset: Preset, names: Sequence[str], name: str | None = None) -> Board:
    """Return a board with a preset's values on it, in shared memory where that has a name.

    Raises
    ------
    InputError
        If a value is for a microphone that there is not.
    """
    board = make_board(preset, names, name)
    try:
        for path, value in preset.params.items():
            board.set(path, value)
    except InputError:
        board.close()
        raise
    return board
