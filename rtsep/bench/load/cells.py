"""Cells: a chain with so many mics in blocks of so many frames, played at the pace of a sound card.

The callback is the engine's own, with its levels and limiter, on a thread with real-time priority where that is
granted. Beside it runs a callback that does nothing, on a clock of its own: what both lose is the machine's.
"""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from rtsep import presets, realtime
from rtsep.bench.history import fifths
from rtsep.errors import InputError, RtsepError
from rtsep.metrics.punctuality import percentiles
from rtsep.names import numbered
from rtsep.presets import Preset
from rtsep.session import Session

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from rtsep.runner import Runner

RATE = 48000
MATRIX, CANCELLER, SPECTRAL, MODEL, PLUGINS = "matrix", "canceller", "spectral", "model", "plug-ins"
CHAINS = (MATRIX, CANCELLER, SPECTRAL, MODEL, PLUGINS)
MICS = (1, 2, 4, 8, 16, 32, 64)
BLOCKS = (16, 32, 64, 128, 256, 512)
ROOM = 0.7             # of the deadline, as `rtsep doctor` has it: from then on a machine with other work is late
LATE = 0.001           # share of blocks that may be late beyond those of the callback that does nothing,
_SIGMAS = 3.0          # and what chance makes of two counts: a stall hits the one or the other
_HOPELESS = 2.0        # of the deadline: more mics are not tried
_SETTLE = 0.5          # seconds that do not count
_HEAD = 'schema = 1\nname = "{name}"\nlatency_class = "record"\n[[chain]]\nstage = "input"\n[[chain]]\n'
_STAGES = {
    CANCELLER: 'stage = "canceller"\n', SPECTRAL: 'stage = "spectral"\n',
    PLUGINS: 'stage = "strips"\neach = [{plugin = "HighpassFilter", name = "hp"}, {plugin = "PeakFilter", '
             'name = "eq"}, {plugin = "Compressor", name = "comp"}]\n',
}


@dataclass(frozen=True)
class Cell:
    """What was measured.

    Parameters
    ----------
    chain : str
        Of `CHAINS`.
    mics, block : int
    problem : str
        Why nothing was measured; empty: it was.
    us : dict of str to float
        p50, p99, p999 and max of the callback, microseconds.
    fifths : dict of str to list of float
        p50 and p99 of each fifth of the time, microseconds.
    blocks, late, twin_late : int
        How many there were, that were late, and of the callback that does nothing.
    cores : float
        CPU seconds of all threads of this process, but the other callback's, for each second of sound.
    status : dict of str to int
        What the chain has counted, such as late updates.
    """

    chain: str
    mics: int
    block: int
    problem: str = ""
    us: dict[str, float] = field(default_factory=dict)
    fifths: dict[str, list[float]] = field(default_factory=dict)
    blocks: int = 0
    late: int = 0
    twin_late: int = 0
    cores: float = 0.0
    status: dict[str, int] = field(default_factory=dict)

    @property
    def deadline_us(self) -> float:
        """Time between two blocks, microseconds."""
        return 1e6 * self.block / RATE

    @property
    def share(self) -> dict[str, float]:
        """Percentiles as shares of the deadline."""
        return {name: us / self.deadline_us for name, us in self.us.items()}

    @property
    def holds(self) -> bool:
        """Whether it is in time with room to spare, beyond what the machine loses by itself."""
        chance = _SIGMAS * math.sqrt(self.late + self.twin_late + 1)
        most_late = self.twin_late + chance + LATE * self.blocks
        return bool(self.us) and self.share["p99"] <= ROOM and self.late <= most_late


def key(chain: str, mics: int, block: int) -> str:
    """Return what a cell is called."""
    return f"{chain}.{mics}.{block}"


def measure(
    chain: str, mics: int, blocks: Sequence[int], seconds: float, model: str, hopeless: Collection[int] = ()
) -> Iterator[Cell]:
    """Measure a chain with so many mics, in blocks of each length.

    Parameters
    ----------
    chain : str
    mics : int
    blocks : sequence of int
        Frames.
    seconds : float
        Of each cell.
    model : str
        File for `MODEL`.
    hopeless : collection of int
        Blocks in which fewer mics have taken far too long.
    """
    tried = [block for block in blocks if block not in hopeless]
    for block in blocks:
        if block in hopeless:
            yield Cell(chain, mics, block, "fewer mics take more than twice the deadline")
    if not tried:
        return
    try:
        session = Session.open(preset(chain, mics, model), RATE, numbered(mics))
    except RtsepError as error:   # too much memory, no model, a plug-in that is not there
        yield from (Cell(chain, mics, block, str(error)) for block in tried)
        return
    with session:
        runner = session.start()
        session.engine.go_live()
        for block in tried:
            yield _cell(session, runner, chain, block, seconds)


def is_hopeless(cell: Cell) -> bool:
    """Whether more mics need not be tried in such blocks."""
    return bool(cell.us) and cell.share["p50"] > _HOPELESS


def preset(chain: str, mics: int, model: str) -> Preset:
    """Return a preset with one stage that works."""
    if chain == MATRIX:
        rows = [[1.0 if i == j else 0.5 / mics for j in range(mics)] for i in range(mics)]   # no product is left out
        stage = f'stage = "matrix"\nmixing = {rows}\n'
    elif chain == MODEL:
        stage = f'stage = "model"\nmodel = "{model}"\n'
    else:
        stage = _STAGES[chain]
    return presets.loads(_HEAD.format(name=chain) + stage, chain)


def passing_model(folder: Path) -> str:
    """Write a model that only multiplies: what remains is the way to the worker and back.

    Raises
    ------
    InputError
        The libraries for that are not installed.
    """
    try:
        from rtsep.bench.toymodels import gain, save
    except ImportError:
        raise InputError("--chains", "model needs onnx", "pip install 'rtsep[cpu]', or leave it out") from None
    return save(gain(0.5), folder / "gain.onnx")


def sound(mics: int, frames: int) -> NDArray[np.float32]:
    """Make sources that bleed, so that there is something to do."""
    rng = np.random.default_rng(0)
    sources = 0.05 * rng.standard_normal((mics, frames)).astype(np.float32)
    bleed = 0.1 * np.roll(sources.sum(axis=0), 40)[None]
    return np.asarray(sources + bleed, np.float32)


def _cell(session: Session, runner: Runner, chain: str, block: int, seconds: float) -> Cell:
    from rtsep.chain import Chain
    from rtsep.runner import Runner
    from rtsep.stage import Format
    from rtsep.stages.mix import Input

    mics = session.engine.fmt.channels
    idle = Chain([Input("input")])
    idle.prepare(Format(RATE, 1))
    twin = Runner(idle)
    frames = int((seconds + _SETTLE) * RATE) // block * block
    played = sound(mics, frames), np.zeros((1, frames), np.float32)
    made = [np.zeros_like(one) for one in played]
    runner.forget_times()
    before = session.engine.status()
    used = [0.0, 0.0]   # CPU seconds of both
    threads = [threading.Thread(target=_play, args=(one, x, out, block, used, n))
               for n, (one, x, out) in enumerate(zip((runner, twin), played, made, strict=True))]
    for thread in threads:
        thread.start()
    time.sleep(_SETTLE)
    runner.record["late"] = twin.record["late"] = 0
    cpu, at = time.process_time(), time.perf_counter()
    for thread in threads:
        thread.join()
    lasted = time.perf_counter() - at
    cores = (time.process_time() - cpu) / lasted - used[1] * RATE / frames
    us = runner.microseconds()
    if us.size == frames // block:   # else there are more than are kept, and those at first are gone
        us = us[round(_SETTLE * RATE / block) :]
    after = session.engine.status()
    return Cell(
        chain, mics, block, "", percentiles(us), {"p50": fifths(us, 50), "p99": fifths(us, 99)}, int(us.size),
        int(runner.record["late"]), int(twin.record["late"]), cores,
        {name: int(count - before.get(name, 0)) for name, count in after.items()},
    )


def _play(
    runner: Runner, x: NDArray[np.float32], out: NDArray[np.float32], block: int, used: list[float], n: int
) -> None:
    realtime.ask(realtime.AUDIO)
    runner.run_paced(x, out, block, np.zeros(1, np.int64))
    used[n] = time.thread_time()
