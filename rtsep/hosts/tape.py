"""Tape: every sample on its way from the audio process to the recorder, in memory that the supervisor owns.

Audio processes follow one another, and so do recorders; the memory stays. One audio process at a time writes the ring
and the tables of lives and events; one recorder at a time reads them and keeps in `state` how far it has come.
Counters are aligned int64. A reader takes what it saw in the look before, so it needs no barrier to see the rest.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

from rtsep.shared import Shared

if TYPE_CHECKING:
    from rtsep.runner import Runner
    from rtsep_kernels.plane.record import State

SECONDS = 4.0     # what the ring holds: a disk may stand still so long, and a recorder may be started anew meanwhile
# The ring's header, as `rtsep_kernels.plane.ring` has it: the recorder comes without the compiler.
RING_HEADER, WRITTEN, READ, LOST = 24, 0, 8, 16
SEGMENT = 64      # the grid: what the ring is written by, at most
LIVES, EVENTS = 64, 4096   # rows of the tables; twenty looks a second that find all kinds leave 20 s to read them
# The list of changes, as `rtsep_kernels.plane.latch` has it: rows, a row's places, and what says that it is of a chain.
# It has room for two times all targets of a large show, as when a snapshot is recalled.
CHANGES = 65536
CHANGE, CHAIN_TAKEN = ("life", "sample", "place", "bits"), -1
AT_THE_BEGINNING = -1   # as a sample: so it was before the first one
# Places of `counts`, a cache line each: entries that were written, the recorder's last look (ns), its last state.
LIVES_COUNT, EVENTS_COUNT, BEAT, COMMITTED = 0, 8, 16, 24
_COUNTS = 32
FIRST_LOOKS = 8   # that tell a life's begin: 0.4 s, after which its place is decided
_LAST_LOOKS = 4   # that tell its end: 0.2 s
_NS = 1_000_000_000
STATE_FIELDS = 16
# What a life counts that is marked where it happens, by the names of `rtsep.figures`.
KINDS = ("xruns", "late_blocks", "late_updates", "skipped", "unstable", "faults", "bad_inputs", "shed", "late_strips",
         "bad_results")


class TapePlace(NamedTuple):
    """Where a tape is: all that another process needs to attach to it."""

    name: str
    channels: int
    rate: int


class Life(NamedTuple):
    """A row of `lives`: where in the ring an audio process begins, frames lost until then, the chain's latency.

    And what its looks say of the time of its sample 0, in ns: how many there were, what the first of them say, and what
    the last. The two differ by what xruns took from the device's clock.
    """

    row: int
    lost: int
    latency: int
    looks: int
    begin: int
    end: int


class Event(NamedTuple):
    """A row of `events`: which life, which of `KINDS`, how many, and between which frames of that life."""

    life: int
    kind: int
    many: int
    first: int
    last: int


def tape_memory(place: TapePlace, create: bool) -> Shared:
    """Make the memory of a tape, or attach to it; see `Shared`."""
    rows = tape_rows(place.rate)
    return Shared({
        "header": (np.int64, (RING_HEADER,)), "counts": (np.int64, (_COUNTS,)),
        "lives": (np.int64, (LIVES, len(Life._fields))), "events": (np.int64, (EVENTS, len(Event._fields))),
        "list_header": (np.int64, (RING_HEADER,)), "list": (np.int64, (CHANGES, len(CHANGE))),
        "state": (np.int64, (2, STATE_FIELDS)), "ring": (np.float32, (rows, 2 * place.channels)),
    }, place.name, create)


def tape_rows(rate: int) -> int:
    """Return how many rows the ring has: whole segments."""
    return round(SECONDS * rate / SEGMENT) * SEGMENT


class Tape:
    """The audio process's side.

    Attaching takes its time and disturbs nobody, so that a process in waiting can do it early.

    Parameters
    ----------
    runner : Runner
    place : TapePlace
    """

    def __init__(self, runner: Runner, place: TapePlace) -> None:
        self._memory = tape_memory(place, create=False)
        ring, self._counts = self._memory["ring"], self._memory["counts"]
        # The audio thread must not be the first to touch these pages; reading maps them without changing them.
        ring.reshape(-1)[:: 1024].sum()
        self._memory["list"].reshape(-1)[:: 512].sum()
        self._row: NDArray[np.float32] = np.zeros((SEGMENT, ring.shape[1]), np.float32)
        self._runner = runner
        self._lost = self._position = self._moved = 0
        self._seen = dict.fromkeys(KINDS, 0.0)
        self._zeros: list[int] = []   # times of sample 0, as the looks have it

    def begin(self, latency: int, latch: State | None = None, targets: Sequence[tuple[int, int]] = ()) -> None:
        """Begin to write behind what is there; the process that wrote it has ended, and this one has not begun.

        Parameters
        ----------
        latency : int
            Of the chain, samples.
        latch : State, optional
            `rtsep_kernels.plane.latch.LATCH`: what changes is noted from now on.
        targets : sequence of (place, bits)
            Those that do not stand where their parameters do by default.
        """
        header, ring = self._memory["header"], self._memory["ring"]
        self._lost = int(header[LOST])
        self._life = int(self._counts[LIVES_COUNT])
        now = time.monotonic_ns()
        life = Life(int(header[WRITTEN]), self._lost, latency, 0, now, now)
        self._memory["lives"][self._life % LIVES] = life
        self._counts[LIVES_COUNT] = self._life + 1
        record = self._runner.record
        record["tape_rows"] = ring.shape[0]
        record.put("tape_data", ring)
        record.put("tape_row", self._row)
        record.put("tape_header", header)   # last: from here on the audio thread writes
        if latch is not None:
            self._list_changes(latch, targets)

    def _list_changes(self, latch: State, targets: Sequence[tuple[int, int]]) -> None:
        header, rows = self._memory["list_header"], self._memory["list"]
        for place, bits in targets:
            written = int(header[WRITTEN])
            if written - int(header[READ]) < CHANGES:
                rows[written % CHANGES] = self._life, AT_THE_BEGINNING, place, bits
                header[WRITTEN] = written + 1
            else:
                header[LOST] += 1
        latch["life"], latch["chains"], latch["since"], latch["list_rows"] = self._life, 0, AT_THE_BEGINNING, CHANGES
        latch.put("list", rows)
        latch.put("list_header", header)

    @property
    def lost(self) -> int:
        """Frames of this life that found no room: nobody reads, or too slowly."""
        return int(self._memory["header"][LOST]) - self._lost

    def look(self, figures: Mapping[str, float]) -> None:
        """Note how far the sound is, and what has been counted since the last look: between which frames it happened.

        Parameters
        ----------
        figures : mapping
            Of this life, by name; `seconds` was read before all others.
        """
        now = int(self._runner.record["position"])
        if now > self._moved:   # a look can only come too late: the earliest of some is right
            self._moved = now
            self._zeros.append(time.monotonic_ns() - now * _NS // self._runner.rate)
            life = self._memory["lives"][self._life % LIVES]
            life[4:] = min(self._zeros[:FIRST_LOOKS]), min(self._zeros[-_LAST_LOOKS:])
            life[3] += 1
            del self._zeros[FIRST_LOOKS : -_LAST_LOOKS]
        for number, kind in enumerate(KINDS):
            more = figures[kind] - self._seen[kind]
            if more > 0:
                count = int(self._counts[EVENTS_COUNT])
                event = Event(self._life, number, int(more), self._position, now + SEGMENT)
                self._memory["events"][count % EVENTS] = event
                self._counts[EVENTS_COUNT] = count + 1
                self._seen[kind] = figures[kind]
        self._position = round(figures["seconds"] * self._runner.rate)
