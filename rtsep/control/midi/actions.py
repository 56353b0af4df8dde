"""Actions: what a control of a mapping is for: to turn paths, or to do something at the desk when it is pressed."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from rtsep.control.desk import Desk, Snapshots, store
from rtsep.errors import InputError

if TYPE_CHECKING:
    from rtsep.control.midi.mapping import Control

KEYS = ("to", "recall", "store", "do")
CURRENT, NEW = "current", "new"
DOES: dict[str, Callable[[Desk], str]] = {"undo": Desk.undo, "redo": Desk.redo}
MEANT = {
    "recall": 'allowed is a number, a name, "next" or "previous"',
    "store": 'allowed is a number, a name, "current" or "new"',
    "do": "allowed is one of " + ", ".join(DOES),
}


def read(table: Mapping[str, Any], error: Callable[[str, str, str], InputError]) -> dict[str, Any]:
    """Return the fields of a `Control` that say what it is for.

    Parameters
    ----------
    table : mapping
        As its file has it.
    error : callable
        Given the key that is wrong, or nothing, the problem, and what is allowed.

    Raises
    ------
    InputError
    """
    said = [key for key in KEYS if key in table]
    if len(said) != 1:
        raise error("", "is to turn or to do one thing",
                    'say to = "output.gain_db.vox", recall = "next", store = "current", or do = "undo"')
    key = said[0]
    if key == "to":
        to = table["to"] if isinstance(table["to"], list) else [table["to"]]
        if not to or not all(isinstance(path, str) and path.count(".") for path in to):
            raise error("to", f"{table['to']!r} is not a path", "allowed is stage.parameter, or stage.parameter.mic")
        return {"to": tuple(to)}
    what = table[key]
    number = type(what) is int and key != "do"
    if not number and not (isinstance(what, str) and what.strip() and (key != "do" or what in DOES)):
        raise error(key, f"{what!r} is {'nothing to do' if key == 'do' else 'no snapshot'}", MEANT[key])
    if table.get("mode", "momentary") != "momentary":
        raise error("mode", f"{table['mode']!r} is nothing for {key}", "leave it out")
    return {key: what, "mode": "momentary", "feedback": False}


def act(desk: Desk, control: Control) -> str:
    """Do what a control is for that has been pressed; returns what to say of it, or nothing.

    Raises
    ------
    InputError
        If it cannot be done.
    """
    if control.do:
        return DOES[control.do](desk)
    if control.store:
        which = {CURRENT: None, NEW: ""}.get(str(control.store), str(control.store))
        store(shown(desk, f"snapshot {control.store} is to be stored"), which)
    else:
        recall(desk, control.recall)
    return ""


def recall(desk: Desk, which: int | str) -> None:
    """Recall a snapshot by number or name, or the one beside.

    Raises
    ------
    InputError
        If there is none.
    """
    snapshots = shown(desk, f"snapshot {which} is asked for")
    if which in ("next", "previous"):
        snapshots.step(1 if which == "next" else -1)
    else:
        snapshots.go(which)


def shown(desk: Desk, why: str) -> Snapshots:
    """Return the snapshots of the show.

    Raises
    ------
    InputError
        If none is open.
    """
    if desk.snapshots is None:
        raise InputError("MIDI", f"{why}, and no show is open", "open one to recall it")
    return desk.snapshots
