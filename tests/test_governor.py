"""The governor, on made-up machines: what it gives up, when it takes it back, and that it does not go to and fro."""

from __future__ import annotations

import itertools
from collections.abc import Callable

import numpy as np
import pytest

from rtsep.hosts import governor
from rtsep.hosts.governor import Governor

LOOK = 0.05   # seconds between two looks
CALLS = 37    # of 64 frames at 48 kHz in it
RUNGS, BACKGROUND = 10, 1
Machine = Callable[[float, frozenset[int]], float]


def run(machine: Machine, seconds: float, made: Governor | None = None, begin: float = 0.0) -> list[tuple[float, int]]:
    """Let a governor watch a machine, which tells what share of its deadline a call takes; every change of level."""
    made = made or Governor()
    rng = np.random.default_rng(0)
    changes = []
    for n in range(round(seconds / LOOK)):
        now = begin + n * LOOK
        load = machine(now, made.given)
        shares = load * (1 + 0.03 * rng.standard_normal(CALLS))
        before = made.level
        made.update(now, shares, int(load > 1), RUNGS, BACKGROUND)
        if made.level != before:
            changes.append((now, made.level))
    return changes


def even(load: float, saves: float) -> Machine:
    """Each rung but the first, which is background, saves the same."""
    return lambda _, given: load - saves * len(given - {0})


def test_a_machine_that_is_fast_enough_gives_nothing_up() -> None:
    assert run(even(0.75, 0.1), 60) == []


def test_it_goes_down_step_by_step_until_it_is_enough_and_no_farther() -> None:
    made = Governor()
    changes = run(even(0.98, 0.1), 4, made)
    assert [level for _, level in changes] == [1, 2, 3]
    assert changes[-1][0] - changes[0][0] < 1
    assert made.given == {1, 2}   # the background rung has not helped, and is taken back
    assert made.kept == {0}


def test_background_work_that_helps_is_all_that_is_given_up() -> None:
    made = Governor()
    assert run(lambda _, given: 0.95 - 0.2 * (0 in given), 4, made) == [(pytest.approx(1, abs=0.3), 1)]
    assert made.given == {0}


def test_much_too_much_goes_down_faster() -> None:
    slow, fast = run(even(1.0, 0.05), 3), run(even(2.4, 0.2), 3)
    assert fast[-1][1] >= 6
    assert max(b - a for (_, a), (_, b) in itertools.pairwise(fast)) > 1
    assert max(b - a for (_, a), (_, b) in itertools.pairwise(slow)) == 1


def test_it_ends_at_the_last_rung() -> None:
    assert run(even(5, 0.1), 10)[-1][1] == RUNGS


def test_it_comes_back_one_rung_at_a_time_when_the_load_is_gone() -> None:
    made = Governor()
    down = run(lambda now, given: (1.1 if now < 5 else 0.5) - 0.05 * len(given), 80, made)
    lowest = max(level for _, level in down)
    back = [(now, level) for now, level in down if now > 5]
    assert [level for _, level in back] == list(range(lowest - 1, -1, -1))
    assert back[0][0] >= governor.FIRST_WAIT
    assert min(b - a for (a, _), (b, _) in itertools.pairwise(back)) >= governor.FIRST_WAIT - LOOK
    assert made.given == set()


def test_a_rung_that_failed_is_tried_again_later_and_later() -> None:
    """A machine that hides what a rung costs: only a busy one is slow. It must not go to and fro."""
    def machine(_: float, given: frozenset[int]) -> float:
        return 0.3 if len(given - {0}) >= 3 else 0.95
    changes = run(machine, 400)
    back = [now for (now, level), (_, before) in zip(changes[1:], changes, strict=False) if level < before]
    gaps = np.diff(back)
    assert len(back) >= 3
    assert (gaps[1:] > 1.5 * gaps[:-1]).all()


def test_what_would_not_fit_is_not_taken_back() -> None:
    """After the load is half gone, as much comes back as has room, and that stays."""
    changes = run(lambda now, given: (1.2 if now < 5 else 0.95) - 0.1 * len(given - {0}), 300)
    last = [level for now, level in changes if now > 150]
    assert len(last) <= 6


def test_a_machine_that_stood_still_once_is_no_overload() -> None:
    made = Governor()
    for n in range(200):
        made.update(n * LOOK, np.full(CALLS, 3.0 if n % 40 == 0 else 0.7), int(n % 40 == 0), RUNGS, BACKGROUND)
    assert made.level == 0


def test_who_works_little_and_is_held_up_by_others_gives_nothing_up() -> None:
    made, shares = Governor(), np.full(CALLS, 0.2)
    shares[::7] = 3.0
    for n in range(200):
        made.update(n * LOOK, shares, 2, RUNGS, BACKGROUND)
    assert made.level == 0


def test_two_slow_calls_are_no_overload() -> None:
    made = Governor()
    for n in range(200):
        shares = np.full(CALLS, 0.5)
        if n % 20 == 0:
            shares[:2] = 8
        made.update(n * LOOK, shares, 0, RUNGS, BACKGROUND)
    assert made.level == 0


def test_blocks_that_are_lost_elsewhere_are_not_mended_here() -> None:
    made = Governor()
    for n in range(200):
        made.update(n * LOOK, np.full(CALLS, 0.4), 3, RUNGS, BACKGROUND)
    assert made.level == 0
    for n in range(200, 220):
        made.update(n * LOOK, np.full(CALLS, 0.7), 3, RUNGS, BACKGROUND)
    assert made.level > 0


def test_a_shorter_ladder_is_kept_to() -> None:
    made = Governor()
    run(even(5, 0.1), 5, made)
    made.update(6.0, np.full(CALLS, 0.5), 0, 2, 1)
    assert made.level == 2
    assert made.given <= {0, 1}
