"""What is left of a training after each while: enough to go on from bit for bit, and the best weights so far."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from rtsep.atomic import replacing
from rtsep.errors import InputError

STATE, BEST, RUN, CURVES = "checkpoint.pt", "weights.pt", "run.json", "curves.png"
"""Files of a training's folder."""


def begin(folder: Path) -> dict[str, Any] | None:
    """Make a training's folder, and return where it stood; None if it has not begun.

    Raises
    ------
    InputError
        If the checkpoint is damaged, or the folder holds weights without one.
    """
    folder.mkdir(parents=True, exist_ok=True)
    before = read_state(folder)
    if before is None and any(folder.glob("*.pt")):
        raise InputError(str(folder), "holds weights of another training", "name a new folder")
    return before


def refuse_other(folder: Path, told: Mapping[str, Any], before: Mapping[str, Any]) -> None:
    """Refuse to go on with a training that was told otherwise.

    Raises
    ------
    InputError
        Naming what differs.
    """
    for name, value in told.items():
        if before.get(name) != value:
            problem = f"holds a training whose {name} is {before.get(name)!r}, not {value!r}"
            raise InputError(str(folder), problem, "name a new folder")


def write_state(folder: Path, state: dict[str, Any]) -> None:
    """Write where training stands, whole or not at all."""
    with replacing(folder / STATE) as file:
        torch.save(state, file)


def read_state(folder: Path) -> dict[str, Any] | None:
    """Return where training stood; None if it has not begun.

    Raises
    ------
    InputError
        If the file is damaged.
    """
    return _read(folder / STATE) if (folder / STATE).exists() else None


def write_weights(folder: Path, weights: dict[str, Any]) -> None:
    """Write weights, whole or not at all."""
    with replacing(folder / BEST) as file:
        torch.save(weights, file)


def read_weights(folder: Path) -> dict[str, Any]:
    """Return the best weights of a training.

    Raises
    ------
    InputError
        If there are none or the file is damaged.
    """
    if not (folder / BEST).exists():
        raise InputError(str(folder), f"has no {BEST}", "allowed is a folder of `rtsep train` that has validated once")
    return _read(folder / BEST)


def write_run(folder: Path, told: dict[str, Any]) -> None:
    """Write what a training is told, and what it has reached."""
    with replacing(folder / RUN) as file:
        file.write((json.dumps(told, indent=2) + "\n").encode())


def read_run(folder: Path) -> dict[str, Any]:
    """Return what `write_run` wrote.

    Raises
    ------
    InputError
        If it is not there or damaged.
    """
    try:
        told: dict[str, Any] = json.loads((folder / RUN).read_text())
        return told
    except OSError:
        raise InputError(str(folder), f"has no {RUN}", "allowed is a folder of `rtsep train`") from None
    except ValueError as error:
        raise InputError(str(folder / RUN), f"is damaged: {error}") from None


def _read(file: Path) -> dict[str, Any]:
    try:
        found: dict[str, Any] = torch.load(file, map_location="cpu", weights_only=True)
        return found
    except Exception as error:   # torch raises what its unpickler, zipfile or the disk raise
        raise InputError(str(file), f"is damaged: {str(error).splitlines()[0][:80]}", "remove it") from None
