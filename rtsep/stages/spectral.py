"""Spectral: the only stage with a short-time spectrum. Estimators decide the gains; this applies them."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rtsep import fftw
from rtsep.catalogue import STAGES
from rtsep.errors import InputError, RtsepError
from rtsep.stage import Block, Format, Heard, Stage
from rtsep.stages.learned import Network, find
from rtsep_kernels import learned, residual, stft
from rtsep_kernels.plane.grid import GRID
from rtsep_kernels.plane.record import State

_DEFAULTS = STAGES["spectral"].defaults
_HELD_SECONDS = 0.06      # release of a neighbour's power: about what a room holds it
_QUANTILE_SECONDS = 0.5   # time in which a leak may change by a factor e
# Beside a full-scale bin's power.
_QUIET = 1e-8             # below it a mic teaches nothing about its neighbours: -80 dBFS
_SILENCE = 1e-12          # added to the powers in every bin: -120 dBFS


def windows(analysis: int, synthesis: int, hop: int) -> tuple[Block, Block]:
    """Make a long analysis and a short synthesis window whose product overlaps to 1.

    The analysis window rises over its old part and falls over the newest half synthesis window; both windows'
    product is a Hann window of the synthesis length. With equal lengths both are square roots of a Hann window.

    Parameters
    ----------
    analysis, synthesis, hop : int
        Samples; synthesis / hop an integer of at least 2.

    Returns
    -------
    analysis window : float32[analysis]
    synthesis window : float32[synthesis]
        Includes 1 / analysis, which FFTW's inverse leaves to us.

    References
    ----------
    Mauler & Martin 2007, "A low delay, variable resolution, perfect reconstruction spectral analysis-synthesis
    system for speech enhancement", EUSIPCO.
    """
    half = synthesis // 2
    rise = analysis - half
    up = np.sin(np.pi / 2 * (np.arange(rise) + 0.5) / rise)
    down = np.cos(np.pi / 2 * (np.arange(half) + 0.5) / half)
    first = np.concatenate([up, down])
    hann = np.sin(np.pi * (np.arange(synthesis) + 0.5) / synthesis) ** 2
    second = hann / first[analysis - synthesis :]
    second *= 2 * hop / synthesis / analysis
    return first.astype(np.float32), second.astype(np.float32)


class Spectral(Stage):
    """Short-time Fourier transform, a gain in every bin, weighted overlap-add.

    Parameters
    ----------
    name : str
    analysis, synthesis, hop : int
        Samples; see `rtsep.catalogue.spec.FrameSpec.latency`.
    estimator : str
        `residual` suppresses what a canceller has left (see `rtsep_kernels.residual`); `learned` has a network correct
        that (`rtsep_kernels.learned`); `unity` leaves all gains where they are, at 1 unless another plane writes them.
    model : str
        File of the network; see `rtsep.stages.learned.find`.
    """

    params = STAGES["spectral"].params

    def __init__(
        self,
        name: str = "spectral",
        analysis: int = _DEFAULTS["analysis"],
        synthesis: int = _DEFAULTS["synthesis"],
        hop: int = _DEFAULTS["hop"],
        estimator: str = _DEFAULTS["estimator"],
        model: str = _DEFAULTS["model"],
    ) -> None:
        super().__init__(name)
        if synthesis > analysis or synthesis % hop or synthesis // hop < 2:
            raise InputError(
                f"{name}.synthesis", f"{synthesis} with analysis {analysis} and hop {hop}",
                "allowed is a multiple of the hop, at least two hops, at most the analysis window",
            )
        self._analysis, self._synthesis, self._hop = analysis, synthesis, hop
        self._estimator, self._model = estimator, model
        self._network: Network | None = None
        self._said: list[str] = []
        self._master: Spectral | None = None   # whose gains it applies; without one, its own decider's
        self._decider: State

    @property
    def gains(self) -> Block:
        """Gains as decided last, float32[channels, bins]."""
        array: Block = self.record["gains"][:, : self.record["bins"]]
        return array

    def believe(self, doubt: Block) -> None:
        """Let a stage in front say how much bleed it has left; call after `prepare`.

        Parameters
        ----------
        doubt : float32[channels]
            Power of the bleed expected in each mic: 1 as a canceller of room paths usually leaves, 0 none at all.
            Kept and read at every frame; to be written by the audio path only, or before it starts.
        """
        if doubt.dtype != np.float32 or doubt.shape != (self.fmt.channels,) or not doubt.flags.c_contiguous:
            raise ValueError(f"doubt is float32[{self.fmt.channels}], not {doubt.dtype}{doubt.shape}")
        if self._master is None and "doubt" in self._decider.table.fields:
            self._decider.put("doubt", doubt)

    def _build(self, fmt: Format) -> tuple[Any, State, int]:
        bins = self._analysis // 2 + 1
        late = STAGES["spectral"].latency({"synthesis": self._synthesis, "hop": self._hop})
        forward, backward = fftw.execute_addresses()
        first, second = windows(self._analysis, self._synthesis, self._hop)
        self.record = stft.SPECTRAL.make(
            channels=fmt.channels, analysis=self._analysis, synthesis=self._synthesis, hop=self._hop, bins=bins,
            row=-(-bins // 16) * 16, latency=late, ring_frames=_power_of_two(self._analysis + self._hop),
            overlap_frames=_power_of_two(late + self._synthesis + GRID), analysis_window=first, synthesis_window=second,
            forward=forward, backward=backward, plan=fftw.plan(self._analysis, True),
            inverse=fftw.plan(self._analysis, False),
        )
        if self._master is not None:
            self.record.put("gains", self._master.record["gains"])
        else:
            entry, self._decider = self._decide(fmt)
            self.record.put("gains", self._decider["gains"])
            self.record.put("estimator_state", self._decider if self._network is None else self._network.record)
            self.record.put("estimator", entry.address if entry else 0)
        return stft.spectral, self.record, late

    def listen(self) -> None:
        """See `Stage.listen`."""
        super().listen()
        for param in self.params if self._master is None else ():
            if param.name in self._decider.table.fields:
                self._decider.put(param.name, self.board.address(f"{self.name}.{param.name}"))

    def _decide(self, fmt: Format) -> tuple[Any, State]:
        """Return who decides the gains: a compiled entry, or None, and its state, with the gains."""
        k, row = fmt.channels, self.record["row"]
        if self._estimator == "unity":
            return None, stft.GAINS.make(channels=k, row=row)
        frame = self._hop / fmt.rate
        # Steps in proportion 1 - q : q balance at quantile q; each leak moves in one frame of four.
        step, q = 4 * frame / _QUANTILE_SECONDS, float(residual.LOW_QUANTILE)
        full = float((self.record["analysis_window"] ** 2).sum())
        rule = residual.RESIDUAL.make(
            channels=k, bins=self.record["bins"], row=row, power=self.record["power"], doubt=np.ones(k, np.float32),
            reach=round(residual.BANDWIDTH_HZ / 2 / (fmt.rate / self._analysis)),
            frame_ms=frame * 1000, hold=math.exp(-frame / _HELD_SECONDS), up=math.exp(step * q),
            down=math.exp(-step * (1 - q)), quiet=_QUIET * full, silence=_SILENCE * full,
            **{f"share{ms}": 1 - math.exp(-frame * 1000 / ms) for ms in (20, 66, 150, 250)},
        )
        model = None
        if self._estimator == "learned":
            model = find(self._model, fmt, self._analysis, self._synthesis, self._hop)
        if model is None:
            return residual.residual_gains, rule
        try:
            self._network = Network(self.name, self.record, rule, fmt.rate, model)
        except RtsepError as error:   # what is heard goes on without it
            self._said.append(f"{error}; gains without a network")
            return residual.residual_gains, rule
        return learned.learned_gains, rule

    def overhear(self, heard: Heard | None) -> None:
        """See `Stage.overhear`."""
        if self._network is not None:
            self._network.overhear(heard)

    def _start(self) -> None:
        if self._network is not None:
            self._network.start()

    def snapshot(self) -> dict[str, NDArray[Any]]:
        """See `Stage.snapshot`; of the network, too."""
        return {**(self._network.snapshot() if self._network is not None else {}), **super().snapshot()}

    def restore(self, snapshot: Mapping[str, NDArray[Any]]) -> None:
        """See `Stage.restore`."""
        if self._network is None:
            super().restore(snapshot)
            return
        mine = self._network.check(snapshot)
        super().restore({name: values for name, values in snapshot.items() if name not in mine})
        self._network.restore(snapshot)

    def go_live(self) -> None:
        """Wait for no network from now on."""
        if self._network is not None:
            self._network.go_live()

    def close(self) -> None:
        """End the network's process."""
        if self._network is not None:
            self._network.close()

    def status(self) -> dict[str, int]:
        """Return answers of the network that came late or could not be used, and how often it was started again."""
        return self._network.status() if self._network is not None else {}

    def news(self) -> list[str]:
        """See `Stage.news`."""
        told, self._said = self._said, []
        return told + (self._network.news() if self._network is not None else [])

    def shadow(self) -> Spectral:
        """Return a stage that applies this one's gains, frame by frame, to another signal."""
        twin = Spectral(self.name, self._analysis, self._synthesis, self._hop, "unity")
        twin._master = self
        twin.prepare(self.fmt, self.board)
        return twin


def _power_of_two(at_least: int) -> int:
    return 1 << (at_least - 1).bit_length()
