"""Starting: what a run is told by a show; what the user has said holds against it."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING

from rtsep.errors import InputError
from rtsep.show import folder, keeping
from rtsep.show.folder import PATCH
from rtsep.show.keeping import State
from rtsep.show.opened import OpenShow

if TYPE_CHECKING:
    from rtsep.control.desk import Desk
    from rtsep.hosts.request import RunOptions


def options(said: RunOptions, preset: str | None) -> RunOptions:
    """Return the options of a run, with what the show says where the user says nothing.

    Parameters
    ----------
    said : RunOptions
        With a show.
    preset : str or None
        Name or file; None: the user names none.

    Raises
    ------
    InputError
        If anything in the show is wrong.
    """
    assert said.show is not None
    show = folder.load(said.show)
    state = last(said.show) if said.restore else None
    patch = str(show.folder / PATCH) if show.mics else None
    calibration = str(show.folder / show.calibration) if show.calibration else None
    return dataclasses.replace(
        said,
        preset=preset or show.source((state and state.preset) or show.preset),
        block=said.block or show.block,
        input_device=said.input_device or show.input_device or None,
        output_device=said.output_device or show.output_device or None,
        map_csv=said.map_csv or patch,
        calibration=said.calibration or calibration,
    )


def mapping(place: str) -> str | None:
    """Return the file by which MIDI turns a show; None: it names none."""
    show = folder.load(place)
    return str(show.folder / show.midi) if show.midi else None


def last(place: str) -> State | None:
    """Return the state in which a show was left; None: there is none, or it cannot be read, see `open_show`."""
    try:
        return keeping.load(Path(place))
    except InputError:
        return None


def open_show(options: RunOptions, desk: Desk) -> OpenShow:
    """Open the show of a run, and set what stood there last; nothing sounds yet.

    Raises
    ------
    InputError
        If anything in the show is wrong.
    """
    assert options.show is not None
    opened = OpenShow(folder.load(options.show), desk, options.preset)
    if options.restore:
        try:
            state = keeping.load(Path(options.show))
        except InputError as error:
            opened.said.append(f"the show does not stand as it did last: {error}")
        else:
            if state is not None:
                opened.restore(state, options.settings)
    opened.begin()
    return opened
