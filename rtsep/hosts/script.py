"""Script: what `recording.jsonl` says of a recording, as a replay needs it."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from rtsep import presets
from rtsep.errors import InputError
from rtsep.presets import Preset
from rtsep.workers.take import FILES, breaks

IN, OUT, LINES = FILES
_ALLOWED = "the folder that `rtsep run --record` made"
# Of one sample: a chain is taken before the targets are.
_BUILT, _TAKEN, _TURNED = range(3)


class Action(NamedTuple):
    """What happens before a sample of a life is played: a chain is built or taken, or targets are turned."""

    at: int
    order: int
    chain: Mapping[str, Any] | None = None
    values: Mapping[str, float] | None = None


@dataclass(frozen=True)
class LifeScript:
    """What one audio process played.

    Parameters
    ----------
    first, last : int
        From which frame of the recording to which; `last` None: to its end.
    preset : Preset
        With which it began.
    values : mapping of str to float
        Targets that did not begin by default, by path.
    actions : sequence of Action
        In order; their samples count from `first`.
    """

    first: int
    last: int | None
    preset: Preset
    values: Mapping[str, float]
    actions: Sequence[Action]

    @property
    def presets(self) -> list[Preset]:
        """What it went over to, in order."""
        return [presets.loads(a.chain["preset"], LINES) for a in self.actions if a.order == _TAKEN and a.chain]


@dataclass(frozen=True)
class Script:
    """A whole recording.

    Parameters
    ----------
    folder : str
    facts : mapping
        See `rtsep.hosts.recording.facts`.
    lives : sequence of LifeScript
    marks : sequence of mapping
        From which on even a replay is another sound.
    """

    folder: str
    facts: Mapping[str, Any]
    lives: Sequence[LifeScript]
    marks: Sequence[Mapping[str, Any]]

    @property
    def calibration(self) -> str | None:
        """The file that it began with.

        Raises
        ------
        InputError
            If that is gone, or another one by now.
        """
        path, known = self.facts["calibration"], self.facts["calibration_sha256"]
        if path is None:
            return None
        try:
            with open(path, "rb") as file:
                found = hashlib.file_digest(file, "sha256").hexdigest()
        except OSError as error:
            raise InputError(path, f"cannot be read ({error.strerror})", "the calibration of the recording") from error
        if found != known:
            raise InputError(path, "is not the calibration of the recording any more", f"its sha256 was {known}")
        return str(path)


def read(place: str) -> Script:
    """Read what is said of a recording.

    Parameters
    ----------
    place : str
        Its folder, or a file in there.

    Raises
    ------
    InputError
        If there is none, or it cannot be understood.
    """
    folder = place if os.path.isdir(place) else os.path.dirname(place) or "."
    path = os.path.join(folder, LINES)
    try:
        with open(path, encoding="utf-8") as file:
            lines = [_line(path, number, text) for number, text in enumerate(file, 1) if text.endswith("\n")]
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(place, f"there is no recording ({LINES} cannot be read)", _ALLOWED) from error
    if not lines or lines[0].get("kind") != "recording":
        raise InputError(path, "it does not begin with what was recorded", _ALLOWED)
    try:
        return Script(folder, lines[0], _lives(lines), [line for line in lines if breaks(line)])
    except (KeyError, TypeError, ValueError) as error:
        raise InputError(path, f"a line lacks {error}", _ALLOWED) from error


def _line(path: str, number: int, text: str) -> dict[str, Any]:
    try:
        line = json.loads(text)
    except ValueError as error:
        raise InputError(f"{path}:{number}", f"it is no JSON ({error})", _ALLOWED) from error
    if not isinstance(line, dict) or not isinstance(line.get("kind"), str):
        raise InputError(f"{path}:{number}", "it does not say its kind", _ALLOWED)
    return line


def _lives(lines: Sequence[dict[str, Any]]) -> list[LifeScript]:
    """Put together, for each audio process, all lines of its time."""
    begun = [line for line in lines if line["kind"] == "life"]
    gaps = {line["last"]: line["first"] for line in lines if line["kind"] == "gap"}
    chains = [line for line in lines if line["kind"] == "reload" and line["change"] == "chain"]
    preset, lives = presets.loads(lines[0]["preset"], LINES), []
    for life, following in zip(begun, [*begun[1:], None], strict=True):
        first = int(life["first"])
        end = None if following is None else int(following["first"])
        mine = [line for line in lines if first <= line.get("first", -1) and (end is None or line["first"] < end)]
        turned = [line for line in mine if line["kind"] == "values"]
        built = {line["chain"]: line for line in chains if line["life"] == life["number"]}
        taken = {line["number"]: line["first"] - first for line in mine if line["kind"] == "chain"}
        values: dict[str, float] = {}
        for line in turned:
            values |= line["set"] if line.get("beginning") else {}
        actions = [Action(line["first"] - first, _TURNED, values=line["set"])
                   for line in turned if not line.get("beginning")]
        actions += _of_chains(built, taken, [action.at for action in actions])
        last = None if end is None else gaps.get(end, end)
        lives.append(LifeScript(first, last, preset, values, sorted(actions, key=lambda action: action[:2])))
        if built:
            preset = presets.loads(built[max(built)]["preset"], LINES)
    return lives


def _of_chains(
    built: Mapping[int, dict[str, Any]], taken: Mapping[int, int], turns: Sequence[int]
) -> list[Action]:
    """Return when chains are taken, and when they are built: as late as all targets are as they were then."""
    actions = []
    for number, at in taken.items():
        if number not in built:
            continue
        since = built[number]["settled"]
        later = [turn for turn in turns if since < turn < at]
        actions += [Action(min(later, default=at), _BUILT, built[number]), Action(at, _TAKEN, built[number])]
    return actions
