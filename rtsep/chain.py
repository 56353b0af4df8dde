"""Chain: stages in order, itself a stage."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rtsep.errors import InputError
from rtsep.params import Board
from rtsep.stage import RAMP_SECONDS, Format, Heard, Stage
from rtsep_kernels.plane import bypass as bypass_kernel
from rtsep_kernels.plane import chain as chain_kernel
from rtsep_kernels.plane import grid
from rtsep_kernels.plane.record import State

_BYPASS = "bypass."   # what the names of a stage's bypass begin with, in a snapshot


class Chain(Stage):
    """Stages in order; itself a stage. Latencies add.

    Parameters
    ----------
    stages : sequence of Stage
        Prepared or not; `prepare` prepares those that are not.
    before : Chain, optional
        The chain that this one replaces. Stages that both share are run once and keep what they have learnt; only
        the part that differs cross-fades.
    fade_seconds : float
        Length of that cross-fade.
    beside_seconds : float
        How long this chain runs beside that one before, unheard, so that its windows are full of sound.

    Attributes
    ----------
    bypasses : dict of Stage to State
        `rtsep_kernels.plane.bypass.BYPASS`: at 1, `wanted` has the stage passed over.
    """

    def __init__(
        self, stages: Sequence[Stage], before: Chain | None = None, fade_seconds: float = 0.02,
        beside_seconds: float = 0.0,
    ) -> None:
        super().__init__("chain")
        self.stages = list(stages)
        self._before = before
        self._fade_seconds, self._beside_seconds = fade_seconds, beside_seconds
        self.bypasses: dict[Stage, State] = {}

    def prepare(self, fmt: Format, board: Board | None = None) -> Format:
        """Prepare the stages that are not yet, then the chain."""
        flow = fmt
        for stage in self.stages:
            if not stage.function:
                flow = stage.prepare(flow, board)
            elif stage.fmt != flow:
                raise InputError(stage.name, f"it was prepared for {stage.fmt}", f"the chain has {flow}")
        self.acquaint()
        known = self._before.bypasses if self._before else {}
        self.bypasses = {stage: known.get(stage) or _bypass(stage) for stage in self.stages}
        return super().prepare(fmt, board)

    def acquaint(self) -> None:
        """Let every stage know what those in front say of the bleed that they leave, and what they have heard."""
        # A stage that stays may have believed one that goes.
        doubt = None if self._before is None else np.ones(self._before.fmt.channels, np.float32)
        heard: Heard | None = None
        for stage in self.stages:
            if doubt is not None:
                stage.believe(doubt)
            stage.overhear(heard)
            doubt = stage.doubt if stage.doubt is not None else doubt
            # Behind one that is late, samples that were heard at once lie at other places.
            heard = stage.heard if stage.heard is not None else heard if not stage.latency else None

    def _build(self, fmt: Format) -> tuple[Any, State, int]:
        new, old = self.stages, self._before.stages if self._before else []
        head = _shared(new, old)
        tail = _shared(new[head:][::-1], old[head:][::-1])
        if not self._before:
            head = tail = 0
        middle_old = old[head : len(old) - tail]
        middle_new = new[head : len(new) - tail]
        self._order = [*new[:head], *middle_old, *middle_new, *new[len(new) - tail :]]
        bypasses = {**(self._before.bypasses if self._before else {}), **self.bypasses}
        latency = sum(s.latency for s in new)
        record = chain_kernel.CHAIN.make(
            channels=fmt.channels, head=head, old=len(middle_old), new=len(middle_new), tail=tail, latency=latency,
            entries=np.array(
                [[bypass_kernel.bypass.address, bypasses[s].address] for s in self._order], np.int64
            ).reshape(-1, 2),
            old_latency=self._before.latency if self._before else latency,
            fade_frames=round(self._fade_seconds * fmt.rate) if self._before else 0,
            faded=-round(self._beside_seconds * fmt.rate) if self._before else 0,
        )
        self._kept = bypasses   # the old chain's, too, while it fades out
        self._before = None
        return chain_kernel.chain, record, latency

    def snapshot(self) -> dict[str, NDArray[Any]]:
        """See `Stage.snapshot`; names are those of the stages, and theirs."""
        parts = {f"{stage.name}.{name}": v for stage in self.stages for name, v in stage.snapshot().items()}
        around = {f"{stage.name}.{_BYPASS}{name}": v for stage, bypass in self.bypasses.items()
                  for name, v in bypass.snapshot().items()}
        return {**super().snapshot(), **parts, **around}

    def restore(self, snapshot: Mapping[str, NDArray[Any]]) -> None:
        """See `Stage.restore`."""
        for stage in self.stages:
            start = f"{stage.name}."
            mine = {name.removeprefix(start): v for name, v in snapshot.items() if name.startswith(start)}
            stage.restore({name: v for name, v in mine.items() if not name.startswith(_BYPASS)})
            self.bypasses[stage].restore(
                {name.removeprefix(_BYPASS): v for name, v in mine.items() if name.startswith(_BYPASS)}
            )
        super().restore({name: v for name, v in snapshot.items() if "." not in name})

    def reset(self) -> None:
        """Reset every stage."""
        for stage in self.stages:
            stage.reset()
            self.bypasses[stage].start()
        self.record["faded"] = self.record["fade_frames"]
        if self._runner is not None:
            self._runner.record["position"] = 0

    def shadow(self) -> Chain:
        """Return a chain of the stages' shadows."""
        twin = Chain([stage.shadow() for stage in self.stages])
        twin.prepare(self.fmt, self.board)
        return twin

    def go_live(self) -> None:
        """See `Stage.go_live`."""
        for stage in self.stages:
            stage.go_live()

    def close(self) -> None:
        """See `Stage.close`."""
        for stage in self.stages:
            stage.close()

    def status(self) -> dict[str, int]:
        """Return the sum of the stages' counters."""
        total: dict[str, int] = {}
        for stage in self.stages:
            for key, count in stage.status().items():
                total[key] = total.get(key, 0) + count
        return total

    def news(self) -> list[str]:
        """See `Stage.news`."""
        return [f"{stage.name}: {line}" for stage in self.stages for line in stage.news()]


def _bypass(stage: Stage) -> State:
    """Return what a chain calls a stage through."""
    made = bypass_kernel.BYPASS.make(
        channels=stage.fmt.channels, latency=stage.latency, function=stage.function, state=stage.state,
        frames=1 << (stage.latency + grid.GRID - 1).bit_length(), ramp_segments=stage.fmt.segments(RAMP_SECONDS),
        share=np.array([1, 1, 1, 0, 0], np.float32),   # a ramp that stands at 1
    )
    made.start()
    return made


def _shared(new: Sequence[Stage], old: Sequence[Stage]) -> int:
    """Return how many stages at the front are the very same objects."""
    count = 0
    for a, b in zip(new, old, strict=False):
        if a is not b:
            break
        count += 1
    return count
