"""Sound devices, found by name, and which of their channels belong to which microphone."""

from __future__ import annotations

import contextlib
import csv
import ctypes
import functools
import os
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from rtsep.errors import DeviceError, InputError
from rtsep.limits import check_file, check_mics
from rtsep.names import checked

_COLUMNS, _COLOUR = ("mic", "in", "out"), "colour"
COLOURS = ("red", "green", "yellow", "blue", "magenta", "cyan", "white")
"""What a microphone may be marked with: the colours of the X32's channel strips."""

_CLIENT_NAME = b"rtsep"
_LIBRARY = "libportaudio.so.2"
_JACK_SERVER, _NO_SERVER = "JACK_DEFAULT_SERVER", "rtsep-looks-for-none"


@dataclass(frozen=True)
class Mic:
    """One line of a channel map: device channels count from 0 here, and from 1 in the file."""

    name: str
    input: int
    output: int | None
    line: int
    colour: str = ""


def devices() -> list[dict[str, Any]]:
    """List the sound devices there are now.

    Returns
    -------
    list of dict
        `name`, `host_api`, `inputs`, `outputs`, `default_rate` (Hz) of each; the position in the list is
        PortAudio's index and holds only until it is asked again.
    """
    sd = portaudio()
    apis = [api["name"] for api in sd.query_hostapis()]
    return [
        {
            "name": device["name"],
            "host_api": apis[device["hostapi"]],
            "inputs": device["max_input_channels"],
            "outputs": device["max_output_channels"],
            "default_rate": device["default_samplerate"],
        }
        for device in sd.query_devices()
    ]


def choose(table: Sequence[dict[str, Any]], wanted: str, direction: str) -> int:
    """Find the one device that a user means.

    Parameters
    ----------
    table : sequence of dict
        As `devices` gives it.
    wanted : str
        Part of a name, or `host api:name` with parts of both; upper and lower case are the same. Of several devices
        of one name `name:2` is the second, as `labels` counts them.
    direction : str
        `inputs` or `outputs`.

    Returns
    -------
    int
        Place in `table`.

    Raises
    ------
    DeviceError
        If none or several match; the message lists what there is.
    """
    there = [i for i, device in enumerate(table) if device[direction] > 0]
    kind = direction.removesuffix("s")
    if not there:
        raise DeviceError(f"{kind} device {wanted!r}: this machine has no {kind} device; is the sound server running?")
    text = wanted.casefold()
    found = _named(table, there, text)
    name, colon, number = text.rpartition(":")
    if not found and colon and number.isdecimal():
        found = [i for i in _named(table, there, name) if labels(table)[i] == f"{full_name(table[i])}:{int(number)}"]
    if len(found) == 1:
        return found[0]
    problem = f"{len(found)} {kind} devices match" if found else f"no {kind} device matches"
    names = ", ".join(labels(table)[i] for i in found or there)
    raise DeviceError(f"{kind} device {wanted!r}: {problem}; {'choose from' if found else 'there are'}: {names}")


def full_name(device: dict[str, Any]) -> str:
    """Return `host api:name`."""
    return f"{device['host_api']}:{device['name']}"


def labels(table: Sequence[dict[str, Any]]) -> list[str]:
    """Return how messages call the devices and how users may: `host api:name`, and of equal ones `host api:name:2`.

    Equal ones are counted in the order in which PortAudio gives them, whether they have inputs, outputs or both: so a
    device has one label. If one of two is away, the other has no number: nobody can say which of them it is.
    """
    names = [full_name(device) for device in table]
    return [f"{n}:{names[: i + 1].count(n)}" if names.count(n) > 1 else n for i, n in enumerate(names)]


def default_indices(direction: str) -> list[int]:
    """Return the places of the devices that the host APIs of PortAudio prefer, for `inputs` or `outputs`."""
    key = f"default_{direction.removesuffix('s')}_device"
    return [api[key] for api in portaudio().query_hostapis()]


def choose_pair(
    table: Sequence[dict[str, Any]], wanted_in: str | None, wanted_out: str | None,
    defaults: Callable[[str], list[int]] = default_indices,
) -> tuple[int, int]:
    """Find the input and the output device; what is not said follows what is, then what `defaults` gives.

    Raises
    ------
    DeviceError
        See `choose`; also if the two belong to different host APIs, which PortAudio can't join.
    """
    source = choose(table, wanted_in, "inputs") if wanted_in else None
    target = choose(table, wanted_out, "outputs") if wanted_out else None
    if source is None:
        source = _partner(table, target, "inputs", defaults)
    if target is None:
        target = _partner(table, source, "outputs", defaults)
    if table[source]["host_api"] != table[target]["host_api"]:
        raise DeviceError(
            f"input {labels(table)[source]} and output {labels(table)[target]} belong to different host APIs; "
            "choose two of the same"
        )
    return source, target


def read_map(path: str | os.PathLike[str]) -> tuple[Mic, ...]:
    """Read a channel map: CSV with the header `mic,in,out`, device channels from 1, empty `out`: not played.

    A fourth column may be `colour`, one of `COLOURS` or empty.

    Raises
    ------
    InputError
        With file and line.
    """
    try:
        check_file(path)
        with open(path, encoding="utf-8-sig", newline="") as file:
            reader = csv.reader(file)
            rows = [(reader.line_num, [cell.strip() for cell in row]) for row in reader]
    except OSError as error:
        raise InputError(str(path), f"cannot be read ({error.strerror})") from error
    except (UnicodeDecodeError, csv.Error) as error:
        raise InputError(str(path), f"is not a CSV file ({error})") from error
    rows = [(line, row) for line, row in rows if any(row)]
    if not rows or tuple(rows[0][1]) not in (_COLUMNS, (*_COLUMNS, _COLOUR)):
        found = ",".join(rows[0][1]) if rows else "nothing"
        allowed = "it must be mic,in,out, or mic,in,out,colour"
        raise InputError(f"{path}:{rows[0][0] if rows else 1}", f"the header is {found!r}", allowed)
    mics: list[Mic] = []
    for line, row in rows[1:]:
        place = f"{path}:{line}"
        if len(row) != len(rows[0][1]):
            raise InputError(place, f"{len(row)} columns", f"as many as above: {','.join(rows[0][1])}")
        mics.append(_map_row(place, line, row, mics))
    if not mics:
        raise InputError(f"{path}:{rows[0][0]}", "there is no microphone", "one line for each: mic,in,out")
    check_mics(str(path), len(mics))
    return tuple(mics)


def portaudio() -> Any:
    """Import sounddevice, which initialises PortAudio; the first time under rtsep's name.

    Raises
    ------
    DeviceError
        If PortAudio is missing or finds no sound system.
    """
    if "sounddevice" not in sys.modules:
        _call_ourselves(_CLIENT_NAME)
        # Looking for devices must not start a JACK server.
        os.environ.setdefault("JACK_NO_START_SERVER", "1")
    try:
        import sounddevice
    except OSError as error:
        raise DeviceError(f"PortAudio cannot be loaded ({error}); install libportaudio2") from error
    except Exception as error:
        raise DeviceError(f"PortAudio finds no sound system ({error})") from error
    return sounddevice


def load_portaudio() -> None:
    """Import sounddevice without becoming a client of a JACK server, and end PortAudio: see `search_anew`."""
    server = os.environ.get(_JACK_SERVER)
    os.environ[_JACK_SERVER] = _NO_SERVER
    try:
        with contextlib.suppress(DeviceError):   # asked for again, and reported, when it is needed
            portaudio()._terminate()
    finally:
        del os.environ[_JACK_SERVER]
        if server is not None:
            os.environ[_JACK_SERVER] = server


def search_anew(name: str = "") -> None:
    """Let PortAudio look again for what devices there are; no stream of this process may be open.

    Parameters
    ----------
    name : str
        Of our client in a JACK server; default: rtsep, or what the server makes of it if there is one.

    Raises
    ------
    DeviceError
        If it finds no sound system.
    """
    sd = portaudio()
    with contextlib.suppress(sd.PortAudioError):   # it was ended already
        sd._terminate()
    if name:
        _call_ourselves(name.encode())
    try:
        sd._initialize()
    except sd.PortAudioError as error:
        raise DeviceError(f"PortAudio finds no sound system ({error})") from error


def client_name() -> str:
    """Return the name of PortAudio's client in the JACK server; empty if there is none."""
    name = ctypes.c_char_p()
    with contextlib.suppress(OSError, AttributeError):
        if ctypes.CDLL(_LIBRARY).PaJack_GetClientName(ctypes.byref(name)) == 0 and name.value:
            return name.value.decode(errors="replace")
    return ""


def _call_ourselves(name: bytes) -> None:
    """Say what PortAudio calls itself in a JACK server: other host APIs' PortAudio has no such function."""
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(_LIBRARY).PaJack_SetClientName(_lasting(name))


@functools.cache
def _lasting(text: bytes) -> ctypes.Array[ctypes.c_char]:
    """Return a C string that stays where it is: PortAudio keeps its address."""
    return ctypes.create_string_buffer(text)


def _named(table: Sequence[dict[str, Any]], there: Sequence[int], text: str) -> list[int]:
    """Return the devices that are called so, and if there is none, those of which it is a part."""
    exact = [i for i in there if text in (table[i]["name"].casefold(), full_name(table[i]).casefold())]
    return exact or [i for i in there if _matches(table[i], text)]


def _matches(device: dict[str, Any], text: str) -> bool:
    name = device["name"].casefold()
    api, colon, rest = text.partition(":")
    return text in name or (colon == ":" and api in device["host_api"].casefold() and rest in name)


def _partner(
    table: Sequence[dict[str, Any]], other: int | None, direction: str, defaults: Callable[[str], list[int]]
) -> int:
    """Return the device for one direction when only the other, or none, was chosen."""
    usable = [i for i, device in enumerate(table) if device[direction] > 0]
    if other is not None:
        api = table[other]["host_api"]
        if other in usable:
            return other
        usable = [i for i in usable if table[i]["host_api"] == api]
    else:
        # Whoever runs a JACK server wants it used.
        usable = [i for i in usable if table[i]["host_api"].startswith("JACK")] or usable
    kind = direction.removesuffix("s")
    if not usable:
        raise DeviceError(f"there is no {kind} device to use; see `rtsep devices`; is the sound server running?")
    preferred = [i for i in defaults(direction) if i in usable]
    return (preferred or usable)[0]


def _map_row(place: str, line: int, row: Sequence[str], before: Sequence[Mic]) -> Mic:
    name, source, target, *colour = row
    if name.isdecimal() or "." in name or "=" in name:
        raise InputError(place, f"mic is {name!r}", "a name that is no number and has no . or =")
    *_, name = checked([*(mic.name for mic in before), name], place)
    for what, text in (("in", source), ("out", target)):
        allowed = "a channel of the device, from 1" + ("" if what == "in" else ", or nothing")
        if not (text.isascii() and text.isdecimal() and int(text) >= 1) and (what == "in" or text):
            raise InputError(place, f"{what} is {text!r}", allowed)
    if int(source) - 1 in [mic.input for mic in before]:
        raise InputError(place, f"in {source} is there twice", "each microphone has an input of its own")
    if any(colour) and colour[0] not in COLOURS:
        raise InputError(place, f"colour is {colour[0]!r}", f"one of {', '.join(COLOURS)}, or nothing")
    return Mic(name, int(source) - 1, int(target) - 1 if target else None, line, *colour)
