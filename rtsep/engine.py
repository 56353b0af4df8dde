"""Engine: a chain with a dry path, mute, solo, levels, the limiter that can't be removed, and meters."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rtsep.calibration import check
from rtsep.catalogue import CLASS_LIMITS, OUTPUT_PARAMS, STAGES
from rtsep.errors import InputError
from rtsep.learnt import Known, for_mics
from rtsep.meters import Meters
from rtsep.params import Board
from rtsep.presets import Preset, StageConfig, diff, layout, make_board
from rtsep.stage import RAMP_SECONDS, Chain, Format, Stage
from rtsep_kernels.plane import engine as kernels
from rtsep_kernels.plane.grid import store
from rtsep_kernels.plane.record import State

_LIMITER_RELEASE_SECONDS = 0.1
_SWAP_SECONDS = 0.02
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
    """

    params = OUTPUT_PARAMS

    def __init__(self, preset: Preset, known: Known | None = None, meters: Meters | None = None) -> None:
        super().__init__("output")
        self.preset = preset
        self.meters = meters
        self._first_known = known
        self._configs: dict[str, StageConfig] = {}
        self._old: list[Chain] = []

    def prepare(self, fmt: Format, board: Board | None = None) -> Format:
        """Build and prepare the preset's chain.

        Raises
        ------
        InputError
            If what is known is of another format, or the chain's latency exceeds the preset's class.
        """
        if self._first_known is not None:
            check(self._first_known, fmt.channels, fmt.rate)
        if board is None:
            board = make_board(self.preset, [f"mic{c + 1}" for c in range(fmt.channels)])
        for path, value in self.preset.params.items():
            board.set(path, value)
        self.board = board
        self.chain = Chain(self._stages(self.preset, fmt, {}))
        self.chain.prepare(fmt, board)
        _check_class(self.preset, self.chain, fmt)
        return super().prepare(fmt, board)

    def _stages(self, preset: Preset, fmt: Format, keep: Mapping[str, Stage]) -> list[Stage]:
        stages = []
        for config in preset.chain:
            if config.name in keep and self._configs.get(config.name) == config:
                stages.append(keep[config.name])
            else:
                stages.append(self._make(config, preset, fmt, keep.get(config.name)))
        self._configs = {config.name: config for config in preset.chain}
        return stages

    def _make(self, config: StageConfig, preset: Preset, fmt: Format, before: Stage | None) -> Stage:
        spec = STAGES[config.stage]
        made = spec.make(config.name, spec.fit(config.options, fmt.rate, preset.latency_class))
        learnt: Mapping[str, NDArray[Any]] | None = None if before is None else before.learnt()
        if learnt is None and self._first_known is not None:
            learnt = self._first_known.of(config.name)
            if learnt is not None:
                learnt = for_mics(learnt, self._first_known.names, self.board.mics)
        if learnt is not None:
            made.start_from(learnt)
        return made

    def _build(self, fmt: Format) -> tuple[Any, State, int]:
        k = fmt.channels
        if self.meters is None:
            self.meters = Meters(k)
        record = kernels.ENGINE.make(
            channels=k, chain_function=self.chain.function, chain_now=self.chain.state, swap=self.chain.state,
            ramp_segments=fmt.segments(RAMP_SECONDS),
            limiter_release=1 - np.exp(-1 / (_LIMITER_RELEASE_SECONDS * fmt.rate)),
            # Room for a later chain of any class.
            dry_frames=1 << int(max(CLASS_LIMITS.values()) * fmt.rate + 64 + self.chain.latency).bit_length(),
            meters=self.meters.levels, counters=self.meters.counters,
        )
        return kernels.engine, record, self.chain.latency

    def _start(self) -> None:
        self.record["counters"] = 0
        kernels.settle_engine(self.record.record)

    def reset(self) -> None:
        """Make the engine and every stage as new."""
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
        """Whether the audio thread still uses the chain before the last `swap`."""
        if self.record["swap"][kernels.SEEN] != self.chain.state:
            return True
        return bool(self.chain.record["faded"] < self.chain.record["fade_frames"])

    def reload(self, preset: Preset) -> str:
        """Go over to another preset while running; what both share keeps running and keeps what it has learnt.

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
            If the last change still cross-fades, or the new chain does not fit its class.
        """
        change = diff(self.preset, preset)
        if change in ("nothing", "host"):
            return change
        for path, value in preset.params.items():
            if path.partition(".")[0] == "output" or path.partition(".")[0] in self._configs:
                self.board.set(path, value)
        if change == "chain":
            if self.swapping:
                raise InputError("preset", "the last change still cross-fades", "try again in a moment")
            self.board.extend(layout(preset))
            keep = {stage.name: stage for stage in self.chain.stages}
            configs = dict(self._configs)
            try:
                chain = Chain(self._stages(preset, self.fmt, keep), self.chain, _SWAP_SECONDS)
                for path, value in preset.params.items():
                    self.board.set(path, value)
                chain.prepare(self.fmt, self.board)
                _check_class(preset, chain, self.fmt)
            except InputError:
                self._configs = configs
                raise
            self.swap(chain)
        self.preset = preset
        return change

    def swap(self, chain: Chain) -> None:
        """Hand a prepared chain to the audio thread, which takes it at the next multiple of 64 samples."""
        if self._thread_live:
            chain.go_live()
        self._old.append(self.chain)
        self.chain = chain
        self.latency = chain.latency
        store(self.record["swap"].ctypes.data + 8 * kernels.NEXT, chain.state)

    def retire(self, patience: float = 0.0) -> None:
        """Free chains that the audio thread has left; waits up to `patience` seconds for it."""
        until = time.monotonic() + patience
        while self.swapping and time.monotonic() < until:
            time.sleep(0.005)
        if self.swapping:
            return
        for old in self._old:
            for stage in old.stages:
                if stage not in self.chain.stages:
                    stage.close()
        self._old.clear()

    _thread_live = False

    def go_live(self) -> None:
        """See `Stage.go_live`."""
        self._thread_live = True
        self.chain.go_live()

    def close(self) -> None:
        """Stop helper threads."""
        self._thread_live = False
        for old in self._old:
            old.close()
        self.chain.close()

    def shadow(self) -> Chain:
        """Return the chain's shadow: the engine's own levels and limiter are not part of harm."""
        return self.chain.shadow()

    def status(self) -> dict[str, int]:
        """Return the chain's counters and the engine's own."""
        counters = self.record["counters"]
        return {
            **self.chain.status(),
            "faults": int(counters[kernels.FAULTS]),
            "limited": int(counters[kernels.LIMITED]),
        }


def _check_class(preset: Preset, chain: Chain, fmt: Format) -> None:
    limit = CLASS_LIMITS[preset.latency_class] * fmt.rate
    if chain.latency > limit:
        raise InputError(
            f"preset {preset.name}", f"its chain adds {chain.latency} samples at {fmt.rate} Hz",
            f"class {preset.latency_class} allows {int(limit)}",
        )
