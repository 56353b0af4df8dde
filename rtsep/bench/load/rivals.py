"""Rivals: the same work done otherwise, in one run, turn by turn, as ratios.

A ratio is the time of rtsep's stage divided by the rival's: below 1 rtsep is quicker. Each round measures both, one
after the other, on one thread with real-time priority where that is granted; a reading is the median over rounds.
"""

from __future__ import annotations

import importlib
import statistics
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rtsep import realtime
from rtsep.bench.history import LESS, Reading, measured
from rtsep.bench.load import cells
from rtsep.bench.load.law import work
from rtsep.bench.load.machine import Machine, bare_transforms, seconds_of
from rtsep.errors import InputError
from rtsep.names import numbered
from rtsep.runner import Runner
from rtsep.session import Session
from rtsep.stage import Format, Stage

Audio = NDArray[np.float32]
Call = Callable[[], object]

ROUNDS = 9
_WINDOW, _HOP = 1024, 128        # of the spectral stage, as the catalogue has it
_TAPS, _PART = 16384, 512        # of the canceller's paths, and of a partition of the rival
_PLUGINS = ("HighpassFilter", "PeakFilter", "Compressor")
_CALLS = 64                      # of our callback in a round
KINDS = ("numpy", "torch", "pedalboard", "floor")


@dataclass(frozen=True)
class Ratio:
    """Ours against one rival.

    Parameters
    ----------
    chain, rival : str
    mics, block : int
    ours_us, rival_us : float
        Median of a block, microseconds.
    ratios : tuple of float
        Ours divided by the rival's, of each round.
    note : str
        What of it the rival does, or why it was not measured.
    """

    chain: str
    rival: str
    mics: int
    block: int
    ours_us: float
    rival_us: float
    ratios: tuple[float, ...]
    note: str


def compare(mics: int, block: int, kinds: Sequence[str], machine: Machine) -> list[Ratio]:
    """Measure every rival of these kinds, on a thread of their own.

    Parameters
    ----------
    mics, block : int
    kinds : sequence of str
        Of `KINDS`.
    machine : Machine
    """
    found: list[Ratio] = []
    failed: list[BaseException] = []

    def work() -> None:
        realtime.ask(realtime.WATCH)   # above what learns, which the rivals do not have, and below any sound
        try:
            found.extend(_compare(mics, block, kinds, machine))
        except BaseException as error:   # told where it was asked for
            failed.append(error)

    thread = threading.Thread(target=work, name="rivals")
    thread.start()
    thread.join()
    if failed:
        raise failed[0]
    return found


def _compare(mics: int, block: int, kinds: Sequence[str], machine: Machine) -> Iterator[Ratio]:
    modules = [(kind, module) for kind in ("numpy", "torch") if kind in kinds and (module := _module(kind)) is not None]
    # Unity gains: what decides them is rtsep's own; the transforms are what all have in common.
    with_matrix, transforms, canceller = (_stage(name, mics) for name in (cells.MATRIX, "unity", cells.CANCELLER))
    try:
        for name, module in modules:
            yield _ratio(cells.MATRIX, name, mics, block, with_matrix, matrix(module, mics, block), "the product alone")
            yield _ratio(cells.SPECTRAL, name, mics, _HOP, transforms, spectral(module, mics),
                         "windows, transforms, overlap-add; no gains")
            yield _ratio(cells.CANCELLER, name, mics, _PART, canceller, canceller_of(module, mics),
                         f"partitions of {_PART} alone, filters fixed: {_PART} samples late")
        if "floor" in kinds:
            whole = _stage(cells.SPECTRAL, mics)
            bare = bare_transforms(mics, _WINDOW)
            yield _ratio(cells.SPECTRAL, "bare FFTW", mics, _HOP, transforms, bare, "stage with unity gains")
            yield _ratio(cells.SPECTRAL, "bare FFTW, residual", mics, _HOP, whole, bare, "whole stage, gains decided")
            yield _ratio(cells.CANCELLER, "memory", mics, _PART, canceller, _memory(mics, machine),
                         "its far filters read once, at what memory gives")
        if "pedalboard" in kinds:
            yield _plugins(mics, block)
    finally:
        canceller.close()


def _module(name: str) -> Any | None:
    """Import a rival's library, if it is there: torch is no dependency of rtsep but in `rtsep.train`."""
    try:
        module = importlib.import_module(name)
    except ImportError:
        return None
    if name == "torch":
        module.set_num_threads(1)
    return module


def _stage(kind: str, mics: int) -> Stage:
    from rtsep.stages.canceller import Canceller
    from rtsep.stages.spectral import Spectral
    from rtsep.stages.unmix import Matrix

    made: Stage
    if kind == cells.MATRIX:
        mixing = np.full((mics, mics), 0.5 / mics)
        np.fill_diagonal(mixing, 1)
        made = Matrix("matrix", mixing.tolist())
    elif kind == cells.CANCELLER:
        made = Canceller("canceller", _TAPS)
    else:
        made = Spectral("spectral", _WINDOW, 512, _HOP, "unity" if kind == "unity" else "residual")
    made.prepare(Format(cells.RATE, mics))
    if kind == cells.CANCELLER:
        made.go_live()   # what learns is another thread's: the rival does not learn
    return made


def _ratio(chain: str, rival: str, mics: int, block: int, stage: Stage, other: Call, note: str) -> Ratio:
    runner = Runner(stage)
    x = cells.sound(mics, _CALLS * block)
    pieces = [np.ascontiguousarray(piece) for piece in np.split(x, _CALLS, axis=1)]
    out = np.empty_like(pieces[0])
    ours, theirs = [], []
    for _ in range(ROUNDS + 1):
        runner.forget_times()
        for piece in pieces:
            runner.process(piece, out)
        ours.append(float(np.median(runner.microseconds())))   # each block has a whole hop, or partition
        theirs.append(1e6 * seconds_of(other))
    ours, theirs = ours[1:], theirs[1:]   # the first round warms up
    ratios = tuple(a / b for a, b in zip(ours, theirs, strict=True))
    return Ratio(chain, rival, mics, block, statistics.median(ours), statistics.median(theirs), ratios, note)


def matrix(xp: Any, mics: int, block: int) -> Call:
    """Return a callback that multiplies a block with a matrix."""
    mixing, x = _given(xp, np.eye(mics) + 0.1), _given(xp, np.ones((mics, block)))
    return lambda: xp.matmul(mixing, x)


def spectral(xp: Any, mics: int) -> Call:
    """Return a callback that takes a hop of sound through windows and transforms and adds it up again."""
    size = _WINDOW
    history, window = _given(xp, np.ones((mics, size))), _given(xp, np.hanning(size))
    tail, hop = _given(xp, np.zeros((mics, size))), _given(xp, np.ones((mics, _HOP)))

    def call() -> object:
        history[:, :-_HOP] = history[:, _HOP:] + 0   # torch and numpy alike: a copy, as both ends overlap
        history[:, -_HOP:] = hop
        spectrum = xp.fft.rfft(history * window)
        tail[:, :-_HOP] = tail[:, _HOP:] + 0
        tail[:, -_HOP:] = 0
        tail[:] = tail + xp.fft.irfft(spectrum) * window
        return tail[:, :_HOP]

    return call


def canceller_of(xp: Any, mics: int) -> Call:
    """Return a callback that subtracts all mics, filtered, from each: overlap-save in partitions of 512."""
    parts = _TAPS // _PART
    rng = np.random.default_rng(0)
    shape = (parts, mics, _PART + 1)
    spectra = _complex(xp, rng.standard_normal(shape))
    filters = _complex(xp, 0.001 * rng.standard_normal((parts, mics, mics, _PART + 1)))
    block, before = _given(xp, rng.standard_normal((mics, _PART))), _given(xp, np.zeros((mics, _PART)))
    place = [0]

    def call() -> object:
        place[0] = (place[0] + 1) % parts
        joined = xp.concatenate((before, block), 1) if hasattr(xp, "ndarray") else xp.cat((before, block), 1)
        spectra[place[0]] = xp.fft.rfft(joined)
        bleed = xp.fft.irfft(xp.einsum("pijf,pjf->if", filters, spectra))
        return block - bleed[:, _PART:]

    return call


def _given(xp: Any, values: NDArray[Any]) -> Any:
    array = np.ascontiguousarray(values, np.float32)
    return xp.from_numpy(array) if hasattr(xp, "from_numpy") else array


def _complex(xp: Any, values: NDArray[Any]) -> Any:
    array = np.ascontiguousarray(values, np.complex64)
    return xp.from_numpy(array) if hasattr(xp, "from_numpy") else array


def _memory(mics: int, machine: Machine) -> Call:
    """Return a 'call' as long as reading the canceller's far filters once takes: nothing can be quicker."""
    seconds = work(cells.CANCELLER, mics)[1] * _PART / (1e9 * machine.gigabytes)

    def call() -> None:
        until = time.perf_counter() + seconds
        while time.perf_counter() < until:
            pass

    return call


def _plugins(mics: int, block: int) -> Ratio:
    """Compare the callback of `strips` with the plug-ins called one after the other in it, as a Python host would."""
    host: Any = importlib.import_module("pedalboard")
    boards = [host.Pedalboard([getattr(host, name)() for name in _PLUGINS]) for _ in range(mics)]
    x = cells.sound(mics, block)

    def call() -> None:
        for board, row in zip(boards, x, strict=True):
            board.process(row, cells.RATE, buffer_size=block, reset=False)

    note = f"{', '.join(_PLUGINS)}: ours works in other processes"
    try:
        session = Session.open(cells.preset(cells.PLUGINS, mics, ""), cells.RATE, numbered(mics))
    except InputError as error:
        return Ratio(cells.PLUGINS, "pedalboard", mics, block, 0.0, 0.0, (), str(error))
    with session:
        session.engine.go_live()
        return _ratio(cells.PLUGINS, "pedalboard", mics, block, session.engine, call, note)


def readings(ratios: Sequence[Ratio]) -> list[Reading]:
    """Return what the history keeps."""
    return [measured(f"ratio.{r.chain}.{r.rival.replace(' ', '_').replace(',', '')}.{r.mics}", "", LESS, r.ratios)
            for r in ratios if r.ratios]


def table(ratios: Sequence[Ratio]) -> tuple[list[str], list[list[str]]]:
    """Return heads and cells."""
    heads = ["chain", "rival", "note", "mics", "block", "ours us", "rival us", "ours ÷ rival"]
    rows = []
    for r in ratios:
        middle = f"{statistics.median(r.ratios):.2f}" if r.ratios else "-"
        times = [f"{r.ours_us:.1f}", f"{r.rival_us:.1f}"]
        rows.append([r.chain, r.rival, r.note, str(r.mics), str(r.block), *times, middle])
    return heads, rows
