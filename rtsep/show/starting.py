"""Starting: what a run is told by a show; what the user has said holds against it."""

from __future__ import annotations

import base64
import contextlib
import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING

from rtsep import presets
from rtsep.catalogue.strips import kept
from rtsep.errors import InputError
from rtsep.hosts.hostapis import PORTAUDIO
from rtsep.plugins import probing
from rtsep.show import folder, keeping, remembering, statefiles
from rtsep.show.folder import PATCH
from rtsep.show.keeping import State
from rtsep.show.opened import OpenShow
from rtsep.show.remembering import Copies

if TYPE_CHECKING:
    from rtsep.control.desk import Desk
    from rtsep.hosts.request import RunOptions
    from rtsep.presets import Preset
    from rtsep.show.pluginstates import Surroundings

_USUAL_RATE = 48000   # Hz, where the user leaves it to the device: at another one plug-ins are looked at twice


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
    # A recording that is played names its own microphones, and a JACK server its period.
    patch = str(show.folder / PATCH) if show.mics and said.play is None else None
    block = show.block if said.host_api == PORTAUDIO else None
    calibration = said.calibration or (str(show.folder / show.calibration) if show.calibration else None)
    learnt = remembering.newest(show.folder) if said.restore and calibration is None else None
    source = preset or show.source((state and state.preset) or show.preset)
    return dataclasses.replace(
        said,
        preset=source,
        block=said.block or block,
        input_device=said.input_device or show.input_device or None,
        output_device=said.output_device or show.output_device or None,
        map_csv=said.map_csv or patch,
        calibration=calibration if learnt is None else str(learnt),
        remembered=learnt is not None,
        states={} if state is None else _states(show, state, presets.load(source), said.rate or _USUAL_RATE),
    )


def _states(show: folder.Show, state: State, preset: Preset, rate: int) -> dict[str, str]:
    """Return the plug-ins' states that stood last, as far as they are still there and nothing crashes on them."""
    found, known = {}, kept(preset, tuple(mic.name for mic in show.mics))
    for path, name in state.states.items():
        with contextlib.suppress(InputError):   # `open_show` says that it is left out
            text = statefiles.read(show.folder, name)
            if path in known:
                one = known[path]
                probing.probe(one.slot.plugin, one.slot.path, rate, one.unit, base64.b64decode(text),
                              width=one.slot.width)
            found[path] = text
    return found


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


def open_show(options: RunOptions, desk: Desk, around: Surroundings, learnt: Path) -> OpenShow:
    """Open the show of a run, and set what stood there last; nothing sounds yet.

    Parameters
    ----------
    options : RunOptions
    desk : Desk
    around : Surroundings
    learnt : Path
        Where the run keeps what it learns.

    Raises
    ------
    InputError
        If anything in the show is wrong.
    """
    assert options.show is not None
    show = folder.load(options.show)
    opened = OpenShow(show, desk, options.preset, around=around, copies=Copies(show.folder, learnt))
    last_learnt = remembering.newest(show.folder)
    if options.remembered:
        opened.said.append(f"the show begins, if it fits, with what was learnt last: {options.calibration}")
    elif last_learnt is not None:
        opened.said.append(f"what was learnt last is not used: {last_learnt}")
    if options.restore:
        try:
            state = keeping.load(Path(options.show))
        except InputError as error:
            opened.said.append(f"the show does not stand as it did last: {error}")
        else:
            if state is not None:
                opened.restore(state, options.settings)
                lost = set(state.states) - set(desk.states)
                opened.said.extend(f"{path}: its state is left out: it is gone, or refused" for path in sorted(lost))
    opened.begin()
    return opened
