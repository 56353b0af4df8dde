"""The latch: every stage sees one set of targets for a segment, and the list says at which sample it came to be."""

from __future__ import annotations

import numpy as np
import pytest

from rtsep import presets
from rtsep.hosts import tape
from rtsep.session import Session
from rtsep_kernels.plane import ring

RATE = 48000
TEXT = 'schema = 1\nname = "plain"\nlatency_class = "live"\n[[chain]]\nstage = "input"\n'


class Listed:
    """A session with a list of changes."""

    def __init__(self, rows: int = 64) -> None:
        self.session = Session.open(presets.loads(TEXT, "plain"), RATE, ("a", "b"))
        self.board, self.runner = self.session.board, self.session.start()
        self.header, self.rows = np.zeros(ring.RING_HEADER, np.int64), np.zeros((rows, len(tape.CHANGE)), np.int64)
        self.latch = self.session.engine.latch
        state = self.latch.state
        state["list_rows"], state["life"], state["since"] = rows, 3, -1
        state.put("list", self.rows)
        state.put("list_header", self.header)

    def play(self, frames: int) -> np.ndarray:
        out = np.empty((2, frames), np.float32)
        self.runner.process(np.ones((2, frames), np.float32) / 8, out)
        return out

    def place(self, path: str) -> int:
        return self.board.labels().index(path)

    def noted(self) -> list[tuple[int, ...]]:
        rows = self.rows[: self.header[tape.WRITTEN]]
        return [(*map(int, row[:3]), float(np.int32(row[3]).view(np.float32))) for row in rows]


def test_a_change_is_taken_at_the_next_segment_and_noted_there() -> None:
    listed = Listed()
    gain, mute = listed.place("output.gain_db.b"), listed.place("output.mute.a")
    listed.play(100)
    assert listed.noted() == []
    listed.board.set("output.gain_db.b", -6)
    listed.board.set("output.mute.a", 1)
    assert (listed.play(28)[1] == 0.125).all()   # to the end of the segment nothing changes
    assert listed.noted() == []
    assert listed.board.seen("output.gain_db.b") == 0
    assert (listed.play(1)[1] < 0.125).all()
    assert listed.noted() == [(3, 128, gain, -6), (3, 128, mute, 1)]
    assert listed.board.seen("output.gain_db.b") == -6
    listed.play(1000)
    assert len(listed.noted()) == 2
    assert listed.latch.state["since"] == 128


def test_a_full_list_is_counted_and_the_targets_go_on() -> None:
    listed = Listed(rows=4)
    for n in range(6):
        listed.board.set("output.gain_db.b", -n - 1)
        listed.play(64)
    assert [row[3] for row in listed.noted()[:4]] == [-1, -2, -3, -4]
    assert (listed.header[tape.WRITTEN], listed.header[tape.LOST]) == (4, 2)
    assert listed.board.seen("output.gain_db.b") == -6
    listed.header[tape.READ] = 3
    listed.board.set("output.gain_db.b", 0)
    listed.play(64)
    assert listed.header[tape.WRITTEN] == 5
    assert np.int32(listed.rows[0, 3]).view(np.float32) == 0


@pytest.mark.parametrize("count", [1, 1023, 1024, 1025, 3000])
def test_a_board_of_any_size_is_looked_at_to_its_end(count: int) -> None:
    listed = Listed()
    listed.board.extend([(f"fx{n}", presets.layout(listed.session.preset)[-1][1][-1:]) for n in range(count)])
    listed.play(64)
    listed.header[:] = 0
    last = int(listed.board.used[0]) - 1
    listed.board.values[last] = 0.5
    listed.board.values[last + 1] = 0.5   # nothing is laid out there
    listed.play(64)
    assert listed.noted() == [(3, 64, last, 0.5)]


def test_a_chain_is_noted_where_it_is_taken() -> None:
    listed = Listed()
    listed.play(100)
    other = TEXT + '[[chain]]\nstage = "spectral"\n'
    assert listed.session.engine.reload(presets.loads(other.replace('"live"', '"foh"'), "plain")) == "chain"
    listed.play(100)
    chains = [row for row in listed.rows.tolist() if row[2] == tape.CHAIN_TAKEN]
    assert chains == [[3, 128, tape.CHAIN_TAKEN, 1]]
    assert listed.session.engine.swaps == 1
