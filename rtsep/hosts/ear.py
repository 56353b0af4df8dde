"""The ear: device outputs on which the engineer hears any mic as it came, as it goes out, or what is removed of it.

It is one sum, the same on both outputs. What is in it is on the board, so every surface reaches it:

`ear.listen.<mic>`
    1 the mic as it came, as late as it goes out, so that one may switch between them in time; 2 as it goes out; 3 the
    first without the second, what is removed of it.
`ear.pfl.<mic>`
    It is heard before its level, mute and solo; with `listen` at 0 as it goes out. So one may look for a fault while
    the stage hears nothing: `output.mute_all` does not silence it. Without PFL, what is muted is not heard here either.
`ear.mix`
    With no mic chosen, the sum of all as they go out, as a console's solo bus falls back to the main mix; or silence.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from rtsep.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rtsep.engine import Engine
    from rtsep.hosts.devices import Mic
    from rtsep.runner import Runner

_FLAG = "--ear"


def outputs(text: str | None) -> tuple[int, ...]:
    """Return the outputs that a user names, from 0; None: none.

    Raises
    ------
    InputError
    """
    if text is None:
        return ()
    parts = [part.strip() for part in text.split(",")]
    if len(parts) > 2 or not all(part.isascii() and part.isdecimal() and int(part) >= 1 for part in parts):
        raise InputError(_FLAG, repr(text), "one or two outputs of the device, from 1: 15 or 15,16")
    if len(set(map(int, parts))) < len(parts):
        raise InputError(_FLAG, f"output {parts[0]} is there twice", "two different ones, or one")
    return tuple(int(part) - 1 for part in parts)


def check(pins: Sequence[int], mics: Sequence[Mic], there: int, device: str) -> None:
    """Refuse outputs that a device has not, or that are a mic's.

    Parameters
    ----------
    pins : sequence of int
        From 0.
    mics : sequence of Mic
    there : int
        How many outputs the device has.
    device : str
        Its name.

    Raises
    ------
    InputError
    """
    for pin in pins:
        if pin >= there:
            raise InputError(_FLAG, f"output {pin + 1}", f"{device} has {there} channels")
        users = [mic.name for mic in mics if mic.output == pin]
        if users:
            raise InputError(_FLAG, f"output {pin + 1} is that of {', '.join(users)}", "see --map: one of no mic")


def connect(pins: Sequence[int], engine: Engine, runner: Runner) -> None:
    """Have a runner listen as well, for some outputs of its host; before it is called the first time.

    Parameters
    ----------
    pins : sequence of int
        As the host counts them: `Card.ear`. None: nothing is computed.
    engine : Engine
        That the runner drives.
    runner : Runner
    """
    if not pins:
        return
    from rtsep.stage import RAMP_SECONDS
    from rtsep_kernels.plane.ear import EAR

    own, board = engine.record, engine.board
    ear = EAR.make(
        channels=engine.fmt.channels, dry=own["dry_now"], clean=own["clean"], faders=own["gain_ramps"],
        limiter_release=own["limiter_release"], ramp_segments=engine.fmt.segments(RAMP_SECONDS),
        wide=len(pins), pins=np.array(pins, np.int32),
    )
    for name in ("listen", "pfl", "level_db", "dim_db", "dim", "mix"):
        ear.put(name, board.address(f"ear.{name}"))
    ear.start()
    runner.record.put("ear", ear)


def limited(runner: Runner) -> int:
    """Return how often the ear has been limited; its limiter is its own."""
    ear = runner.record.parts.get("ear")
    return 0 if ear is None else int(ear["limited"])
