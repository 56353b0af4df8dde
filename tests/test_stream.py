"""Streams: any blocks give the same samples; parameters, presets and what was learnt while sound goes on; the end."""

from __future__ import annotations

import pathlib
import threading
from collections.abc import Iterator

import numpy as np
import pytest
from test_api import NAMES, RATE, concert
from test_remote import PRESET as REMOTE
from test_remote import late
from workers import GAIN

import rtsep


@pytest.fixture
def stream() -> Iterator[rtsep.Stream]:
    with rtsep.Stream("foh", RATE, NAMES) as opened:
        yield opened


def test_blocks_of_any_length_give_the_same_samples(stream: rtsep.Stream) -> None:
    x = concert()
    before = x.copy()
    whole = stream.process(x)
    np.testing.assert_array_equal(x, before)
    np.testing.assert_array_equal(whole[:, stream.latency:], rtsep.clean(x, RATE, "foh")[:, : -stream.latency])
    rng = np.random.default_rng(3)
    for lengths in ([64] * 500, [997] * 40, list(rng.integers(0, 3000, 100))):
        stream.reset()
        cuts = [cut for cut in np.cumsum(lengths) if cut < x.shape[1]]
        heard = np.concatenate([stream.process(piece) for piece in np.split(x, cuts, axis=1)], axis=1)
        np.testing.assert_array_equal(heard, whole)


def test_a_block_of_the_wrong_shape_is_refused_and_changes_nothing(stream: rtsep.Stream) -> None:
    x = concert(3000)
    for wrong, message in (
        (x.T, r"has 3000 channels; it looks like .* give x\.T"), (x[:2], r"allowed is \[3, frames\]"),
        (x[0], "one axis"), ((x * 32767).astype(np.int16), "integers"),
    ):
        with pytest.raises(rtsep.InputError, match=message):
            stream.process(wrong)
    np.testing.assert_array_equal(stream.process(x), rtsep.Stream("foh", RATE, NAMES).process(x))
    assert stream.process(x[:, :0]).shape == (3, 0)


def test_samples_that_are_not_finite_become_silence_and_are_counted(stream: rtsep.Stream) -> None:
    x = concert(6000)
    x[1, 1000:1003] = np.nan, np.inf, -np.inf
    quiet = x.copy()
    quiet[1, 1000:1003] = 0
    heard = stream.process(x)
    assert np.isfinite(heard).all()
    assert stream.bad_inputs == {"mic2": 3}
    assert stream.status()["faults"] == 0
    assert len(stream.microseconds()) == 1
    stream.reset()
    assert stream.bad_inputs == {}
    huge = np.full((3, 64), 1e300)
    stream.process(huge)
    assert stream.bad_inputs == dict.fromkeys(NAMES, 64)


def test_parameters_are_turned_while_sound_goes_on(stream: rtsep.Stream) -> None:
    x = concert()
    first = stream.process(x[:, :12800])
    stream.set("output.dry_all", 1)
    stream.set("output.gain_db.mic1", np.float32(-20))
    assert [stream.get(f"output.gain_db.{name}") for name in ("mic1", "mic2")] == [-20, 0]
    second = stream.process(x[:, 12800:])
    delayed = late(x, stream.latency)
    settled = 12800 + RATE // 20
    np.testing.assert_allclose(second[0, settled - 12800:], 0.1 * delayed[0, settled:], rtol=1e-5)
    np.testing.assert_array_equal(second[1, settled - 12800:], delayed[1, settled:])
    assert np.abs(first - delayed[:, :12800]).max() > 1e-3
    wrong = (("output.gain_db", 99), ("output.colour", 1), ("output.gain_db.tuba", 1), ("output.mute", "on"))
    for path, value in wrong:
        with pytest.raises(rtsep.InputError):
            stream.set(path, value)


def test_what_was_learnt_is_handed_over(tmp_path: pathlib.Path) -> None:
    x = concert(96000)
    with rtsep.Stream("live", RATE, NAMES) as first:
        first.process(x)
        found = first.learnt()
    assert np.abs(found.stages["canceller"]["paths"]).max() > 0.05
    rtsep.learnt.save(found, tmp_path / "kept.npz")
    heard = []
    for known in (found, tmp_path / "kept.npz", None):
        with rtsep.Stream("live", RATE, NAMES, known) as second:
            heard.append(second.process(x[:, :9600]))
    np.testing.assert_array_equal(heard[0], heard[1])
    assert np.abs(heard[0] - heard[2]).max() > 1e-2
    with pytest.raises(rtsep.InputError, match="44100"):
        rtsep.Stream("live", 44100, NAMES, found)


def test_presets_change_while_sound_goes_on() -> None:
    x = concert(48000)
    with rtsep.Stream("live", RATE, NAMES) as stream:
        stream.process(x[:, :12800])
        assert stream.reload("live") == "nothing"
        assert stream.reload("live", {"output.gain_db": -6}) == "params"
        assert stream.reload("foh", {"output.gain_db": -6}) == "chain"   # which is meant for blocks of another length
        assert stream.preset.name == "foh"
        assert stream.latency > 0
        with pytest.raises(rtsep.InputError, match="cross-fades"):
            stream.reload("live")
        heard = stream.process(x[:, 12800:30000])
        assert np.isfinite(heard).all()
        assert stream.reload("live", {"output.dry_all": 1, "output.gain_db": 0}) == "chain"
        last = stream.process(x[:, 30000:])
        assert stream.latency == 0
        np.testing.assert_array_equal(last[:, -7000:], x[:, -7000:])
        with pytest.raises(rtsep.InputError, match="no such preset"):
            stream.reload("loud")


def test_a_stream_ends_its_threads_and_processes_with_the_block() -> None:
    x = concert(4800, 2)

    def helpers() -> list[str]:
        return [thread.name for thread in threading.enumerate() if thread.name.endswith("watch")]

    before = helpers()
    with rtsep.Stream(rtsep.presets.loads(REMOTE, "far.toml"), RATE, 2) as stream:
        assert len(helpers()) == len(before) + 1
        np.testing.assert_allclose(stream.process(x), late(x * GAIN, stream.latency), atol=1e-6)
    assert helpers() == before
    with pytest.raises(rtsep.InputError, match="stream: it is closed; open another one"):
        stream.process(x)
    stream.close()
