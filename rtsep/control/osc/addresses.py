"""Addresses: everything that OSC may say to a run, made from the parameters of its preset and its microphones' names.

Generic ones, `/p/<stage>/<parameter>[/<mic>]`, are the paths of the board with slashes, in engineering units. Others
are as an X32 has them, where the meaning is equal: 0 to 1 for faders and for switches that are on.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from rtsep import presets
from rtsep.control.osc.entry import FADER, NOT, PLAIN, STATE, Address, Law
from rtsep.control.osc.meters import METERS

if TYPE_CHECKING:
    from rtsep.params import Param
    from rtsep.presets import Preset

_FORBIDDEN = re.compile(r"[^!-~]|[#*,/?\[\]{}]")   # in addresses, as OSC 1.0 has it

FIXED = (
    Address("/info", "ssss", "r", "Version of the protocol, program, preset, version of the program."),
    Address("/xinfo", "ssss", "r", "Address, name of the machine, program, version of the program."),
    Address("/status", "sss", "r", "`running` or `waiting`, address, name of the machine."),
    Address("/xremote", "", "w", "Tell this client of all that changes, for 10 s; ask again before they are over."),
    Address("/unsubscribe", "", "w", "Tell this client no more."),
    Address("/pin", "s", "w", "Who is not on the machine itself says this first."),
    Address("/error", "ss", "r", "To a client that is told of changes: an address, and why its value was refused."),
    Address("/scene/go", "i|s", "w", "Recall a snapshot of the show by its number or name."),
    Address("/scene/next", "", "w", "Recall the next snapshot of the show."),
    Address("/scene/prev", "", "w", "Recall the snapshot before."),
    Address("/scene/store", "i|s", "w", "Store what stands there: to the current snapshot; or to one by its number or "
            "name, which is made if no other has it; an empty name: to a new one."),
    Address("/scene/safe", "si", "rw", "Let no recall turn a path, or what a pattern means: that, and 1; or 0 to let "
            "it again. Read: all of them."),
    Address("/scene/current", "si", "r", "Name and number of the snapshot recalled last; an empty name and -1: none."),
    Address("/undo", "", "w", "Take back the last step of what was turned, on whatever surface, or recalled."),
    Address("/redo", "", "w", "Do again what was taken back last."),
    Address("/stat/load", "f", "r", "Share of its time that the sound takes.", 0, 1),
    Address("/stat/xruns", "i", "r", "Blocks that the sound card has lost."),
    Address("/stat/latency_ms", "f", "r", "Latency of the chain and of the device, where that is known.", unit="ms"),
    Address("/stat/state", "s", "r", "`running`, or `waiting` for a device."),
    Address("/stat/received", "i", "r", "Messages that have come."),
    Address("/stat/dropped", "i", "r", "Those that were passed over: malformed, refused, or too many for us or the "
            "kernel."),
)


def listing(preset: Preset, mics: Sequence[str]) -> dict[str, Address]:
    """Return every address there is, by its name, in the order of the list.

    Parameters
    ----------
    preset : Preset
    mics : sequence of str
        Names of the microphones.
    """
    params = presets.layout(preset)
    found: dict[str, Address] = {}
    fixed = (*FIXED, *_learning(presets.learning(preset)), *METERS, *_panic())
    for entry in (*fixed, *_channels(params, mics), *_generic(params, mics)):
        found.setdefault(entry.address, entry)
    return found


def segments(mics: Sequence[str]) -> list[str]:
    """Return how microphones are called in addresses: by name, without what OSC forbids; else by number."""
    said = [_FORBIDDEN.sub("_", mic) for mic in mics]
    return [
        text if said.count(text) == 1 and text.strip("_") and not text.isdecimal() else str(number)
        for number, text in enumerate(said, 1)
    ]


def _generic(params: Sequence[tuple[str, Sequence[Param]]], mics: Sequence[str]) -> Iterator[Address]:
    for stage, group in params:
        for param in group:
            path = f"{stage}.{param.name}"
            whole = "/p/" + "/".join(_FORBIDDEN.sub("_", part) for part in _parts(path, mics))
            more = " Of all microphones; read, it is one value for each." if param.per_mic else ""
            yield _turns(whole, "f", param, path, param.help + more)
            if param.per_mic:
                for mic, said in zip(mics, segments(mics), strict=True):
                    yield _turns(f"{whole}/{said}", "f", param, f"{path}.{mic}")


def _parts(path: str, mics: Sequence[str]) -> list[str]:
    """Take a path apart at its dots, but not a microphone's name that has some."""
    head, *rest = path.split(".", 1)
    tail = rest[0] if rest else ""
    for mic in sorted(mics, key=len, reverse=True):
        if tail.startswith(mic + "."):
            return [head, segments(mics)[list(mics).index(mic)], *tail[len(mic) + 1 :].split(".")]
    return [head, *tail.split(".")]


def _learning(paths: Sequence[str]) -> Iterator[Address]:
    if paths:
        one = paths[0] if len(paths) == 1 else ""   # of several stages it is a command to all
        yield Address("/bleed/learn", "i", "rw", "Learn while running; 0 freezes what is known.", 0, 1, path=one)


def _panic() -> Iterator[Address]:
    yield Address("/panic/dry", "i", "rw", "All microphones as they came.", 0, 1, path="output.dry_all")
    yield Address("/panic/mute", "i", "rw", "All microphones silent.", 0, 1, path="output.mute_all")


def _channels(params: Sequence[tuple[str, Sequence[Param]]], mics: Sequence[str]) -> Iterator[Address]:
    """Return what an X32 would have for each channel, numbered from 01."""
    by_path = {f"{stage}.{param.name}": param for stage, group in params for param in group}

    def first(name: str) -> str:
        return next((p for p, q in by_path.items() if q.name == name and q.per_mic), "")

    amount, most = first("amount"), first("range_db")
    for number, mic in enumerate(mics, 1):
        ch = f"/ch/{number:02d}"
        yield Address(f"{ch}/config/name", "s", "r", "Name of the microphone.")
        mute, dry = f"output.mute.{mic}", f"output.dry.{mic}"
        yield Address(f"{ch}/mix/on", "i", "rw", "0 mutes.", 0, 1, path=mute, law=NOT)
        gain = by_path["output.gain_db"]
        yield _turns(f"{ch}/mix/fader", "f", gain, f"output.gain_db.{mic}", "Level; 0.75 is 0 dB, 1 is +10 dB.", FADER)
        yield Address(f"{ch}/bleed/on", "i", "rw", "0: the microphone as it came.", 0, 1, path=dry, law=NOT)
        if amount:
            yield _turns(f"{ch}/bleed/amount", "f", by_path[amount], f"{amount}.{mic}")
        if most:
            yield _turns(f"{ch}/bleed/amount_db", "f", by_path[most], f"{most}.{mic}")
        yield from _inserts(ch, mic, mics, by_path)


def _inserts(ch: str, mic: str, mics: Sequence[str], by_path: dict[str, Param]) -> Iterator[Address]:
    """Return what is to be turned of a microphone's plug-ins: parameters of parts that have a state."""
    # Each stage's plug-ins of this microphone alone, and those of all, which it has if it has none of its own.
    own: dict[str, dict[str, dict[str, tuple[str, Param]]]] = {}
    shared: dict[str, dict[str, dict[str, tuple[str, Param]]]] = {}
    for path, param in by_path.items():
        stage, name = path.split(".", 1)
        named = max((m for m in mics if name.startswith(m + ".")), key=len, default="")
        if param.per_mic:
            slot, dot, knob = name.partition(".")
            kept, path = shared, f"{path}.{mic}"
        elif named == mic:
            slot, dot, knob = name[len(mic) + 1 :].partition(".")
            kept = own
        else:
            continue
        if dot:
            kept.setdefault(stage, {}).setdefault(slot, {})[knob] = (path, param)
    stages = {**shared, **own}
    slots = [(slot, knobs) for parts in stages.values() for slot, knobs in parts.items() if "state" in knobs]
    for number, (slot, knobs) in enumerate(slots, 1):
        at = f"{ch}/ins/{number}"
        yield Address(f"{at}/on", "i", "rw", f"{slot}: 0 bypasses it.", 0, 1, path=knobs["state"][0], law=STATE)
        for knob, (path, param) in knobs.items():
            if knob != "state":
                said = "/".join(_FORBIDDEN.sub("_", part) for part in knob.split("."))
                yield _turns(f"{at}/par/{said}", "f", param, path)


def _turns(address: str, types: str, param: Param, path: str, help_: str = "", law: Law = PLAIN) -> Address:
    low = param.low if law.low is None else law.low
    high = param.high if law.high is None else law.high
    unit = "" if law is FADER else param.unit
    limits = (param.low, param.high) if law is FADER else None
    return Address(address, types, "rw", help_ or param.help, low, high, unit, path, law, limits)
