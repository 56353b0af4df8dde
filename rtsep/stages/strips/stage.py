"""Strips: each mic's plug-ins, in other processes, so that none of them can end the sound of another mic."""

from __future__ import annotations

import json
import os
import time
import weakref
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rtsep.catalogue import STAGES
from rtsep.catalogue.strips import mics_of, name_of, slots, state_path
from rtsep.errors import InputError
from rtsep.plugins.slots import SlotConfig, chain_params
from rtsep.stage import Format, Stage
from rtsep.stages.remote.link import Link
from rtsep.stages.remote.spares import Spares
from rtsep_kernels import remote
from rtsep_kernels import strips as kernels
from rtsep_kernels.plane.grid import GRID
from rtsep_kernels.plane.record import State

_WORKER = "rtsep.workers.strips"
# What a chain's plug-ins may add: four times what other hosts warn of (4000 samples, Waves LV1).
_MOST_LATENCY = 16384
_FLOAT = 4        # bytes: of a target on the board
_PER_CORE = 4     # processes; with more they cost more than the plug-ins in them
_STATE_SECONDS = 2.0   # that a process may take to tell its states, one after each unit
_HUNG_TICKS = 3   # 0.4 s at most: the chain is back within a second


@dataclass(frozen=True)
class Strip:
    """One mic's chain, or one of two mics that are linked.

    Parameters
    ----------
    name : str
        Its own, or the microphone's.
    mics : tuple of int
        From 0.
    group : str
        Empty: it is in none.
    chain : tuple of SlotConfig
    paths : tuple of str
        Of its parameters on the board, without the stage's name and the microphone's.
    place : int
        Of the microphone among what stands at each of those paths.
    """

    name: str
    mics: tuple[int, ...]
    group: str
    chain: tuple[SlotConfig, ...]
    paths: tuple[str, ...]
    place: int


class Strips(Stage):
    """Run each mic's plug-ins in other processes; a mic whose plug-ins are late, crash or hang is dry, as late.

    What is heard is `delay` samples late, and as late as its plug-ins are in addition. With `align`, mics (`all`, or
    those of a group) are held back until they are as late as the latest. A process that dies or hangs is replaced by
    one that stands by, and its plug-ins come back with their state and what stands on the board.

    Parameters
    ----------
    name : str
    strips, each, isolation, align, unit, delay, states, loads
        Options of the catalogue.
    """

    def __init__(self, name: str = "strips", *given: Any, **options: Any) -> None:
        super().__init__(name)
        spec = STAGES["strips"]
        try:
            self._options = spec.check(spec.complete(given, options))
        except InputError as error:
            raise InputError(f"{name}.{error.place}", error.problem, error.allowed) from None
        self.params = spec.params_of(self._options)
        self._links: list[Link] = []
        self._rows: list[list[Strip]] = []
        self._spares: Spares | None = None
        self._latencies: list[int] = []
        self._said: list[str] = []
        self._asked = 0.0

    @property
    def pids(self) -> list[int]:
        """Of the processes; 0: there is none just now."""
        return [link.supervisor.pid for link in self._links]

    @property
    def latencies(self) -> list[int]:
        """Samples that each mic's own plug-ins add."""
        return list(self._latencies)

    @property
    def delays(self) -> list[int]:
        """Samples by which each mic comes out late: through the plug-ins, and waiting for other mics."""
        own = self.latency - max(self._latencies, default=0)   # of all that have plug-ins alike
        late: NDArray[np.int64] = self.record["wait"].copy()
        with_plugins = self.record["members"]
        late[with_plugins] += own + np.array(self._latencies, np.int64)[with_plugins]
        return [int(samples) for samples in late]

    def _build(self, fmt: Format) -> tuple[Any, State, int]:
        self.close()
        strips = self._find(self.board.mics)
        self._look_at(strips, fmt.rate)
        rows = _rows(strips, self._options["isolation"], _PER_CORE * (os.cpu_count() or 1))
        self._spares = Spares(_WORKER)
        weakref.finalize(self, self._spares.close)   # also when the stage is forgotten without a word
        self._latencies, self._links = [0] * fmt.channels, []
        try:
            at_once = os.cpu_count() or 1   # more would take turns, while the patience of each runs out
            for first in range(0, len(rows), at_once):
                some = rows[first : first + at_once]
                self._links += [self._link(row, fmt) for row in some]
                for row, link in zip(some, self._links[first:], strict=True):
                    self._take(row, link)
        except BaseException:
            self.close()
            raise
        self._rows, self._lost = rows, [False] * len(rows)
        if rows:
            self._spares.begin()
        latency = (self._options["delay"] + max(self._latencies)) if rows else 0
        counts = [sum(len(strip.mics) for strip in row) for row in rows]
        members = [mic for row in rows for strip in row for mic in strip.mics]
        record = kernels.STRIPS.make(
            channels=fmt.channels, links=len(rows), link=remote.remote.address,
            states=np.array([link.record.address for link in self._links], np.int64),
            first=np.cumsum([0, *counts]).astype(np.int64), members=np.array(members, np.int64),
            with_plugins=len(members), wait=self._waits(strips, latency),
            ring_frames=1 << (latency + GRID - 1).bit_length(),
        )
        return kernels.strips, record, latency

    def _take(self, row: Sequence[Strip], link: Link) -> None:
        """Wait for a process, and take note of how late its strips are."""
        extra = json.loads(link.wait())["latency"]
        link.set_extra([late for strip, late in zip(row, extra, strict=True) for _ in strip.mics])
        for strip, late in zip(row, extra, strict=True):
            for mic in strip.mics:
                self._latencies[mic] = late

    def _find(self, mics: Sequence[str]) -> list[Strip]:
        """Return the strips of the microphones that there are."""
        own = {mic: strip for strip in self._options["strips"] for mic in mics_of(strip)}
        states: dict[str, dict[str, str]] = {}
        for one in self._options["states"]:   # of a mic that is not there today: it may be tomorrow
            states.setdefault(one["strip"], {})[one["name"]] = one["state"]
        if unknown := set(own) - set(mics):
            name = sorted(unknown)[0]
            raise InputError(f"{self.name}.strips", f"there is no microphone {name!r}", f"known: {', '.join(mics)}")
        found = []
        for c, mic in enumerate(mics):
            entry = own.get(mic)
            plugins = self._options["each"] if entry is None else entry["plugins"]
            linked = (mic,) if entry is None else mics_of(entry)
            if not plugins or mic != linked[0]:   # a strip stands where its first mic does
                continue
            strip, width = mic if entry is None else name_of(entry), len(linked)
            chain = slots(plugins, states.get(strip), width)
            names = [param.name for param in chain_params(slots(plugins, width=width))]
            if entry is None:
                found.append(Strip(mic, (c,), "", chain, tuple(names), c))
            else:
                paths, places = tuple(f"{strip}.{name}" for name in names), tuple(map(mics.index, linked))
                found.append(Strip(strip, places, entry["group"], chain, paths, 0))
        return found

    def _look_at(self, strips: Sequence[Strip], rate: int) -> None:
        """Have every plug-in looked at with its state, once: else each worker would do it for itself."""
        for chain, paths in {(strip.chain, strip.paths) for strip in strips}:
            found = [param.name for param in chain_params(chain, rate, self._options["unit"])]
            alike = [path[-len(name) :] == name for path, name in zip(paths, found, strict=False)]
            if not all(alike) or len(paths) != len(found):
                raise InputError(f"{self.name}.states", "with its state a plug-in has other parameters than without",
                                 "write that state into the preset")

    def _link(self, row: Sequence[Strip], fmt: Format) -> Link:
        names, count = [strip.name for strip in row], sum(len(strip.paths) for strip in row)
        return Link(
            f"{self.name}.strips ({', '.join(names)})", f"{_WORKER}:Strips",
            Format(fmt.rate, sum(len(strip.mics) for strip in row)),
            self._options["unit"], self._options["delay"],
            {"strips": names, "chains": [strip.chain for strip in row]}, count, _MOST_LATENCY, _HUNG_TICKS,
            self._spares,
        )

    def listen(self) -> None:
        """See `Stage.listen`: what stands on the board goes to the plug-ins with every unit."""
        for row, link in zip(self._rows, self._links, strict=True):
            link.record["targets"][:] = [
                self.board.address(f"{self.name}.{path}") + _FLOAT * strip.place
                for strip in row for path in strip.paths
            ]

    def _waits(self, strips: Sequence[Strip], latency: int) -> NDArray[np.int64]:
        """Return how long each mic is held back, samples."""
        late = np.zeros(len(self._latencies), np.int64)
        for strip in strips:
            late[list(strip.mics)] = self._options["delay"] + self._latencies[strip.mics[0]]
        wanted = late.copy()
        if self._options["align"] == "all":
            wanted[:] = latency
        elif self._options["align"] == "group":
            for strip in strips:
                if strip.group:
                    wanted[list(strip.mics)] = max(
                        late[other.mics[0]] for other in strips if other.group == strip.group
                    )
        return wanted - late

    def _start(self) -> None:
        for link in self._links:
            link.record.start()
            link.start()

    def snapshot(self) -> dict[str, NDArray[Any]]:
        """See `Stage.snapshot`; of what sounds in the plug-ins there is none: tails begin anew."""
        under_way = {
            f"{n}.{key}": values for n, link in enumerate(self._links) for key, values in link.snapshot().items()
        }
        records = {
            f"{n}.record.{key}": values
            for n, link in enumerate(self._links) for key, values in link.record.snapshot().items()
        }
        return {**under_way, **records, **super().snapshot()}

    def restore(self, snapshot: Mapping[str, NDArray[Any]]) -> None:
        """See `Stage.restore`."""
        own = {name: values for name, values in snapshot.items() if not name[0].isdecimal()}
        of = [_within(snapshot, f"{n}.") for n in range(len(self._links))]
        for link, part in zip(self._links, of, strict=True):
            link.check(part)
        super().restore(own)
        for link, part in zip(self._links, of, strict=True):
            link.record.restore(_within(part, "record."))
            link.restore(part)

    def go_live(self) -> None:
        """Wait for nobody from now on."""
        for link in self._links:
            link.go_live()

    def close(self) -> None:
        """End the processes; what is processed afterwards is dry."""
        for link in self._links:
            link.close()
        if self._spares is not None:
            self._spares.close()

    def ask_states(self) -> None:
        """See `Stage.ask_states`."""
        self._asked = time.monotonic()
        for link in self._links:
            link.supervisor.ask()

    def states(self) -> dict[str, str] | None:
        """See `Stage.states`; a process that does not answer in time is left out, and that is said."""
        silent = [row for row, link in zip(self._rows, self._links, strict=True) if not link.supervisor.told]
        if silent and time.monotonic() - self._asked < _STATE_SECONDS:
            return None
        if silent:
            names = ", ".join(strip.name for row in silent for strip in row)
            self._said.append(f"{names}: no state came within {_STATE_SECONDS:g} s")
        told = [json.loads(link.supervisor.told) for link in self._links if link.supervisor.told]
        own = {name_of(strip) for strip in self._options["strips"]}
        return {state_path(self.name, own, strip, name): state
                for one in told for strip, states in one.items() for name, state in states.items()}

    def status(self) -> dict[str, int]:
        """Return results that came late, that could not be used, and how often a process was started again."""
        total = {"late_strips": 0, "bad_results": 0, "worker_restarts": 0}
        for row, link in zip(self._rows, self._links, strict=True):
            counts = link.status()
            total["late_strips"] += counts.pop("late_updates") * len(row)
            for name, count in counts.items():
                total[name] += count
        return total

    def news(self) -> list[str]:
        """See `Stage.news`: what the plug-ins have to tell, and which have been lost or are back."""
        told, self._said = self._said, []
        for n, (link, row) in enumerate(zip(self._links, self._rows, strict=True)):
            while link.supervisor.said:
                told.append(link.supervisor.said.popleft())
            lost = link.supervisor.pid == 0
            if lost != self._lost[n]:
                self._lost[n] = lost
                names = ", ".join(strip.name for strip in row)
                state = "crashed or hung: dry until they are back" if lost else "are back, with their state"
                told.append(f"{names}: plug-ins {state}")
        return told


def _rows(strips: Sequence[Strip], isolation: str, most: int) -> list[list[Strip]]:
    """Return which strips share a process."""
    if isolation == "one":
        return [list(strips)] if strips else []
    if isolation == "group":
        groups: dict[str, list[Strip]] = {}
        for strip in strips:
            groups.setdefault(strip.group or f"\0{strip.name}", []).append(strip)
        return list(groups.values())
    count = min(most, len(strips))
    return [list(strips[n::count]) for n in range(count)]


def _within(snapshot: Mapping[str, NDArray[Any]], prefix: str) -> dict[str, NDArray[Any]]:
    return {name.removeprefix(prefix): values for name, values in snapshot.items() if name.startswith(prefix)}
