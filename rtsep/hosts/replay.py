"""Replay: a recording through the very chain that was heard; what was turned live is turned at the same samples."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import warnings
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from rtsep import audiofile, learnt, presets
from rtsep.errors import InputError, SoundWarning
from rtsep.hosts import script
from rtsep.session import Session

if TYPE_CHECKING:
    from rtsep.chain import Chain
    from rtsep.hosts.script import Action, LifeScript, Script
    from rtsep.runner import Runner

_FRAMES = 8192     # at once; it changes no sample
_MOST_NOTES = 5    # of what was not replayed; recording.jsonl has all


def replay(place: str, target: str, advance: Callable[[float], None] | None = None) -> dict[str, Any]:
    """Render a recording again: in.wav to what was heard.

    Parameters
    ----------
    place : str
        The recording's folder, or a file in there.
    target : str
        See `rtsep.audiofile.open_output`.
    advance : callable, optional
        Told again and again what share is done, 0 to 1.

    Returns
    -------
    dict
        input, output, preset, sample_rate, channels, seconds; frames; `same_frames`, as many of them as are those of
        out.wav, None where there is none; notes, of what could not be as it was.

    Raises
    ------
    InputError
        If it is no recording, or cannot be replayed; then nothing has been written.
    """
    told = script.read(place)
    audiofile.refuse_same(told.folder, target)
    source = _opened(told, script.IN)
    if source is None:
        raise InputError(place, f"there is no {script.IN}", "the folder that `rtsep run --record` made")
    names = tuple(told.facts["microphones"])
    with contextlib.ExitStack() as files:
        files.enter_context(source)
        heard = _opened(told, script.OUT)
        if heard is not None:
            files.enter_context(heard)
        if source.channels != len(names) or source.rate != told.facts["sample_rate"]:
            raise InputError(place, f"{script.IN} is not the one of {script.LINES}", f"{len(names)} microphones")
        output = files.enter_context(
            audiofile.open_output(target, source.rate, source.channels, names, source.frames, "FLOAT", source.origin)
        )
        done, same = 0, True
        same_frames = 0
        for piece in _pieces(told, source, names):
            output.write(piece)
            if heard is not None and same:
                equal = _equal(piece, heard.read(piece.shape[1]))
                same_frames, same = same_frames + equal, equal == piece.shape[1]
            done += piece.shape[1]
            if advance is not None:
                advance(done / max(1, source.frames))
    return {
        "input": place, "output": target, "preset": told.lives[0].preset.name if told.lives else "",
        "sample_rate": source.rate, "channels": source.channels, "seconds": done / source.rate, "frames": done,
        "same_frames": None if heard is None else same_frames, "notes": _notes(told, source.rate),
    }


def _pieces(told: Script, source: audiofile.Input, names: tuple[str, ...]) -> Iterator[NDArray[np.float32]]:
    """Yield what was heard: what each audio process played, and silence between."""
    at = 0
    for number, life in enumerate(told.lives):
        yield from _silence(source, min(life.first, source.frames) - at)
        at = min(life.first, source.frames)
        end = source.frames if life.last is None else min(life.last, source.frames)
        # What a later one began with, the one before had learnt: that is not known any more.
        calibration = told.calibration if number == 0 else None
        player = _Player(told, life, source.rate, names, calibration)
        try:
            yield from player.play(source, end - at)
        finally:
            player.close()
        at = max(at, end)
    yield from _silence(source, source.frames - at)


def _silence(source: audiofile.Input, frames: int) -> Iterator[NDArray[np.float32]]:
    for first in range(0, frames, _FRAMES):
        yield np.zeros_like(source.read(min(_FRAMES, frames - first)))


class _Player:
    """Plays one life again."""

    def __init__(
        self, told: Script, life: LifeScript, rate: int, names: tuple[str, ...], calibration: str | None
    ) -> None:
        self._folder, self._actions = told.folder, life.actions
        board = presets.make_board(life.preset, names)
        for later in life.presets:
            board.extend(presets.layout(later))
        for path, value in life.values.items():
            self._put(board, path, value)
        preset = dataclasses.replace(life.preset, params={})
        self._session = Session.open(preset, rate, names, calibration, board=board)
        self._runner: Runner = self._session.start()
        self._built: dict[int, Chain] = {}

    def play(self, source: audiofile.Input, frames: int) -> Iterator[NDArray[np.float32]]:
        """Yield all that it played."""
        done = 0
        for action in self._actions:
            until = min(action.at, frames)
            while done < until:
                yield self._next(source, min(_FRAMES, until - done))
                done += min(_FRAMES, until - done)
            if action.at < frames:
                self._do(action)
        while done < frames:
            yield self._next(source, min(_FRAMES, frames - done))
            done += min(_FRAMES, frames - done)

    def close(self) -> None:
        """Stop what helps the stages."""
        self._session.close()

    def _next(self, source: audiofile.Input, frames: int) -> NDArray[np.float32]:
        x = source.read(frames)
        out = np.empty_like(x)
        self._runner.process(x, out)
        self._session.engine.retire()
        return out

    def _do(self, action: Action) -> None:
        engine, chain = self._session.engine, action.chain
        if action.values is not None:
            for path, value in action.values.items():
                self._put(self._session.board, path, value)
        elif chain is not None and chain["chain"] not in self._built:
            preset = presets.loads(chain["preset"], script.LINES)
            self._built[chain["chain"]] = engine.build(preset, {}, self._handed(chain))
            engine.preset = preset
        elif chain is not None:
            engine.swap(self._built[chain["chain"]])

    def _handed(self, chain: Any) -> Any:
        """Return what the stages of a new chain began with: what those before had learnt is beside the recording."""
        if not chain.get("learnt"):
            return {}
        path = os.path.join(self._folder, chain["learnt"])
        try:
            known = learnt.load(path)
        except InputError as error:
            warnings.warn(f"{error}; from there on it is not what was heard", SoundWarning, stacklevel=2)
            return None
        return known.stages if isinstance(known, learnt.Learnt) else None

    def _put(self, board: Any, path: str, value: float) -> None:
        with contextlib.suppress(InputError):   # of a preset that was refused: nothing reads it
            board.restore(path, value)


def _opened(told: Script, name: str) -> audiofile.Input | None:
    path = os.path.join(told.folder, name)
    if not os.path.exists(path):
        return None
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", SoundWarning)   # names are those of the lines
        return audiofile.open_input(path)


def _equal(ours: NDArray[np.float32], theirs: NDArray[np.float32]) -> int:
    """Return how many frames are equal before the first one that is not."""
    frames = min(ours.shape[1], theirs.shape[1])
    different = np.flatnonzero((ours[:, :frames] != theirs[:, :frames]).any(axis=0))
    return int(different[0]) if different.size else frames


def _notes(told: Script, rate: int) -> list[str]:
    """Say from where on it need not be what was heard, and why."""
    marks = sorted(told.marks, key=lambda mark: mark["first"])
    notes = [f"from {mark['first'] / rate:.3f} s on it may not be what was heard: {_why(mark)}" for mark in marks]
    left = len(notes) - _MOST_NOTES
    return notes[:_MOST_NOTES] + ([f"and {left} more, see {script.LINES}"] if left > 0 else [])


def _why(mark: Any) -> str:
    words = {
        "lost": "sound that found no room", "gap": "a gap", "unknown": "changes that found no room",
        "late_updates": "updates that were late", "skipped": "updates that were skipped",
        "late_strips": "plug-ins that were late", "bad_results": "plug-ins that answered nonsense",
        "shed": "what was given up under overload", "reload": "a stage that stayed was told at once of what came",
    }
    return words[mark["kind"]]
