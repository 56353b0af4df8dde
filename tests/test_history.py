"""What was turned is taken back: step by step, whoever has turned it, also what is still on its way."""

from __future__ import annotations

import threading

import pytest
from osc_client import MICS, Silent

from rtsep import presets
from rtsep.control.desk import Desk
from rtsep.control.history import MOST_STEPS, PAUSE, History
from rtsep.params import Param
from rtsep.show.fades import Fades

MONITOR = presets.load("monitor")
GAIN = "output.gain_db"


class Turned:
    """A desk whose clock a test turns on."""

    def __init__(self) -> None:
        self.now = 0.0
        self.desk = Desk(Silent(MONITOR))
        self.desk.history = History(lambda: self.desk._playing.board, lambda: self.desk.preset, lambda: self.now)

    def gains(self) -> list[float]:
        return [self.desk.get(f"{GAIN}.{mic}") for mic in MICS]

    def turn(self, path: str, *values: float, pause: float = 0.1) -> None:
        for value in values:
            self.now += pause
            self.desk.set(path, value)


@pytest.fixture
def turned() -> Turned:
    return Turned()


def test_a_knob_that_is_turned_on_and_on_is_one_step_and_a_pause_makes_two(turned: Turned) -> None:
    turned.turn(f"{GAIN}.vox", *range(-20, 0))
    turned.turn(f"{GAIN}.vox", 3, pause=PAUSE + 0.1)
    assert turned.desk.undo() == f"undone: {GAIN}.vox"
    assert turned.gains() == [-1, 0, 0]
    turned.desk.undo()
    assert turned.gains() == [0, 0, 0]
    assert turned.desk.undo() == "nothing that could be undone"
    assert turned.desk.redo() == f"done again: {GAIN}.vox"
    assert turned.gains() == [-1, 0, 0]
    turned.turn(f"{GAIN}.a.b", -5)
    assert turned.desk.redo() == "nothing that could be done again"
    assert turned.gains() == [-1, 0, -5]


def test_two_hands_are_two_steps_and_a_recall_between_divides_a_turn(turned: Turned) -> None:
    for value in range(-9, 0):
        turned.turn(f"{GAIN}.vox", value)
        turned.turn(f"{GAIN}.kick 1", 2 * value)
    turned.desk.undo()
    assert turned.gains() == [-1, 0, 0]
    with turned.desk.together("snapshot 1 opener"):
        for mic in MICS:
            turned.desk.set(f"{GAIN}.{mic}", -12)
    turned.turn(f"{GAIN}.vox", -11)
    turned.desk.undo()
    assert turned.gains() == [-12, -12, -12]
    assert turned.desk.undo() == "undone: snapshot 1 opener"
    assert turned.gains() == [-1, 0, 0]


def test_what_a_recall_still_moves_stops_and_goes_back_and_goes_there_again(turned: Turned) -> None:
    fades = Fades(turned.desk)
    turned.desk.history.halts.append(fades.halt)
    for half in (0.0, 5.0):   # at once, and on its way
        with turned.desk.together("snapshot 2 ballad"):
            fades.start(f"{GAIN}.vox", -20.0, 10.0, 0.0)
            fades.start(f"{GAIN}.kick 1", -6.0, 0.0, 0.0)
        fades.advance(half)
        assert turned.gains() == [-2 * half, -6, 0]
        assert turned.desk.undo() == "undone: snapshot 2 ballad"
        fades.advance(9.0)
        assert turned.gains() == [0, 0, 0]
    turned.desk.redo()
    assert turned.gains() == [-20, -6, 0]


def test_panics_and_what_stands_apart_are_no_steps(turned: Turned) -> None:
    turned.turn(f"{GAIN}.vox", -3)
    for path in ("output.mute_all", "output.dry_all", "ear.dim", "output.solo.vox"):
        turned.desk.set(path, 1.0)
    turned.desk.freeze(True)
    turned.desk.undo()
    assert turned.gains() == [0, 0, 0]
    assert turned.desk.get("output.mute_all") == turned.desk.get("output.dry_all") == 1
    assert turned.desk.frozen


def test_there_are_so_many_steps_and_no_more(turned: Turned) -> None:
    for value in range(MOST_STEPS + 50):
        turned.turn(f"{GAIN}.vox", -value / 10, pause=2 * PAUSE)
    assert [turned.desk.undo() for _ in range(MOST_STEPS + 1)].count("nothing that could be undone") == 1
    assert turned.gains()[0] == pytest.approx(-4.9)


def test_steps_of_threads_are_their_own(turned: Turned) -> None:
    with turned.desk.together("recall"):
        turned.desk.set(f"{GAIN}.vox", -1)
        other = threading.Thread(target=lambda: turned.desk.set(f"{GAIN}.kick 1", -2))
        other.start()
        other.join()
    assert turned.desk.undo() == "undone: recall"
    assert turned.gains() == [0, -2, 0]


def test_what_another_preset_has_not_is_left_out(turned: Turned) -> None:
    turned.turn("spectral.strength", 2.0)
    turned.turn(f"{GAIN}.vox", -2.0)
    labels = turned.desk._playing.board.labels()
    turned.desk._playing.board.labels = lambda: [one for one in labels if not one.startswith(GAIN)]  # type: ignore[method-assign]
    assert turned.desk.undo() == "undone: spectral.strength"


def test_what_another_preset_lets_go_less_far_goes_as_far_as_it_may(turned: Turned) -> None:
    turned.turn("spectral.strength", 3.0, 0.25, pause=2 * PAUSE)
    narrow = Param("strength", "", 0.0, 2.0, 1.0, False, "Turned.")
    turned.desk._playing.board.extend([("spectral", [narrow])])
    turned.desk.undo()
    assert turned.desk.get("spectral.strength") == 2
