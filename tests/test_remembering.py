"""What a run has learnt lies in its show: copied, pruned, used by the next run unless another one is given."""

from __future__ import annotations

import dataclasses
import pathlib
import time
import zipfile

import numpy as np
import pytest
from test_recall import LIVE, MICS, Playing

from rtsep import learnt, presets
from rtsep.control.desk import Desk
from rtsep.errors import InputError
from rtsep.hosts.records import make_with
from rtsep.hosts.request import RunOptions, check
from rtsep.learnt import Learnt
from rtsep.show import export, folder, remembering, starting
from rtsep.show.folder import Show
from rtsep.show.pluginstates import Surroundings
from rtsep.show.remembering import COPY_EVERY, Copies, is_copy


@pytest.fixture
def show(tmp_path: pathlib.Path) -> Show:
    (tmp_path / "test.toml").write_text(LIVE)
    return folder.create(tmp_path / "show", "test", str(tmp_path / "test.toml"), MICS)


def write(path: pathlib.Path, value: float) -> None:
    learnt.save(Learnt(48000, MICS, {"canceller": {"x": np.full(4, value, np.float32)}}), path)


def made(show: Show) -> list[str]:
    return sorted(path.name for path in (show.folder / "calibrations").iterdir())


def test_copies_are_made_in_time_of_what_is_new_and_pruned(show: Show, monkeypatch: pytest.MonkeyPatch) -> None:
    kept, clock, now = show.folder.parent / "learnt.npz", [0.0], [1.8e9]
    monkeypatch.setattr(remembering.time, "time", lambda: now[0])
    copies = Copies(show.folder, kept, lambda: clock[0])
    assert copies.make() is None
    for step in range(60):
        clock[0] += COPY_EVERY
        now[0] += COPY_EVERY
        assert copies.due
        write(kept, step // 2)   # every other time nothing new has been learnt
        path = copies.make()
        assert path == remembering.newest(show.folder)
        assert not copies.due
    names = made(show)
    assert all(map(is_copy, names))
    assert 3 + 4 <= len(names) <= 3 + 6    # the newest, and one of each of the five hours
    assert path is not None
    assert path.read_bytes() == kept.read_bytes()


def test_the_next_run_begins_with_it_unless_another_is_given(show: Show) -> None:
    said = RunOptions("live", show=str(show.folder))
    assert (starting.options(said, None).calibration, starting.options(said, None).remembered) == (None, False)
    kept = show.folder.parent / "learnt.npz"
    write(kept, 1.0)
    desk = Desk(Playing(presets.loads(LIVE, "test")))
    opened = starting.open_show(said, desk, Surroundings(lambda: None, 48000), kept)
    desk_said = Desk(Playing(presets.loads(LIVE, "test")), save=opened.save)
    desk_said.save()   # the key s
    until = time.monotonic() + 20.0
    while not any(line.startswith("saved ") for line in opened.said) and time.monotonic() < until:
        time.sleep(0.01)
    [first] = made(show)
    assert f"saved {show.folder / 'calibrations' / first}" in opened.said
    write(kept, 2.0)
    opened.close()     # and the end
    [name] = set(made(show)) - {first}
    place = str(show.folder / "calibrations" / name)
    got = starting.options(said, None)
    assert (got.calibration, got.remembered) == (place, True)
    opened = starting.open_show(got, desk, Surroundings(lambda: None, 48000), kept)
    opened.close()
    assert f"the show begins, if it fits, with what was learnt last: {place}" in opened.said
    for other in (dataclasses.replace(said, calibration="hall.npz"), dataclasses.replace(said, restore=False)):
        got = starting.options(other, None)
        assert (got.calibration, got.remembered) == (other.calibration, False)
        opened = starting.open_show(got, desk, Surroundings(lambda: None, 48000), kept)
        opened.close()
        assert f"what was learnt last is not used: {place}" in opened.said
    export.pack(show, show.folder.parent / "show.zip")
    with zipfile.ZipFile(show.folder.parent / "show.zip") as archive:
        assert not any(is_copy(one) for one in archive.namelist())


def test_what_does_not_fit_any_more_is_left_out_only_if_nobody_named_it() -> None:
    begun: list[str | None] = []
    said: list[str] = []

    def make(calibration: str | None) -> None:
        begun.append(calibration)
        if calibration is not None:
            raise InputError(calibration, "made at 8000 Hz, but the run is at 48000 Hz")

    request = check(RunOptions("live", remembered=True))
    make_with(dataclasses.replace(request, calibration="a"), make, said.append)
    assert begun == ["a", None]
    assert said == ["it begins without what was learnt last: a: made at 8000 Hz, but the run is at 48000 Hz"]
    with pytest.raises(InputError, match="made at 8000 Hz"):
        make_with(dataclasses.replace(request, calibration="a", remembered=False), make, said.append)
