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
from rtsep.stage import RAMP_SECONDS, Block, Chain, Format, Stage
from rtsep_kernels.plane import engine as kernels
from rtsep_kernels.plane import ramp
from rtsep_kernels.plane.grid import store
from rtsep_kernels.plane.memory import aligned

_LIMITER_RELEASE_SECONDS = 0.1
_SWAP_SECONDS = 0.02


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

    def _build(self, fmt: Format) -> tuple[Any, NDArray[Any], int]:
        k = fmt.channels
        if self.meters is None:
            self.meters = Meters(k)
        record = self._record = np.zeros(1, kernels.ENGINE)
        record["channels"] = k
        record["chain_function"] = self.chain.function
        record["chain_now"] = self.chain.state
        self._hold("swap", aligned(16, np.int64))[:] = self.chain.state
        record["ramp_segments"] = fmt.segments(RAMP_SECONDS)
        record["limiter_release"] = 1 - np.exp(-1 / (_LIMITER_RELEASE_SECONDS * fmt.rate))
        # Room for a later chain of any class.
        frames = 1 << int(max(CLASS_LIMITS.values()) * fmt.rate + 64 + self.chain.latency).bit_length()
        record["dry_frames"] = frames
        self._hold("dry_ring", aligned((k, frames)))
        self._hold("wet", aligned(k * 64))
        for name in ("gain_ramps", "wet_ramps"):
            self._hold(name, aligned((k, ramp.RAMP)))
        self._hold("trust", aligned(ramp.RAMP))
        for name in ("last_out", "declick", "limiter"):
            self._hold(name, aligned(k))
        self._hold("meter_sums", aligned((kernels.METER_ROWS, k)))
        self._hold("meters", self.meters.levels)
        self._hold("counters", self.meters.counters)
        return kernels.engine, record, self.chain.latency

    def _start(self) -> None:
        for name in ("dry_ring", "last_out", "declick"):
            self._keep[name][:] = 0
        self._keep["limiter"][:] = 1
        self._keep["trust"][:] = (1, 1, 1, 0, 0)
        self._keep["meter_sums"][:] = 0
        self._keep["meter_sums"][kernels.LIMITER_GAIN] = 1
        self._keep["counters"][:] = 0
        for name in ("tripped", "declick_left"):
            self._record[name] = 0
        get = self.board.get
        any_solo = any(get(f"output.solo.{mic}") > 0.5 for mic in self.board.mics)
        for c, mic in enumerate(self.board.mics):
            silent = get(f"output.mute.{mic}") > 0.5 or get("output.mute_all") > 0.5
            silent |= any_solo and get(f"output.solo.{mic}") <= 0.5
            gain = 0.0 if silent else 10 ** (get(f"output.gain_db.{mic}") / 20)
            wet = 0.0 if get(f"output.dry.{mic}") > 0.5 or get("output.dry_all") > 0.5 else 1.0
            self._keep["gain_ramps"][c] = (gain, gain, gain, 0, 0)
            self._keep["wet_ramps"][c] = (wet, wet, wet, 0, 0)

    def reset(self) -> None:
        """Make the engine and every stage as new."""
        self.chain.reset()
        super().reset()

    @property
    def swapping(self) -> bool:
        """Whether the audio thread still uses the chain before the last `swap`."""
        chain = self.chain._record
        if int(self._keep["swap"][kernels.SEEN]) != self.chain.state:
            return True
        return bool(chain["faded"][0] < chain["fade_frames"][0])

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
        store(int(self._record["swap"][0]) + 8 * kernels.NEXT, chain.state)

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
        counters = self._keep["counters"]
        return {
            **self.chain.status(),
            "faults": int(counters[kernels.FAULTS]),
            "limited": int(counters[kernels.LIMITED]),
        }


def process(stage: Stage, x: Block, block: int = 512) -> Block:
    """Run a whole signal through a prepared stage.

    Parameters
    ----------
    stage : Stage
    x : float32[channels, frames]
    block : int
        Frames per call.

    Returns
    -------
    float32[channels, frames]
        As late as the stage is.
    """
    out = np.zeros_like(x)
    for first in range(0, x.shape[1], block):
        piece = np.ascontiguousarray(x[:, first : first + block])
        result = np.empty_like(piece)
        stage.process(piece, result)
        out[:, first : first + block] = result
    return out


def _check_class(preset: Preset, chain: Chain, fmt: Format) -> None:
    limit = CLASS_LIMITS[preset.latency_class] * fmt.rate
    if chain.latency > limit:
        raise InputError(
            f"preset {preset.name}", f"its chain adds {chain.latency} samples at {fmt.rate} Hz",
            f"class {preset.latency_class} allows {int(limit)}",
        )
