"""Work in several processes at once: what each has done stays done, whatever interrupts the rest."""

from __future__ import annotations

import multiprocessing
import os
import signal
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from typing import Any


def each(task: Callable[..., None], arguments: Sequence[tuple[Any, ...]], workers: int = 0) -> Iterator[None]:
    """Call a function of a module once for each tuple of arguments, and yield whenever one is done.

    Parameters
    ----------
    task : callable
    arguments : sequence of tuple
    workers : int
        Processes; 0: one for each core. With 1 all is done in this one.
    """
    workers = min(workers or os.cpu_count() or 1, len(arguments))
    if workers <= 1:
        for given in arguments:
            task(*given)
            yield
        return
    # New processes: one that is forked while threads of torch run hangs.
    context = multiprocessing.get_context("spawn")
    pool = ProcessPoolExecutor(workers, context, initializer=_quietly)
    try:
        for future in as_completed([pool.submit(task, *given) for given in arguments]):
            future.result()
            yield
    finally:
        pool.shutdown(cancel_futures=True)


def _quietly() -> None:
    """Leave Ctrl-C to the process that started this one, and its core to itself."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
        os.environ[name] = "1"
