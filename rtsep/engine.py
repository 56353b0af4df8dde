"""Engine: a chain with a dry path, mute, solo, levels, the limiter that can't be removed, and meters."""

from __future__ import annotations

import time
from collections.abc import Collection, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rtsep import bands
from rtsep.calibration import check
from rtsep.catalogue import CLASS_LIMITS, OUTPUT_PARAMS, STAGES
from rtsep.chain import Chain
from rtsep.errors import InputError
from rtsep.figures import FIGURES, SUM
from rtsep.fitting import check_class, fitted
from rtsep.latch import Latch
from rtsep.learnt import Handed, Known
from rtsep.limits import check_memory
from rtsep.meters import Meters
from rtsep.names import match, numbered
from rtsep.params import Board
from rtsep.presets import Preset, StageConfig, alike, diff, lay_out, layout, learning
from rtsep.runner import LIMITER_RELEASE_SECONDS
from rtsep.shedding import Rung, give_up, ladder
from rtsep.stage import RAMP_SECONDS, Format, Stage
from rtsep_kernels.plane import engine as kernels
from rtsep_kernels.plane.grid import store
from rtsep_kernels.plane.record import State

# A new chain runs beside the old one, unheard, until its windows (8192 samples at most) are full of sound: what begins
# with silence begins with a click. Then it is faded over to.
_BESIDE_SECONDS, _SWAP_SECONDS = 0.2, 0.02
_COUNTED = [figure.counter for figure in FIGURES if figure.counter and figure.lives == SUM]
# In a snapshot: what the names of the chain's begin with, and what belongs to the meters.
_CHAIN = "chain."
_SHOWN = ("meters", "counters")


class Engine(Stage):
    """Everything between a host's input and output. Itself a stage, so hosts drive it as they drive any other.

    Parameters
    ----------
    preset : Preset
    known : Known, optional
        What stages start from: a calibration, or what another run has learnt.
    meters : Meters, optional
        Where to show levels; private ones by default.
    known_as : str
        What errors and notes call what is known.

    Attributes
    ----------
    notes : list of str
        What of what is known is of no use here, valid after `prepare`.
    latch : Latch
    swaps : int
        Chains that have been handed to the audio thread.
    handed : Handed
        To the stages of the last of them.
    exact : bool
        Nothing of what runs changed before the last of them was taken.
    memory : int
        Bytes of the chain's stages, valid after `prepare`.
    """

    params = OUTPUT_PARAMS

    def __init__(
        self, preset: Preset, known: Known | None = None, meters: Meters | None = None, known_as: str = "calibration"
    ) -> None:
        super().__init__("output")
        self.preset = preset
        self.meters = meters
        self._first_known, self._known_as = known, known_as
        self._places: Sequence[int] | None = None   # of the mics among those that it was learnt from
        self.notes: list[str] = []
        self._configs: list[StageConfig] = []   # of the chain's stages, as they were made
        self._old: list[Chain] = []
        self.swaps = 0
        self._gone: dict[str, int] = {}   # counts of stages that are no more
        self._ladder: list[Rung] = []
        self._given_up: Collection[int] = ()   # rungs of it

    def prepare(self, fmt: Format, board: Board | None = None) -> Format:
        """Build and prepare the preset's chain.

        Parameters
        ----------
        fmt : Format
        board : Board, optional
            What stands on it holds: others turn it as well. Without it there is one of the preset's values.

        Raises
        ------
        InputError
            If what is known is of another rate or of no microphone that there is, or the chain's latency exceeds the
            preset's class.
        """
        self.fmt = fmt
        if board is None:
            board = lay_out(self.preset, numbered(fmt.channels))
        self.board = board
        self.latch = Latch(board)   # before any stage asks where its targets stand
        if self._first_known is not None:
            self._find_mics(self._first_known)
        self._configs = fitted(self.preset, fmt)
        self.chain = Chain([self._make(config, None) for config in self._configs])
        try:
            self.memory = self._allocate(self.preset, self.chain.stages)
        except BaseException:
            self.chain.close()
            raise
        self.chain.prepare(fmt, board)
        self._ladder = ladder(self._configs, self.chain)
        self.notes += [
            f"{self._known_as}: it does not fit {stage.name}, which starts blind" for stage in self.chain.stages
            if not stage.recalled and self._first_known
            and set(stage.knowledge) & set(self._first_known.of(stage.name) or ())
        ]
        check_class(self.preset, self.chain, fmt)
        return super().prepare(fmt, board)

    def _allocate(self, preset: Preset, stages: Sequence[Stage]) -> int:
        """Let new stages take memory, and return how many bytes; what is too much is refused before it is touched."""
        rate, mics, total = self.fmt.rate, self.fmt.channels, 0
        for stage in stages:
            total += stage.allocate(self.fmt, self.board)
            check_memory(f"preset {preset.name} with {mics} microphones at {rate} Hz", total)
        return total

    @property
    def known_notes(self) -> list[str]:
        """How sure it is what it starts from, and `notes`; nothing if it starts from nothing."""
        return [] if self._first_known is None else [f"{self._known_as}: {self._first_known.told()}", *self.notes]

    def _find_mics(self, known: Known) -> None:
        """Find the microphones that something is known of, and note what does not match."""
        check(known, self.fmt.rate, self._known_as)
        found = match(known.names, self.board.mics, self._known_as)
        self._places = None if found.places == tuple(range(len(known.names))) else found.places
        self.notes = [f"{self._known_as}: {found.note}"] if found.note else []

    def _make(self, config: StageConfig, learnt: Mapping[str, NDArray[Any]] | None) -> Stage:
        made = STAGES[config.stage].make(config.name, config.options)
        if learnt is not None:
            made.start_from(learnt)
        elif self._first_known is not None and (known := self._first_known.of(config.name)) is not None:
            made.start_from(known, self._places)
        return made

    def _build(self, fmt: Format) -> tuple[Any, State, int]:
        k = fmt.channels
        if self.meters is None:
            self.meters = Meters(k)
        record = kernels.ENGINE.make(
            latch=self.latch.state,
            channels=k, chain_function=self.chain.function, chain_now=self.chain.state, swap=self.chain.state,
            ramp_segments=fmt.segments(RAMP_SECONDS),
            limiter_release=1 - np.exp(-1 / (LIMITER_RELEASE_SECONDS * fmt.rate)),
            # Room for a later chain of any class.
            dry_frames=1 << int(max(CLASS_LIMITS.values()) * fmt.rate + 64 + self.chain.latency).bit_length(),
            meters=self.meters.levels, counters=self.meters.counters, bands=bands.make(k, fmt.rate),
        )
        return kernels.engine, record, self.chain.latency

    def show_on(self, meters: Meters) -> None:
        """Show levels and counters there from now on; another engine may have been shown there until now.

        For an engine that does not run yet.
        """
        meters.counters[:] = 0
        self.meters = meters
        self.record.put("meters", meters.levels)
        self.record.put("counters", meters.counters)

    def _start(self) -> None:
        self.record["counters"] = 0
        self.record["meters"][kernels.IN_HELD], self.record["meters"][kernels.LIMITER_HELD] = 0, 1
        kernels.settle_engine(self.record.record)

    def reset(self) -> None:
        """Make the engine and every stage as new."""
        self._gone.clear()
        self.board.refresh()
        self.chain.reset()
        super().reset()

    def snapshot(self) -> dict[str, NDArray[Any]]:
        """See `Stage.snapshot`; with the chain's, whose names begin with it, and what the meters show."""
        chain = {_CHAIN + name: values for name, values in self.chain.snapshot().items()}
        return {**super().snapshot(), **chain, **{name: self.record[name].copy() for name in _SHOWN}}

    def restore(self, snapshot: Mapping[str, NDArray[Any]]) -> None:
        """See `Stage.restore`."""
        own = {name: values for name, values in snapshot.items() if not name.startswith(_CHAIN) and name not in _SHOWN}
        self.chain.restore({n.removeprefix(_CHAIN): values for n, values in snapshot.items() if n.startswith(_CHAIN)})
        super().restore(own)
        for name in _SHOWN:
            self.record[name] = snapshot[name]

    @property
    def swapping(self) -> bool:
        """Whether the audio thread still uses the chain before the last `reload`."""
        if self.record["swap"][kernels.SEEN] != self.chain.state:
            return True
        return bool(self.chain.record["faded"] < self.chain.record["fade_frames"])

    def reload(self, preset: Preset) -> str:
        """Go over to another preset while running; what both share keeps running and keeps what it has learnt.

        Set is what the two presets say differently: what has been turned since, and means the same to both, stays. If
        all that learns was frozen, so is what comes. A new chain is heard once it is full of sound: the old one is
        heard for 0.2 s more, then they cross-fade within 20 ms. For one thread at a time, which need not be the audio
        thread's.

        Parameters
        ----------
        preset : Preset
            Already checked: see `rtsep.presets.load`.

        Returns
        -------
        str
            What it took: `nothing`, `params`, `chain`, or `host` (then nothing is done: restart the host).

        Raises
        ------
        InputError
            If the last change still cross-fades, the new chain does not fit its class, or a value is for a microphone
            that there is not. Then everything is as it was.
        """
        change = diff(self.preset, preset)
        if change == "host":
            return change
        values = self._turned(preset)
        if change == "chain":
            if self.swapping:
                raise InputError("preset", "the last change still cross-fades", "try again in a moment")
            self.swap(self.build(preset, values))
        self._turn(values)
        self.preset = preset
        return change

    def build(self, preset: Preset, values: Mapping[str, float], handed: Handed | None = None) -> Chain:
        """Build a preset's chain to be swapped in, and warm what it does not share with the one that runs.

        Parameters
        ----------
        preset : Preset
        values : mapping of str to float
            To be set, by path, before its stages begin.
        handed : Handed, optional
            To new stages; by default what their forerunners know now.
        """
        self.board.extend(layout(preset))
        configs, running = fitted(preset, self.fmt), self.chain.stages
        # Only what stays at the front or at the end runs on: a stage between cannot be in both halves of a cross-fade.
        head = alike(configs, self._configs)
        tail = alike(configs[head:][::-1], self._configs[head:][::-1])
        new = configs[head : len(configs) - tail]
        if handed is None:
            named = {stage.name: stage for stage in running if stage.name in {c.name for c in new}}
            handed = {name: learnt for name, stage in named.items() if (learnt := stage.learnt()) is not None}
        self.handed: Handed = handed
        made = [self._make(config, handed.get(config.name)) for config in new]
        stages = [*running[:head], *made, *running[len(running) - tail :]]
        chain = Chain(stages, self.chain, _SWAP_SECONDS, _BESIDE_SECONDS)
        try:
            self._allocate(preset, made)
            chain.prepare(self.fmt, self.board)
            check_class(preset, chain, self.fmt)
            self._turn(values)
            self.latch.take((lambda: int(self.record["position"])) if self._thread_live else None)
            for stage in made:
                stage.warm()
            self.latch.settle(made)
        except BaseException:
            for stage in made:
                stage.close()
            self.chain.acquaint()
            raise
        changed = [*made, *running[head : len(running) - tail]]   # what stays behind them may be told at once
        self.exact = not tail or all(stage.doubt is None for stage in changed)
        self._configs, self._ladder = configs, ladder(configs, chain)
        self.shed(self._given_up, chain)
        return chain

    def _turned(self, preset: Preset) -> dict[str, float]:
        """Return what must be set, by path, to go over to a preset."""
        old, new = lay_out(self.preset, self.board.mics), lay_out(preset, self.board.mics)
        kinds = {config.name: config.stage for config in self.preset.chain}
        fresh = {config.name for config in preset.chain if kinds.get(config.name) != config.stage}
        known = set(old.paths())   # a stage may have other parameters with other options
        values = {}
        for name, params in layout(preset):
            for param in params:
                path = f"{name}.{param.name}"
                for place in [f"{path}.{mic}" for mic in self.board.mics] if param.per_mic else [path]:
                    if name in fresh or path not in known or new.get(place) != old.get(place):
                        values[place] = new.get(place)
        held = learning(self.preset)
        if held and all(self.board.get(path) < 0.5 for path in held):
            values.update((path, 0.0) for path in learning(preset) if path.partition(".")[0] in fresh)
        return values

    def _turn(self, values: Mapping[str, float]) -> None:
        for path, value in values.items():
            self.board.set(path, value)

    def swap(self, chain: Chain) -> None:
        """Hand a prepared chain to the audio thread, which takes it at the next multiple of 64 samples."""
        if self._thread_live:
            chain.go_live()
        self.swaps += 1
        self._old.append(self.chain)
        self.chain = chain
        self.latency = chain.latency
        store(self.record["swap"].ctypes.data + 8 * kernels.NEXT, chain.state)

    def retire(self, patience: float = 0.0) -> None:
        """Free the chains that the audio thread has left, once a change has come to its end.

        To be called a few times a second; waits up to `patience` seconds for the audio thread.
        """
        until = time.monotonic() + patience
        while self.swapping and time.monotonic() < until:
            time.sleep(0.005)
        if self.swapping:
            return
        for stage in self._leaving():
            stage.close()
            for name, count in _counts(stage).items():
                self._gone[name] = self._gone.get(name, 0) + count
        self._old.clear()
        self.handed = {}

    def _leaving(self) -> list[Stage]:
        """Return the stages of old chains that the new one does not have."""
        return [stage for old in self._old for stage in old.stages if stage not in self.chain.stages]

    @property
    def ladder(self) -> Sequence[Rung]:
        """What can be given up where the machine is too slow, in this order; the last rung is dry."""
        return self._ladder

    def shed(self, given: Collection[int], chain: Chain | None = None) -> None:
        """Give up these rungs of the ladder (from 0), and no others: without a click, and as late as ever.

        For live hosts, a few times a second, by the thread that calls `retire`; nobody else gives anything up.

        Parameters
        ----------
        given : collection of int
        chain : Chain, optional
            That is about to be swapped in.
        """
        self._given_up = given
        rungs = [rung for n, rung in enumerate(self._ladder) if n in given]
        give_up(rungs, chain or self.chain)
        self.record["shed"] = int(any(rung.stage is None for rung in rungs))

    _thread_live = False

    def go_live(self) -> None:
        """See `Stage.go_live`."""
        self._thread_live = True
        self.chain.go_live()

    def close(self) -> None:
        """Stop helper threads."""
        self._thread_live = False
        for stage in self._leaving():
            stage.close()
        self.chain.close()

    def shadow(self) -> Chain:
        """Return the chain's shadow: the engine's own levels and limiter are not part of harm."""
        return self.chain.shadow()

    def status(self) -> dict[str, int]:
        """Return the chain's counters, with what former stages have counted, and the engine's own."""
        total = self.chain.status()
        for counts in (self._gone, *map(_counts, self._leaving())):
            for name, count in counts.items():
                total[name] = total.get(name, 0) + count
        counters = self.record["counters"]
        return {**total, "faults": int(counters[kernels.FAULTS]), "limited": int(counters[kernels.LIMITED])}

    def news(self) -> list[str]:
        """See `Stage.news`."""
        return self.chain.news()


def _counts(stage: Stage) -> dict[str, int]:
    """Return what a stage has counted that goes on counting over its end."""
    return {name: count for name, count in stage.status().items() if name in _COUNTED}
