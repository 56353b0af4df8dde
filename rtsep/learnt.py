"""What a run has learnt: every stage's own, and its file, from which a restarted audio process goes on."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from numpy.typing import NDArray

from rtsep import assurance, calibration, npz
from rtsep.atomic import replacing
from rtsep.errors import InputError
from rtsep.names import checked

if TYPE_CHECKING:
    from rtsep.stage import Stage

SCHEMA = 1
_MARK = "learnt_schema"   # which no calibration has
Handed = Mapping[str, Mapping[str, NDArray[Any]]]
"""What stages begin with, by name, as `Stage.learnt` has it."""


class Known(Protocol):
    """What an engine may start from: a `Learnt`, or the calibration of a soundcheck."""

    @property
    def rate(self) -> int:
        """Samples per second."""

    @property
    def names(self) -> tuple[str, ...]:
        """The microphones."""

    def of(self, stage: str) -> Mapping[str, NDArray[Any]] | None:
        """Return what a stage of that name starts from, as `Stage.learnt` gives it; None: nothing is known."""

    def told(self) -> str:
        """Return how sure it is, as a part of a line."""


@dataclass(frozen=True)
class Learnt:
    """What every stage of a chain has learnt.

    Parameters
    ----------
    rate : int
        Sampling rate, Hz.
    names : tuple of str
        One per microphone.
    stages : mapping of str to mapping of str to array
        By a stage's name what `Stage.learnt` gave.
    """

    rate: int
    names: tuple[str, ...]
    stages: Mapping[str, Mapping[str, NDArray[Any]]]

    def of(self, stage: str) -> Mapping[str, NDArray[Any]] | None:
        """See `Known.of`."""
        return self.stages.get(stage)

    def told(self) -> str:
        """See `Known.told`."""
        said = [(stage, assurance.of_learnt(learnt, self.names)) for stage, learnt in self.stages.items()]
        if len(said) == 1:
            return said[0][1] or f"what {said[0][0]} has learnt"
        return "; ".join(f"{stage}: {text}" if text else f"{stage} has learnt" for stage, text in said) or "nothing"


def gather(stages: Iterable[Stage], rate: int, names: Sequence[str]) -> Learnt:
    """Return what prepared stages have learnt so far; nothing of a stage that has learnt what is not finite.

    What a stage is doubtful of by now it gives as it was sure of it: see `Stage.learnt`.
    """
    found = {stage.name: learnt for stage in stages if (learnt := stage.learnt(best=True)) is not None}
    sound = {name: learnt for name, learnt in found.items() if all(np.isfinite(a).all() for a in learnt.values())}
    return Learnt(rate, tuple(names), sound)


def save(learnt: Learnt, path: str | os.PathLike[str]) -> None:
    """Write what was learnt as one file, whole or not at all.

    Raises
    ------
    InputError
        The file cannot be written.
    """
    arrays: dict[str, Any] = {_MARK: np.int64(SCHEMA), "rate": np.int64(learnt.rate), "names": np.array(learnt.names)}
    for stage, group in learnt.stages.items():
        arrays |= {f"{stage}.{name}": array for name, array in group.items()}
    with replacing(path) as file:
        np.savez(file, **arrays)


def load(path: str | os.PathLike[str]) -> Known:
    """Read what `save` has written, or else a calibration (`rtsep.calibration.load`).

    Raises
    ------
    InputError
        The file is missing, damaged, of another schema, or neither.
    """
    place = str(path)
    try:
        read = npz.read(path)
        if _MARK not in read:
            return calibration.load(path)
        schema, rate = int(read.pop(_MARK)), int(read.pop("rate"))
        names = checked([str(name) for name in read.pop("names")], place)
    except InputError:
        raise
    except (OSError, ValueError, KeyError, TypeError):
        return calibration.load(path)   # which says what is wrong
    if schema != SCHEMA:
        raise InputError(place, f"schema {schema} of what was learnt", f"this version reads schema {SCHEMA}")
    stages: dict[str, dict[str, NDArray[Any]]] = {}
    for key, array in read.items():
        stage, _, name = key.partition(".")
        if array.dtype.kind not in "iuf" or not np.isfinite(array).all():
            raise InputError(place, f"{key} holds what is no finite number", "a file written by --save")
        stages.setdefault(stage, {})[name] = array
    for group in stages.values():
        _check_group(place, group, len(names))
    return Learnt(rate, names, stages)


def _check_group(place: str, group: Mapping[str, NDArray[Any]], k: int) -> None:
    """Check what one stage has learnt as far as its meaning is known here; the rest the stage itself compares."""
    if "paths" in group:
        calibration.checked_paths(place, {"confidence": np.zeros((k, k), np.float32), **group}, k)
    for name, shape in ((assurance.EXPECTED_DB, (k, k)), (assurance.SECONDS, (1,))):
        if name in group and group[name].shape != shape:
            raise InputError(place, f"{name} has the shape {list(group[name].shape)}", f"allowed is {list(shape)}")
