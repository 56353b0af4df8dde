"""Evidence: what the network would see and weigh in a concert, as the live kernel itself has it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rtsep import presets
from rtsep.errors import InputError
from rtsep.stage import Format
from rtsep.stages import learned
from rtsep.stages.spectral import Spectral, windows
from rtsep.train.postfilter.concerts import RATE, CleanedConcert
from rtsep_kernels import learned as kernels
from rtsep_kernels.plane import due
from rtsep_kernels.plane.grid import GRID

Values = NDArray[np.float32]

_WARM_SECONDS = 3.0      # before what is kept: the leaks' quantiles are followed in half a second each
_RING = 1 << 14          # samples of the mics as they came: more than a window
_FULL_HZ = 4000.0        # up to here every bin counts, where four fifths of what is left lies; above, one of `_SKIPPED`
_FINE_HZ = 800.0         # the same in windows of 4096
_SKIPPED = 4
_FLATTEST = 30.0         # octaves; see `rtsep_kernels.learned.LIMIT`


@dataclass(frozen=True)
class Setting:
    """A spectrum, and how its gains move, as a preset has them.

    Parameters
    ----------
    analysis, synthesis, hop : int
        Samples.
    range_db, strength, release_ms : float
        Values of the stage's parameters.
    """

    analysis: int
    synthesis: int
    hop: int
    range_db: float
    strength: float
    release_ms: float

    @property
    def step(self) -> learned.Step:
        """When the network is asked."""
        return learned.step_of(self.hop)

    @property
    def step_ms(self) -> float:
        """Milliseconds from one question to the next."""
        return 1000 * self.hop * self.step.frames / RATE

    def bins(self) -> tuple[NDArray[np.int64], Values]:
        """Return which bins are looked at, and how many each stands for."""
        hz = np.fft.rfftfreq(self.analysis, 1 / RATE)
        full = _FULL_HZ if self.analysis <= 2048 else _FINE_HZ
        below = np.flatnonzero(hz < full)
        skipped = _SKIPPED * max(1, self.analysis // 1024)
        middle = np.flatnonzero((hz >= full) & (hz < _FULL_HZ))[::_SKIPPED]
        above = np.flatnonzero(hz >= _FULL_HZ)[::skipped]
        each = [np.ones(len(below)), np.full(len(middle), _SKIPPED), np.full(len(above), skipped)]
        return np.concatenate([below, middle, above]), np.concatenate(each).astype(np.float32)


def setting_of(preset: str) -> Setting:
    """Return the setting of a preset's stage `spectral`.

    Raises
    ------
    InputError
        If it has none.
    """
    loaded = presets.load(preset)
    found = [config for config in loaded.chain if config.stage == "spectral"]
    if not found:
        raise InputError("--preset", f"{preset} has no stage spectral", "allowed is monitor, foh or record")
    options, name = found[0].options, found[0].name
    values = {param.name: param.default for param in Spectral.params}
    values |= {path.split(".")[1]: value for path, value in loaded.params.items() if path.startswith(f"{name}.")}
    return Setting(options["analysis"], options["synthesis"], options["hop"],
                   values["range_db"], values["strength"], values["release_ms"])


@dataclass(frozen=True, eq=False)
class Evidence:
    """What was seen of a part of a concert, step by step; float32, mics first.

    Parameters
    ----------
    seen : [mics, steps, VALUES, BANDS]
        Input of the network.
    odds : [mics, steps, bins]
        Of the rule without it, log2.
    weighed : [mics, EVIDENCES, steps, bins]
        What its answer weighs, over SCALE.
    cleaned, both, truth : [mics, steps, bins]
        |Y|², Re(Y* S), |S|² of the canceller's output Y and the truth S.
    """

    seen: Values
    odds: Values
    weighed: Values
    cleaned: Values
    both: Values
    truth: Values

    def part(self, first: int, count: int) -> Evidence:
        """Return some of the steps."""
        cut = slice(first, first + count)
        return Evidence(self.seen[:, cut], self.odds[:, cut], self.weighed[:, :, cut], self.cleaned[:, cut],
                        self.both[:, cut], self.truth[:, cut])


def evidence(concert: CleanedConcert, setting: Setting, begin: float, seconds: float) -> Evidence:
    """Run the rule over a part of a concert, and keep what it has before it.

    Parameters
    ----------
    concert : CleanedConcert
    setting : Setting
    begin, seconds : float
        Which part; the three seconds before are run, too.
    """
    hop, frames = setting.hop, setting.step.frames
    first = max(0, round((begin - _WARM_SECONDS) * RATE)) // (hop * frames) * frames   # frames; at a step
    last = min(round((begin + seconds) * RATE), concert.heard.shape[1]) // hop
    traced = _Traced(concert, setting, first)
    window = windows(setting.analysis, setting.synthesis, hop)[0].astype(np.float64)
    kept, _ = setting.bins()
    rows: dict[str, list[Values]] = {name: [] for name in ("seen", "odds", "weighed", "cleaned", "both", "truth")}
    for frame in range(first, last):
        traced.advance(frame)
        end = frame * hop
        if end < begin * RATE or end < setting.analysis or (frame - first) % frames:
            continue
        y, s = (np.fft.rfft(sound[:, end - setting.analysis : end] * window)[:, kept]
                for sound in (concert.cleaned, concert.truth))
        seen, odds, weighed = traced.look(kept)
        for name, row in (("seen", seen), ("odds", odds), ("weighed", weighed), ("cleaned", np.abs(y) ** 2),
                          ("both", (y.conj() * s).real), ("truth", np.abs(s) ** 2)):
            rows[name].append(row.astype(np.float32))
    axes = {name: 2 if name == "weighed" else 1 for name in rows}
    return Evidence(**{name: np.ascontiguousarray(np.stack(row, axis=axes[name])) for name, row in rows.items()})


class _Traced:
    """A spectral stage with the learned estimator's kernel, whose questions nobody answers."""

    def __init__(self, concert: CleanedConcert, setting: Setting, first: int) -> None:
        mics = len(concert.heard)
        self._concert, self._first, self._hop = concert, first, setting.hop
        self._stage = Spectral("spectral", setting.analysis, setting.synthesis, setting.hop)
        self._stage.prepare(Format(RATE, mics))
        for name in ("range_db", "strength", "release_ms"):
            self._stage.board.set(f"spectral.{name}", getattr(setting, name))
        rule = self._stage.record.parts["estimator_state"]
        self._doubt = np.ones(mics, np.float32)
        self._stage.believe(self._doubt)
        slots = (2, mics, kernels.VALUES * learned.BANDS)
        self._shared: dict[str, NDArray[Any]] = {
            "exchange": np.zeros(due.EXCHANGE, np.int64), "marks": np.zeros((2, due.LINE), np.int64),
            "inputs": np.zeros(slots, np.float32), "outputs": np.zeros(slots, np.float32),
        }
        self._ring, self._clock = np.zeros((mics, _RING), np.float32), np.zeros(1, np.int64)
        self._record = learned.make_record(
            self._stage.record, rule, RATE, setting.step, self._shared, self._ring, self._clock, 0
        )
        self._record.start()
        self._stage.record.put("estimator_state", self._record)
        self._stage.record.put("estimator", kernels.learned_gains.address)

    def advance(self, frame: int) -> None:
        """Run the segments of a hop, in which the frame that ended with the last one is worked on."""
        blocks = self._concert.doubt.shape[1]
        self._doubt[:] = self._concert.doubt[:, min(frame * self._hop // 512, blocks - 1)]
        out = np.empty((len(self._doubt), GRID), np.float32)
        for begin in range(frame * self._hop, (frame + 1) * self._hop, GRID):
            place = begin - self._first * self._hop
            at = place % _RING
            self._ring[:, at : at + GRID] = self._concert.heard[:, begin : begin + GRID]
            self._clock[0] = place + GRID
            self._stage.process(np.ascontiguousarray(self._concert.cleaned[:, begin : begin + GRID]), out)

    def look(self, kept: NDArray[np.int64]) -> tuple[Values, Values, Values]:
        """Return what the network sees, and the odds and evidences of some bins, of the frame in work."""
        n = (self._record["frame"] - 1) // self._record["step"]
        seen = self._shared["inputs"][n % 2].reshape(-1, kernels.VALUES, learned.BANDS).copy()
        weighed = np.clip(self._record["evidence"][:, :, kept], -_FLATTEST, _FLATTEST) / kernels.SCALE
        return seen, self._record["odds"][:, kept], weighed
