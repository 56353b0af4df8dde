"""Recording: the supervisor's side of `run --record`. It owns files, tape and recorder; the sound waits for none."""

from __future__ import annotations

import collections
import contextlib
import dataclasses
import hashlib
import multiprocessing
import os
import pathlib
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import rtsep
from rtsep import presets
from rtsep.errors import InputError
from rtsep.hosts.signals import left_alone
from rtsep.hosts.tape import BEAT, CHANGE, CHANGES, LIVES_COUNT, TapePlace, tape_memory, tape_rows
from rtsep.workers import recorder
from rtsep.workers.take import claim, release

if TYPE_CHECKING:
    from rtsep.hosts.request import Request
    from rtsep.params import Board

_SHARED_FOLDER = "/dev/shm"   # where Linux keeps shared memory; a container may have little of it
_SHARED_ROOM = 1 << 20    # bytes of it that are left to others
_STILL = 2.0              # seconds without a look before that is said: half of what the tape holds
_START_PATIENCE = 10.0    # seconds that a recorder may take to begin
_END_PATIENCE = 5.0       # seconds without a look, at the end
_LAST_MARKS = 1.0         # seconds that marks may take to be noted, at the end
_QUICK, _QUICK_DEATHS = 10.0, 3   # seconds; a recorder that dies sooner, so often in a row, never will do
_WAIT = 0.05              # seconds
_MOST_MARKS = 1000        # that wait for a recorder which does not take them
# Of a mark, characters and paths, which have up to some 100 bytes each: what nobody reads fits into the pipe, so that
# sending waits for nobody.
_LONGEST_TEXT, _PATHS = 8192, 100
_NS = 1_000_000_000


def facts(request: Request, rate: int, names: Sequence[str]) -> dict[str, Any]:
    """Return what the first line of `recording.jsonl` says: all that a render of in.wav needs to know."""
    text = presets.dumps(request.preset)
    return {
        "program": "rtsep", "version": rtsep.__version__, "sample_rate": rate, "microphones": list(names),
        "block": request.block, "calibration": request.calibration,
        "calibration_sha256": None if request.calibration is None else _hash(pathlib.Path(request.calibration)),
        "preset_sha256": hashlib.sha256(text.encode()).hexdigest(), "preset": text,
    }


class NoRecording:
    """What a run has that is not recorded."""

    tape: TapePlace | None = None

    def mark(self, kind: str, since: float | None = None, **details: Any) -> None:
        """Do nothing; see `Recording`."""

    def update(self) -> list[str]:
        """Have nothing to say."""
        return []

    def finish(self) -> str | None:
        """Have no problem."""
        return None


class Recording:
    """Keeps a recorder at work on one take, over all lives of the audio process.

    Parameters
    ----------
    folder : str
        For in.wav, out.wav and recording.jsonl.
    rate : int
        Hz.
    names : sequence of str
        Of the microphones.
    known : dict
        See `facts`.
    memory : str
        Name for the tape's shared memory.
    board : Board, optional
        On which targets change.
    others : deque of (str, float, dict), optional
        Where others put what is to be marked: kind, since when, details.

    Raises
    ------
    InputError
        If there is a recording already, or no room for the tape.

    Attributes
    ----------
    tape : TapePlace
        What an audio process needs for its `Tape`.
    """

    def __init__(
        self, folder: str, rate: int, names: Sequence[str], known: dict[str, Any], memory: str,
        board: Board | None = None, others: collections.deque[tuple[str, float, dict[str, Any]]] | None = None,
    ) -> None:
        self.tape = TapePlace(memory, len(names), rate)
        _check_memory(self.tape)
        files = claim(folder)
        try:
            self._memory = tape_memory(self.tape, create=True)
        except BaseException:
            release(files)
            raise
        self._board, self._extended = board, 0 if board is None else board.extended
        self._job = recorder.Job(self.tape, files, tuple(names), known, () if board is None else tuple(board.labels()))
        self._marks: collections.deque[tuple[int, str, int, dict[str, Any]]] = collections.deque(maxlen=_MOST_MARKS)
        self._numbers = self._sent = 0      # of the newest mark, of the newest that is on its way
        self._others = collections.deque() if others is None else others
        self._deaths = 0
        self._still = self._ended = self._closed = False
        self._problem: str | None = None
        self._frames = 0
        self._start()

    def mark(self, kind: str, since: float | None = None, **details: Any) -> None:
        """Mark a place in the recording: now, or from an earlier time until now.

        Parameters
        ----------
        kind : str
        since : float, optional
            `time.monotonic()` when it began.
        details
            What JSON can say of it.
        """
        begun = time.monotonic_ns() if since is None else round(since * _NS)
        for key, value in details.items():
            if isinstance(value, str) and len(value) > _LONGEST_TEXT:
                for first in range(0, len(value), _LONGEST_TEXT):
                    self._append(recorder.PIECE, begun, {"text": value[first : first + _LONGEST_TEXT]})
                details[key] = recorder.HASH + hashlib.sha256(value.encode()).hexdigest()
        self._append(kind, begun, details)

    def _append(self, kind: str, begun: int, details: dict[str, Any]) -> None:
        self._numbers += 1
        self._marks.append((self._numbers, kind, begun, details))

    def update(self) -> list[str]:
        """See to the recorder; call it some times a second. Returns lines that the user should read."""
        if self._ended:
            return []
        lines = self._listen()
        while self._others:
            kind, since, details = self._others.popleft()
            self.mark(kind, since, **details)
        self._tell_paths()
        if not self._ended and not self._process.is_alive():
            lines += self._listen() or self._died()   # what it said at last, or nothing
        if self._ended:
            return lines
        self._send_marks()
        beat = int(self._memory["counts"][BEAT]) / _NS
        late = time.monotonic() - max(beat, self._started)
        if not self._still and late > (_STILL if beat > self._started else _START_PATIENCE):
            self._still = True
            lines.append(f"the recording stands still: the disk has not answered for {late:.0f} s")
        elif self._still and late < _STILL:
            self._still = False
            lines.append("the recording goes on; recording.jsonl says what was lost")
        return lines

    def finish(self) -> str | None:
        """End the recording, and wait until all is stored; every audio process has ended.

        Returns
        -------
        str or None
            Why it is not complete.
        """
        if self._closed:
            return self._problem
        self._closed = True
        self.update()
        if not self._memory["counts"][LIVES_COUNT]:   # nothing that a mark could be in
            self._marks.clear()
        begun = time.monotonic()
        patience, asked = begun + _END_PATIENCE, None
        while not self._ended and time.monotonic() < patience:
            if asked is not self._process and (not self._marks or time.monotonic() - begun > _LAST_MARKS):
                self._send("end")
                asked = self._process
            self._process.join(_WAIT)
            self.update()
            beat = int(self._memory["counts"][BEAT]) / _NS
            patience = max(patience, beat + _END_PATIENCE)
        if not self._ended:
            self._problem = "the recording is not complete: the disk does not answer"
        self._process.kill()
        self._process.join(_END_PATIENCE)
        self._pipe.close()
        self._memory.close()
        if not self._frames and self._problem is None:   # there never was a sound
            release(self._job.claim)
        return self._problem

    def _start(self) -> None:
        context = multiprocessing.get_context("spawn")
        self._pipe, theirs = context.Pipe()
        self._process = context.Process(target=recorder.serve, args=(theirs, self._job), daemon=True)
        with left_alone():
            self._process.start()
        theirs.close()
        self._started = time.monotonic()
        self._sent = self._marks[0][0] - 1 if self._marks else self._numbers

    def _died(self) -> list[str]:
        self._deaths = self._deaths + 1 if time.monotonic() - self._started < _QUICK else 1
        self._pipe.close()
        code = self._process.exitcode
        if self._deaths >= _QUICK_DEATHS:
            self._ended = True
            self._problem = f"the recording has stopped: the recorder died {self._deaths} times (exit code {code})"
            return [self._problem]
        self._start()
        return [f"the recorder died (exit code {code}); another one goes on in the same files"]

    def _listen(self) -> list[str]:
        with contextlib.suppress(EOFError, OSError):
            while self._pipe.poll():
                kind, content = self._pipe.recv()
                if kind == "noted":
                    while self._marks and self._marks[0][0] <= content:
                        self._marks.popleft()
                elif kind == "ended":   # in good order, but perhaps too early: then it counts as dead
                    self._ended, self._frames = self._closed, content
                else:
                    self._ended, self._problem = True, content
                    return [content]
        return []

    def _send_marks(self) -> None:
        """Send one more when the one before has been noted, so that the pipe never is full."""
        if self._marks and self._sent < self._marks[0][0]:
            self._sent = self._marks[0][0]
            self._send("mark", *self._marks[0])

    def _send(self, *message: Any) -> None:
        with contextlib.suppress(OSError):   # it just died; the next look sees that
            self._pipe.send(message)

    def _tell_paths(self) -> None:
        """Tell the recorder, and any that comes after it, what has been laid out on the board since."""
        if self._board is None or self._board.extended == self._extended:
            return
        self._extended = self._board.extended
        known, now = self._job.paths, self._board.labels()
        self._job = dataclasses.replace(self._job, paths=tuple(now))
        first = next((n for n, (old, new) in enumerate(zip(known, now, strict=False)) if old != new), len(known))
        for place in range(first, len(now), _PATHS):
            self._append(recorder.PATHS, time.monotonic_ns(), {"first": place, "paths": now[place : place + _PATHS]})


def _check_memory(place: TapePlace) -> None:
    need = 8 * place.channels * tape_rows(place.rate) + 8 * len(CHANGE) * CHANGES + _SHARED_ROOM
    with contextlib.suppress(OSError):
        room = os.statvfs(_SHARED_FOLDER)
        free = room.f_bavail * room.f_frsize
        if free < need:
            raise InputError("--record", f"needs {need / 1e6:.0f} MB of shared memory, {free / 1e6:.0f} MB are free")


def _hash(path: pathlib.Path) -> str:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
