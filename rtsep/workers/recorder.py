"""The recorder: a process that stores the tape, so that neither a disk nor its own end is heard.

It ends when it is told to; when its supervisor is gone or SIGTERM comes, which may be meant for all, as soon as the
sound has ended; with files in good order.
"""

from __future__ import annotations

import contextlib
import ctypes
import hashlib
import signal
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from multiprocessing.connection import Connection
from typing import Any

from rtsep.hosts.signals import leave_terminal
from rtsep.hosts.tape import (
    BEAT,
    EVENTS,
    EVENTS_COUNT,
    KINDS,
    LIVES_COUNT,
    Event,
    TapePlace,
    tape_memory,
)
from rtsep.workers.changelist import ChangeList
from rtsep.workers.take import Claim, Take
from rtsep.workers.timeline import Jump, Timeline

COMM = "rtsep-recorder"   # what `ps` and `top` show; Linux has 15 letters for it
_POLL = 0.05              # seconds between two looks at the ring; 1/80 of it
_ROWS = 8192              # that are stored at once
_SHOW_EVERY = 1.0         # seconds after which the files' headers say what is there
_MERGE_SECONDS, _LONGEST_EVENT = 1.0, 10.0   # events of a kind that are closer are one, unless it gets so long
_AFTER_DEATH, _LONGEST_WAIT = 0.5, 5.0       # seconds without a row, and at all, until the sound has ended
_SAMPLES = 1200           # looks that are remembered: a minute
# Marks that are no lines: what stands on the board, and a part of a text of the mark that comes next.
PATHS, PIECE = "paths", "piece"
HASH = "sha256 "          # what the hash of a long text begins with
_PR_SET_NAME = 15         # of linux/prctl.h


@dataclass(frozen=True)
class Job:
    """What a recorder is to do.

    Parameters
    ----------
    tape : TapePlace
    claim : Claim
    names : tuple of str
        Of the microphones.
    facts : mapping
        What the first line says of the recording.
    paths : tuple of str
        Of the targets on the board, as far as they are known.
    """

    tape: TapePlace
    claim: Claim
    names: tuple[str, ...]
    facts: Mapping[str, Any]
    paths: tuple[str, ...] = ()


def serve(pipe: Connection, job: Job) -> None:
    """Be the process."""
    leave_terminal()
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_NAME, COMM.encode())
    try:
        recorder = Recorder(pipe, job)
    except OSError as error:
        pipe.send(("stopped", f"the recording cannot go on: {error.filename or job.claim.folder}: {error.strerror}"))
        return
    recorder.run()


class Recorder:
    """Stores the tape from where the one before has left off.

    Parameters
    ----------
    pipe : Connection
        To the supervisor. Received: `mark` with a number, a kind, when it began (ns) and details; `end`. Sent: `noted`
        with the number, `stopped` and why, `ended` and how many frames there are.
    job : Job
    """

    def __init__(self, pipe: Connection, job: Job) -> None:
        self._pipe, self._job = pipe, job
        self._memory = tape_memory(job.tape, create=False)
        self._ring, self._counts = self._memory["ring"], self._memory["counts"]
        self._time = Timeline(self._memory, job.tape.rate)
        self._take = Take(job.claim, job.tape.rate, job.names)
        self._take.show(self._time.frame)
        self._shown = time.monotonic()
        self._open: dict[str, tuple[int, dict[str, Any]]] = {}   # events that may go on: first of them, line
        self._events = self._time.events
        self._changes = ChangeList(self._memory, self._time, job.paths)
        self._pieces: list[str] = []   # of a text that is too long for one message
        self._samples = [self._time.seen]    # of the last looks: where marks began
        self._marks: list[tuple[int, str, int, dict[str, Any]]] = []
        self._orphan = False    # nobody will say when the sound has ended
        signal.signal(signal.SIGTERM, self._leave)
        self._resumed = not self._time.fresh and self._time.life >= 0

    def run(self) -> None:
        """Work until told to stop, or until nothing can be stored any more."""
        try:
            while not self._hear():
                self._step(False)
            self._drain()
            for _ in range(2):   # what is seen is taken at the next look
                self._step(True)
            for kind in list(self._open):
                self._close_event(kind)
            self._answer("ended", self._finish())
        except OSError as error:
            why = error.strerror or str(error)
            frames = self._take.give_up(self._time.frame, why)
            after = f"after {frames / self._job.tape.rate:.1f} s, both files at the same sample"
            self._answer("stopped", f"the recording has stopped: {why}; it ends {after}")

    def _hear(self) -> bool:
        """Wait for a look's time, or for the word to end; the supervisor's end is one."""
        until = time.monotonic() + _POLL
        try:
            while self._pipe.poll(max(0.0, until - time.monotonic())):
                kind, *content = self._pipe.recv()
                if kind == "end":
                    return True
                self._marks.append(tuple(content))
        except (EOFError, OSError):
            self._orphan = True
        return self._orphan

    def _leave(self, _kind: int, _frame: object) -> None:
        self._orphan = True

    def _drain(self) -> None:
        """If nobody says when the sound ends, wait for it."""
        begun = moved = time.monotonic()
        while self._orphan and time.monotonic() - moved < _AFTER_DEATH and time.monotonic() - begun < _LONGEST_WAIT:
            before = self._time.seen.written
            time.sleep(_POLL)
            self._step(False)
            if self._time.seen.written != before:
                moved = time.monotonic()

    def _step(self, final: bool) -> None:
        """Store what was seen in the last look, note what has happened, look again."""
        seen, changes = self._time.seen, self._changes.written
        self._counts[BEAT] = time.monotonic_ns()
        events = int(self._counts[EVENTS_COUNT])
        waiting = self._store(seen.written, seen.lives, final)
        self._take_events(events)
        for kind, line in self._changes.take(changes, final or self._orphan):
            self._take.note(kind, **line)
        if not waiting and self._time.life >= 0:
            self._note_marks()
        now = time.monotonic()
        if now - self._shown >= _SHOW_EVERY:
            self._take.show(self._time.frame)
            self._shown = now
        self._time.commit(min([self._events, *(number for number, _ in self._open.values())]), self._changes.state)
        self._look()

    def _look(self) -> None:
        self._time.look(time.monotonic_ns())
        self._time.free()
        self._samples = [*self._samples, self._time.seen][-_SAMPLES:]

    def _store(self, limit: int, lives: int, final: bool) -> bool:
        """Write rows into both files; True if a life waits for its place."""
        line = self._time
        while (found := line.next(limit, lives, final)) is not None:
            if isinstance(found, Jump):
                self._jump(found)
                continue
            while line.row < found:
                place = line.row % len(self._ring)
                count = min(_ROWS, found - line.row, len(self._ring) - place)
                self._take.write(line.frame, self._ring[place : place + count])
                line.row += count
                line.frame += count
                line.commit(line.events, line.changes)
                self._counts[BEAT] = time.monotonic_ns()
                self._look()
        return lives > line.life + 1

    def _jump(self, jump: Jump) -> None:
        line, rate = self._time, self._job.tape.rate
        if jump.kind == "gap":   # between two lives, or before the first
            life = line.table(jump.life)
            if not jump.first:
                self._take.note("recording", **self._job.facts, latency_samples=life.latency)
            else:
                seconds = round((jump.last - jump.first) / rate, 3)
                self._take.note("gap", first=jump.first, last=jump.last, seconds=seconds)
            self._take.note(
                "life", first=jump.last, last=jump.last, number=jump.life + 1, latency_samples=life.latency
            )
        else:
            self._take.note(jump.kind, first=jump.first, last=jump.last, frames=jump.last - jump.first)
        line.frame = jump.last
        line.commit(line.events, line.changes)

    def _take_events(self, there: int) -> None:
        """Take over what the audio process has counted; of a kind, what is close together becomes one."""
        rate, first = self._job.tape.rate, max(self._events, there - EVENTS)
        if first > self._events:
            self._take.note("unknown", first=self._time.frame, last=self._time.frame, marks=first - self._events)
        for number in range(first, there):
            event = Event(*map(int, self._memory["events"][number % EVENTS]))
            if event.life > self._time.life:   # it waits for its place
                there = number
                break
            kind, place = KINDS[event.kind], self._time.place(event.life, 0)
            begin, end = place + event.first, place + event.last
            if kind in self._open and begin - self._open[kind][1]["last"] > _MERGE_SECONDS * rate:
                self._close_event(kind)
            if kind not in self._open:
                self._open[kind] = number, {"first": begin, "last": end, "count": 0}
            line = self._open[kind][1]
            line["last"], line["count"] = max(line["last"], end), line["count"] + event.many
        self._events = max(self._events, there)
        for kind, (_, line) in list(self._open.items()):
            quiet = self._time.frame - line["last"] > _MERGE_SECONDS * rate
            if quiet or line["last"] - line["first"] > _LONGEST_EVENT * rate:
                self._close_event(kind)

    def _close_event(self, kind: str) -> None:
        self._take.note(kind, **self._open.pop(kind)[1])

    def _note_marks(self) -> None:
        """Note what the supervisor has said; it may have begun earlier, and is done by now."""
        line = self._time
        if self._resumed:
            self._take.note("recorder", first=line.frame, last=line.frame)
            self._resumed = False
        while self._marks:
            number, kind, since, details = self._marks[0]
            if kind == PATHS:
                self._changes.know(**details)
            elif kind == PIECE:
                self._pieces.append(details["text"])
            if kind in (PATHS, PIECE):
                del self._marks[0]
                self._answer("noted", number)
                continue
            before = [sample for sample in self._samples if sample.ns <= since]
            first = line.at(before[-1]) if before else line.place(line.life, 0)
            last = max(first, line.at(line.seen))
            self._take.note(kind, first=first, last=last, **self._whole(details))
            del self._marks[0]
            self._answer("noted", number)

    def _whole(self, details: Mapping[str, Any]) -> dict[str, Any]:
        """Put in texts that came before, in pieces, under their hashes; not if one has been lost with a recorder."""
        text = "".join(self._pieces)
        self._pieces.clear()
        whole = {HASH + hashlib.sha256(text.encode()).hexdigest(): text}
        return {key: whole.get(value, value) if isinstance(value, str) else value for key, value in details.items()}

    def _finish(self) -> int:
        if self._counts[LIVES_COUNT] and self._time.frame:
            self._take.finish(self._time.frame, "nobody asked for more" if self._orphan else "stopped")
        return self._time.frame

    def _answer(self, *message: Any) -> None:
        with contextlib.suppress(OSError):   # nobody there to hear it
            self._pipe.send(message)
