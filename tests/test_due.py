"""The protocol of due samples: every job is done once, taken once and in order, and the late ones are counted."""

from __future__ import annotations

import multiprocessing
import secrets
import threading

import numpy as np
import pytest

from rtsep.shared import Shared
from rtsep_kernels.plane import due
from rtsep_kernels.plane.memory import aligned

SLOTS, WIDTH, JOBS = 32, 16, 20000
LAYOUT = {"exchange": (np.int64, (due.EXCHANGE,)), "given": (np.int64, (SLOTS, WIDTH)),
          "made": (np.int64, (SLOTS, WIDTH))}


def counts(exchange: np.ndarray) -> tuple[int, int, int, int]:
    return tuple(int(exchange[place]) for place in (due.PUBLISHED, due.DONE, due.APPLIED, due.LATE))  # type: ignore


@pytest.mark.parametrize(
    ("done", "applied", "now_due", "taken", "late"),
    [(0, 0, 0, (0, 0), 0), (3, 1, 3, (1, 3), 0), (5, 1, 3, (1, 3), 0), (2, 1, 3, (1, 2), 1), (1, 1, 3, (1, 1), 1),
     (1, 3, 3, (3, 3), 1)],
)
def test_what_is_due_is_taken_and_no_more(
    done: int, applied: int, now_due: int, taken: tuple[int, int], late: int
) -> None:
    exchange = aligned(due.EXCHANGE, np.int64)
    place = exchange.ctypes.data
    due.finish(place, done)
    due.applied(place, applied)
    assert due.take(place, now_due) == taken
    due.applied(place, taken[1])
    assert counts(exchange) == (0, done, taken[1], late)


def test_waiting_ends_with_the_count_or_with_stop() -> None:
    exchange = aligned(due.EXCHANGE, np.int64)
    place = exchange.ctypes.data
    due.publish(place, 3)
    assert due.wait_for(place, due.PUBLISHED, 3)
    assert due.wait_at_most(place, due.PUBLISHED, 3, 0)
    assert not due.wait_at_most(place, due.PUBLISHED, 4, 2)
    assert due.next_job(place, 2)
    for told, wait in (
        (due.STOP, lambda: due.next_job(place, 3)), (due.RESTORE, lambda: due.next_job(place, 3)),
        (due.STOP, lambda: due.wait_for(place, due.DONE, 1)),
    ):
        results: list[bool] = []
        thread = threading.Thread(target=lambda w=wait, r=results: r.append(w()))   # type: ignore[misc]
        thread.start()
        exchange[told] = 1
        thread.join(60)
        assert results == [False]
        exchange[told] = 0


def _double(name: str) -> None:
    """Be the helper, in another process."""
    memory = Shared(LAYOUT, name, create=False)
    place = memory["exchange"].ctypes.data
    done = 0
    while due.next_job(place, done):
        memory["made"][done % SLOTS] = 2 * memory["given"][done % SLOTS]
        done += 1
        due.finish(place, done)


def test_between_processes_no_job_is_lost_repeated_or_torn() -> None:
    memory = Shared(LAYOUT, f"rtsep-test-{secrets.token_hex(4)}")
    helper = multiprocessing.get_context("spawn").Process(target=_double, args=(memory.name,))
    try:
        helper.start()
        place = memory["exchange"].ctypes.data
        published = taken = 0
        sums = np.zeros(WIDTH, np.int64)
        while taken < JOBS:
            while published < JOBS and published - taken < SLOTS:
                memory["given"][published % SLOTS] = published + np.arange(WIDTH)
                published += 1
                due.publish(place, published)
            due.wait_at_most(place, due.DONE, taken + 1, 60000)
            first, end = due.take(place, taken + 1)
            assert (first, end) == (taken, taken + 1)
            made = memory["made"][taken % SLOTS]
            np.testing.assert_array_equal(made, 2 * (taken + np.arange(WIDTH)))
            sums += made
            taken = end
            due.applied(place, taken)
        assert sums[0] == JOBS * (JOBS - 1)
        assert counts(memory["exchange"]) == (JOBS, JOBS, JOBS, 0)
        memory["exchange"][due.STOP] = 1
        helper.join(60)
        assert helper.exitcode == 0
    finally:
        helper.kill()
        memory.close()
