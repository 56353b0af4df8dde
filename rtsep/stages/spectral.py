"""Spectral: the only stage with a short-time spectrum. Estimators decide the gains; this applies them."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rtsep import fftw
from rtsep.catalogue import STAGES
from rtsep.errors import InputError
from rtsep.stage import Block, Format, Stage
from rtsep_kernels import residual, stft
from rtsep_kernels.plane.memory import aligned

_DEFAULTS = STAGES["spectral"].defaults
_HELD_SECONDS = 0.06      # release of a neighbour's power: about what a room holds it
_QUANTILE_SECONDS = 0.5   # time in which a leak may change by a factor e


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
        Samples. The latency is ``synthesis + hop - 64``.
    estimator : str
        `residual` suppresses what a canceller has left (see `rtsep_kernels.residual`); `unity` leaves all gains
        where they are, at 1 unless another plane writes them.
    """

    params = STAGES["spectral"].params

    def __init__(
        self,
        name: str = "spectral",
        analysis: int = _DEFAULTS["analysis"],
        synthesis: int = _DEFAULTS["synthesis"],
        hop: int = _DEFAULTS["hop"],
        estimator: str = _DEFAULTS["estimator"],
    ) -> None:
        super().__init__(name)
        if synthesis > analysis or synthesis % hop or synthesis // hop < 2:
            raise InputError(
                f"{name}.synthesis", f"{synthesis} with analysis {analysis} and hop {hop}",
                "allowed is a multiple of the hop, at least two hops, at most the analysis window",
            )
        self._analysis, self._synthesis, self._hop = analysis, synthesis, hop
        self._estimator = estimator
        self._master: Spectral | None = None

    @property
    def gains(self) -> Block:
        """Gains as decided last, float32[channels, bins]."""
        bins = int(self._record["bins"][0])
        array: Block = self._keep["gains"][:, :bins]
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
        if "residual" in self._keep:
            self._keep["doubt"] = doubt
            self._residual["doubt"] = doubt.ctypes.data

    def _build(self, fmt: Format) -> tuple[Any, NDArray[Any], int]:
        k, bins = fmt.channels, self._analysis // 2 + 1
        row = -(-bins // 16) * 16
        record = self._record = np.zeros(1, stft.SPECTRAL)
        latency = self._synthesis + self._hop - 64
        for name, number in {
            "channels": k, "analysis": self._analysis, "synthesis": self._synthesis, "hop": self._hop,
            "bins": bins, "row": row, "latency": latency, "plan": fftw.plan(self._analysis, True),
            "inverse": fftw.plan(self._analysis, False), "ring_frames": _power_of_two(self._analysis + self._hop),
            "overlap_frames": _power_of_two(latency + self._synthesis + 64),
        }.items():
            record[name] = number
        record["forward"], record["backward"] = fftw.execute_addresses()
        for name, window in zip(
            ("analysis_window", "synthesis_window"), windows(self._analysis, self._synthesis, self._hop), strict=True
        ):
            self._hold(name, aligned(window.size))[:] = window
        self._hold("ring", aligned((k, int(record["ring_frames"][0]))))
        self._hold("overlap", aligned((k, int(record["overlap_frames"][0]))))
        for name in ("re", "im", "power"):
            self._hold(name, aligned((k, row)))
        self._hold("time", aligned(self._analysis))
        self._hold("spectrum", aligned(2 * row))
        if self._master is not None:
            self._hold("gains", self._master._keep["gains"])
        else:
            self._hold("gains", aligned((k, row)))
            self._decide(fmt, bins, row)
        return stft.spectral, record, latency

    def _decide(self, fmt: Format, bins: int, row: int) -> None:
        """Put who decides the gains into the record."""
        if self._estimator != "residual":
            return
        k, frame = fmt.channels, self._hop / fmt.rate
        record = self._residual = np.zeros(1, residual.RESIDUAL)
        arrays = {
            "held": aligned((k, row)), "averages": aligned((4, k, row)), "sums": aligned((3, row)),
            "leak": aligned((k, k, row)), "bleed": aligned(row), "work": aligned((3, row)), "doubt": aligned(k),
        }
        self._keep["residual"] = (residual.residual_gains, arrays)
        for name, array in (*arrays.items(), ("power", self._keep["power"]), ("gains", self._keep["gains"])):
            record[name] = array.ctypes.data
        record["channels"], record["bins"], record["row"] = k, bins, row
        for param in self.params:
            record[param.name] = self.board.address(f"{self.name}.{param.name}")
        record["frame_ms"] = frame * 1000
        record["hold"] = math.exp(-frame / _HELD_SECONDS)
        # Steps in proportion 1 - q : q balance at quantile q; each leak moves in one frame of four.
        step = 4 * frame / _QUANTILE_SECONDS
        record["up"] = math.exp(step * float(residual.LOW_QUANTILE))
        record["down"] = math.exp(-step * (1 - float(residual.LOW_QUANTILE)))
        full = float((self._keep["analysis_window"] ** 2).sum())
        # Below -80 dBFS a mic teaches nothing about its neighbours; -120 dBFS in every bin is added to all powers.
        record["quiet"] = 1e-8 * full
        record["silence"] = 1e-12 * full
        for ms in (20, 66, 150, 250):
            record[f"share{ms}"] = 1 - math.exp(-frame * 1000 / ms)
        record["reach"] = round(residual.BANDWIDTH_HZ / 2 / (fmt.rate / self._analysis))
        self._record["estimator"] = residual.residual_gains.address
        self._record["estimator_state"] = record.ctypes.data

    def _start(self) -> None:
        for name in ("ring", "overlap", "re", "im", "power"):
            self._keep[name][:] = 0
        if self._master is not None:
            return
        self._keep["gains"][:] = 1
        if "residual" in self._keep:
            arrays = self._keep["residual"][1]
            arrays["held"][:] = 0
            arrays["averages"][:] = 0
            arrays["leak"][:] = 1e-3
            arrays["doubt"][:] = 1
            self._residual["frame"] = 0

    def shadow(self) -> Spectral:
        """Return a stage that applies this one's gains, frame by frame, to another signal."""
        twin = Spectral(self.name, self._analysis, self._synthesis, self._hop, "unity")
        twin._master = self
        twin.prepare(self.fmt, self.board)
        return twin


def _power_of_two(at_least: int) -> int:
    return 1 << (at_least - 1).bit_length()
