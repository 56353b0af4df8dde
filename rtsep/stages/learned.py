"""Network: corrects the gains of a spectral stage from a process of its own; the bands in which it sees a spectrum."""

from __future__ import annotations

import pathlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rtsep.catalogue.networks import missing
from rtsep.stage import Format, Heard
from rtsep.stages.remote.link import Link
from rtsep_kernels import learned as kernels
from rtsep_kernels.plane import due
from rtsep_kernels.plane.record import State

BANDS = 32
_TOP_HZ = 18000.0
_NARROWEST_HZ = 47.0        # a bin of 1024 points at 48 kHz: no window sees bands that another one cannot
_FADE_SECONDS = 0.02        # of what the network says, in and out
_HOLD_SECONDS = 0.1         # of weights that are late
_USUAL_SECONDS = 4.0        # that a mic's usual power is of: some bars of music
_STEP_FRAMES = 256          # samples, or one hop where that is more: half a letter of speech, 5.3 ms
_RATE, _NEAR = 48000, 0.1   # Hz that the networks were trained at; 44.1 kHz is near enough
_SHIPPED = {(1024, 128, 64): "monitor", (1024, 512, 128): "foh", (4096, 2048, 256): "record"}
_NAPS = 40000               # for an answer where nobody listens, at least 20 s
_SHARED = ("exchange", "marks", "inputs", "outputs")


@dataclass(frozen=True)
class Step:
    """When a network is asked.

    Parameters
    ----------
    frames : int
        Of the spectrum, from one question to the next.
    lag : int
        Steps from a question to the use of its answer.
    """

    frames: int
    lag: int


def step_of(hop: int) -> Step:
    """Return when a network is asked that belongs to a spectrum with a hop, samples."""
    return Step(max(1, round(_STEP_FRAMES / hop)), 2)


def find(model: str, fmt: Format, analysis: int, synthesis: int, hop: int) -> str | None:
    """Return the model's file for a window: the one that is named, else the one that comes with rtsep.

    None: there is none for it, nothing to run it with, or one mic alone.
    """
    if missing() or fmt.channels < 2:
        return None
    if model:
        return model
    name = _SHIPPED.get((analysis, synthesis, hop))
    path = pathlib.Path(__file__).parent.parent / "weights" / f"{name}.onnx"
    return str(path) if name and path.is_file() and abs(fmt.rate - _RATE) <= _NEAR * _RATE else None


def edges() -> NDArray[np.float64]:
    """Return the edges of the bands, Hz, float64[BANDS + 1]: as wide as an ear's, but none narrower than 47 Hz.

    References
    ----------
    Glasberg & Moore 1990, doi:10.1016/0378-5955(90)90170-T (the rate of equivalent rectangular bandwidths).
    """
    rate = np.linspace(0, 21.4 * np.log10(1 + 0.00437 * _TOP_HZ), BANDS + 1)
    hz: NDArray[np.float64] = (10 ** (rate / 21.4) - 1) / 0.00437
    wide: NDArray[np.float64] = np.maximum(hz, np.arange(BANDS + 1) * _NARROWEST_HZ)
    return wide


def band_places(rate: int, analysis: int, row: int) -> dict[str, NDArray[Any]]:
    """Return which bins a band has, and between which bands a bin lies, as `LEARNED` wants them."""
    bins, spacing = analysis // 2 + 1, rate / analysis
    hz = edges()
    first = np.minimum(np.ceil(hz[:-1] / spacing - 1e-9).astype(np.int64), bins - 1)
    last = np.minimum(np.maximum(np.ceil(hz[1:] / spacing - 1e-9).astype(np.int64) - 1, first), bins - 1)
    middle = (first + last) / 2
    at = np.arange(row)
    above = np.clip(np.searchsorted(middle, at, side="right"), 1, BANDS - 1)
    below = above - 1
    gap = np.maximum(middle[above] - middle[below], 1e-9)
    share = np.clip((at - middle[below]) / gap, 0, 1).astype(np.float32)
    return {"first": first, "last": last, "below": below, "above": above, "share": share}


def make_record(
    spectral: State, rule: State, rate: int, step: Step, shared: dict[str, NDArray[Any]],
    heard: NDArray[np.float32], clock: NDArray[np.int64], naps: int,
) -> State:
    """Return the record of `rtsep_kernels.learned.learned_gains`."""
    hop, channels = spectral["hop"], spectral["channels"]
    seconds = hop / rate
    made = kernels.LEARNED.make(
        channels=channels, bins=spectral["bins"], row=spectral["row"], bands=BANDS, step=step.frames, lag=step.lag,
        patience=round(_HOLD_SECONDS / (seconds * step.frames)), spectral=spectral.address, rule=rule,
        heard_frames=heard.shape[1], heard=heard, clock=clock, trust_step=seconds / _FADE_SECONDS,
        frame_share=seconds / _USUAL_SECONDS,
        slots=shared["marks"].shape[0], unit=shared["inputs"].shape[2], naps=naps,
        exchange=shared["exchange"], marks=shared["marks"], inputs=shared["inputs"], outputs=shared["outputs"],
        **band_places(rate, spectral["analysis"], spectral["row"]),
    )
    assert shared["exchange"].shape == (due.EXCHANGE,)
    return made


class Network:
    """The network that corrects a spectral stage's gains, in a process of its own.

    Parameters
    ----------
    name : str
        Of the stage.
    spectral, rule : State
        The stage's record, and that of the gains without the network.
    rate : int
        Hz.
    path : str
        The model's file.

    Attributes
    ----------
    record : State
        What `rtsep_kernels.learned.learned_gains` works with.
    """

    def __init__(self, name: str, spectral: State, rule: State, rate: int, path: str) -> None:
        step = step_of(spectral["hop"])
        channels, unit = spectral["channels"], kernels.VALUES * BANDS
        # A unit is what a step sees; the delay has as many slots as are on their way.
        self.link = Link(
            f"{name}.model", "rtsep.workers.gains:Gains", Format(rate, channels), unit, unit * step.lag,
            {"path": path},
        )
        self.link.wait()
        self._nothing = np.zeros((channels, 1), np.float32), np.zeros(1, np.int64)
        shared = {field: self.link.record[field] for field in _SHARED}
        self.record = make_record(spectral, rule, rate, step, shared, *self._nothing, _NAPS)

    def overhear(self, heard: Heard | None) -> None:
        """Read the mics as they came from a stage in front, or from nobody; while it runs, too."""
        sound, clock = (heard.sound, heard.clock) if heard is not None else self._nothing
        self.record["heard_frames"] = 1   # nobody, until all is in place
        self.record.put("clock", clock)
        self.record.record["heard"] = sound.ctypes.data   # before its length says that it is there
        self.record["heard_frames"] = sound.shape[1]
        self.record.put("heard", sound)                   # keeps it

    def start(self) -> None:
        """Begin as new; the record has been started."""
        self.link.start()

    def snapshot(self) -> dict[str, NDArray[Any]]:
        """Return what is under way, and what the process knows."""
        return self.link.snapshot()

    def check(self, snapshot: Mapping[str, NDArray[Any]]) -> set[str]:
        """Return the names of a snapshot that are ours; ValueError if it is of another network."""
        self.link.check(snapshot)
        return {name for name in snapshot if name.startswith("shared.") or name == "worker"}

    def restore(self, snapshot: Mapping[str, NDArray[Any]]) -> None:
        """Go on from a snapshot that has been checked."""
        self.link.restore(snapshot)

    def go_live(self) -> None:
        """Wait for nobody from now on."""
        self.record["naps"] = 0

    def close(self) -> None:
        """End the process; gains are those without the network from then on."""
        self.record["naps"] = 0
        self.link.close()

    def news(self) -> list[str]:
        """Return what the process has to say."""
        said = self.link.supervisor.said
        return [said.popleft() for _ in range(len(said))]

    def status(self) -> dict[str, int]:
        """Return answers that came late or could not be used, and how often the process was started again."""
        return {**self.link.status(), "bad_results": self.record["bad"]}
