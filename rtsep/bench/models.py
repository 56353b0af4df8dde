"""How long models take: per call against its deadline, by provider and number of mics, with memory and warm-up."""

from __future__ import annotations

import multiprocessing
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path

import numpy as np

from rtsep.bench.history import LESS, Reading, fifths, measured
from rtsep.bench.markdown import table as markdown_table
from rtsep.errors import InputError
from rtsep.metrics.punctuality import percentiles
from rtsep.models.card import MATRIX, STEP
from rtsep.models.describe import some_frames
from rtsep.models.file import open_model
from rtsep.models.mics import Mics
from rtsep.models.session import CPU, CUDA, TENSORRT, Session
from rtsep.models.streaming import streamed

PROVIDERS = (CPU, CUDA, TENSORRT)
MICS = (1, 2, 4, 8, 16, 32, 64)

_UNIT_SECONDS = 512 / 48000   # of sound between two calls of models that take any length: the stage's default unit
_CONTEXT_SECONDS = 0.2        # the stage's default, too
_WARM, _LEAST, _MOST = 3, 10, 20000   # calls before measuring; that are measured
_LEVEL = 0.1


@dataclass(frozen=True)
class Cell:
    """One model, on one provider, for some mics.

    Parameters
    ----------
    model : str
        File.
    provider : str
        `cpu`, `cuda`, `cuda graph` or `tensorrt`.
    mics : int
    problem : str
        Why nothing was measured; empty: it was.
    calls : int
    us : dict of str to float
        p50, p99, p999 and max of a call, microseconds.
    deadline_us : float
        Time between two calls in a stream; of a model that runs offline alone, the length of what it is given.
    memory_mb : float
        What loading and running it has added to the process.
    warm_up_s : float
        From the file to the end of the first calls.
    fifths_us : tuple of float
        Median call of each fifth of the measurement.
    """

    model: str
    provider: str
    mics: int
    problem: str = ""
    calls: int = 0
    us: dict[str, float] | None = None
    deadline_us: float = 0.0
    memory_mb: float = 0.0
    warm_up_s: float = 0.0
    fifths_us: tuple[float, ...] = ()


def measure(
    paths: Sequence[str], providers: Sequence[str] = PROVIDERS, mics: Sequence[int] = MICS, seconds: float = 2.0,
    paced: bool = False,
) -> Iterator[Cell]:
    """Measure every model on every provider with every number of mics, each in a process of its own.

    Parameters
    ----------
    paths : sequence of str
    providers : sequence of str
        CUDA is measured with and without CUDA graphs.
    mics : sequence of int
    seconds : float
        For each cell, about.
    paced : bool
        Call it when a stream would; else back to back.

    Raises
    ------
    InputError
        If a file is no model.
    """
    for path in paths:
        open_model(path)
        for provider in providers:
            if provider not in PROVIDERS:
                raise InputError("--providers", f"there is no {provider}", "known: " + ", ".join(PROVIDERS))
            for graphs in ways(provider):
                for count in mics:
                    yield _apart(path, provider, graphs, count, seconds, paced)


def ways(provider: str) -> tuple[bool, ...]:
    """Return with and without CUDA graphs, where there are any."""
    return (False, True) if provider == CUDA else (False,)


def _apart(path: str, provider: str, graphs: bool, mics: int, seconds: float, paced: bool) -> Cell:
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    given = theirs, path, provider, graphs, mics, seconds, paced
    process = context.Process(target=_measured, args=given, daemon=True)
    process.start()
    theirs.close()
    name = f"{provider} graph" if graphs else provider
    try:
        found = ours.recv()
    except EOFError:
        found = "it died"
    finally:
        process.kill()   # what is left of it: it has nothing more to say
        process.join()
    return found if isinstance(found, Cell) else Cell(path, name, mics, found)


def _measured(pipe: Connection, path: str, provider: str, graphs: bool, mics: int, seconds: float, paced: bool) -> None:
    try:
        pipe.send(_cell(path, provider, graphs, mics, seconds, paced))
    except InputError as error:
        pipe.send(f"{error.problem}")


def _cell(path: str, provider: str, graphs: bool, mics: int, seconds: float, paced: bool) -> Cell:
    model = open_model(path)
    import onnxruntime  # noqa: F401  (what it takes by itself is no model's)

    before, begun = _resident(), time.perf_counter()
    session = Session(model, provider, graphs=graphs, flush=True)
    name = f"{provider} graph" if graphs else provider
    if session.provider != provider:
        return Cell(path, name, mics, "not measured: there is none here")
    call, deadline = _call(session, mics)
    for _ in range(_WARM):
        call()
    warm, memory = time.perf_counter() - begun, _resident() - before
    times: list[float] = []
    start = time.perf_counter()
    while len(times) < _LEAST or (time.perf_counter() - start < seconds and len(times) < _MOST):
        if paced:
            time.sleep(max(0.0, start + len(times) * deadline - time.perf_counter()))
        at = time.perf_counter()
        call()
        times.append(1e6 * (time.perf_counter() - at))
    return Cell(path, name, mics, "", len(times), percentiles(times), 1e6 * deadline, memory / 1e6, warm,
                tuple(fifths(np.array(times), 50)))


def _call(session: Session, mics: int) -> tuple[Callable[[], object], float]:
    """Return what is called once in each period, and the period in seconds."""
    card = session.model.card
    rng = np.random.default_rng(0)
    if card.kind == STEP:
        raise InputError(session.model.path, "is one step of rtsep's own post-filter", "its own bench measures it")
    if card.kind == MATRIX:
        bound = session.bind(mics, some_frames(card, 10.0))
        bound.x[...] = _LEVEL * rng.standard_normal(bound.x.shape)
        return bound.run, bound.x.shape[2] / card.rate
    if card.look_ahead is None:
        every = Mics(session, mics)
        frames = some_frames(card, 10.0)
        shape = (1, mics, frames, *([card.bins] if card.bins else []))
        x = np.abs(_LEVEL * rng.standard_normal(shape)).astype(np.float32)
        return (lambda: every.call(x)), frames * (card.hop or 1) / card.rate
    unit = max(1, round(_UNIT_SECONDS * card.rate))
    stream = streamed(session, mics, 0, unit, 1, round(_CONTEXT_SECONDS * card.rate))
    sound = (_LEVEL * rng.standard_normal((mics, stream.step))).astype(np.float32)
    return (lambda: stream.push(sound)), stream.step / card.rate


def _resident() -> int:
    """Return what this process holds of memory, bytes; 0 where the system does not tell."""
    status = Path("/proc/self/status")
    if not status.exists():
        return 0
    line = next(line for line in status.read_text().splitlines() if line.startswith("VmRSS"))
    return int(line.split()[1]) << 10


def table(cells: Sequence[Cell]) -> tuple[list[str], list[list[str]]]:
    """Return heads and cells."""
    heads = ["model", "provider", "mics", "p50 µs", "p99", "p99.9", "max", "deadline µs", "share", "MB", "warm-up s"]
    rows = []
    for cell in cells:
        first = [Path(cell.model).stem, cell.provider, str(cell.mics)]
        if cell.us is None:
            rows.append([*first, cell.problem, *["-"] * 7])
            continue
        us = [f"{cell.us[name]:.0f}" for name in ("p50", "p99", "p999", "max")]
        share = f"{100 * cell.us['p99'] / cell.deadline_us:.1f} %"
        rows.append([*first, *us, f"{cell.deadline_us:.0f}", share, f"{cell.memory_mb:.0f}", f"{cell.warm_up_s:.2f}"])
    return heads, rows


def readings(cells: Sequence[Cell]) -> list[Reading]:
    """Return what the history keeps: the median call of each cell."""
    return [measured(f"{Path(cell.model).stem}.{cell.provider.replace(' ', '_')}.{cell.mics}.p50", "us", LESS,
                     cell.fifths_us) for cell in cells if cell.fifths_us]


def markdown(cells: Sequence[Cell]) -> str:
    """Return the table as a page."""
    heads, rows = table(cells)
    lines = [
        "# Models: time per call", "", "Made by `rtsep bench models FILE… -o FILE.md`; do not edit. share: p99 of the",
        "time between two calls; above 100 % it does not run live. One CPU thread, on a shared machine.", "",
        *markdown_table(heads, rows),
    ]
    return "\n".join(lines) + "\n"
