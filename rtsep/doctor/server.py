"""The JACK server, where a run would reach it without PortAudio: is it there, how does it run, and has it the ports."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from rtsep.doctor.finding import BAD, GOOD, WARN, Finding
from rtsep.errors import DeviceError, InputError, RtsepError
from rtsep.hosts import devices
from rtsep.hosts.jackclient import JackClient
from rtsep.presets import Preset
from rtsep.session import check_block

_CLIENT = "rtsep-doctor"


@dataclass(frozen=True)
class Server:
    """How a server runs.

    Parameters
    ----------
    rate : int
        Hz.
    period : int
        Frames.
    realtime : bool
        Whether its threads run before all others.
    table : tuple of dict
        As `rtsep.hosts.devices.devices` has it: who has ports.
    """

    rate: int
    period: int
    realtime: bool
    table: tuple[dict[str, Any], ...]


def ask() -> Server | str:
    """Ask the server; if none answers, why."""
    try:
        client = JackClient(_CLIENT)
    except DeviceError as error:
        return str(error)
    try:
        return Server(client.rate, client.period, client.realtime, tuple(client.devices().table))
    finally:
        client.close()


def jack(
    server: Server | str, wanted_in: str | None, wanted_out: str | None, rate: int | None, mics: int, preset: Preset
) -> list[Finding]:
    """Look at the server that a run would play on.

    Parameters
    ----------
    server : Server or str
        See `ask`.
    wanted_in, wanted_out : str or None
        As `rtsep run -i` and `-o` take them.
    rate : int or None
        Hz that are wanted; None: the server's.
    mics : int
        How many inputs are needed.
    preset : Preset
    """
    if isinstance(server, str):
        return [Finding("JACK server", BAD, server, "start one: `jackd -R -d alsa -r 48000 -p 64`, or PipeWire's")]
    text = f"{server.rate} Hz, periods of {server.period} frames ({1000 * server.period / server.rate:.2f} ms)"
    if rate not in (None, server.rate):
        found = [Finding("JACK server", BAD, f"{text}, and not {rate} Hz", f"start it with `-r {rate}`")]
    elif not server.realtime:
        text += "; it runs without real-time priority"
        found = [Finding("JACK server", WARN, text, "start it as `jackd -R …`")]
    else:
        found = [Finding("JACK server", GOOD, text)]
    try:
        check_block(preset, server.period, f"preset {preset.name}")
    except InputError as error:
        found.append(Finding("JACK period", BAD, str(error), "start the server with a smaller `-p`"))
    return [*found, _ports(server, wanted_in, wanted_out, mics)]


def _ports(server: Server, wanted_in: str | None, wanted_out: str | None, mics: int) -> Finding:
    try:
        source, target = devices.choose_pair(server.table, wanted_in, wanted_out, lambda _: [])
    except RtsepError as error:
        return Finding("JACK ports", BAD, str(error), "`rtsep devices` lists who has some")
    inputs, outputs = server.table[source]["inputs"], server.table[target]["outputs"]
    text = f"{server.table[source]['name']}: {inputs} in → {server.table[target]['name']}: {outputs} out"
    if inputs < mics:
        return Finding("JACK ports", BAD, f"{text}, for {mics} microphones", "see --mics, --map")
    if outputs < mics:
        return Finding("JACK ports", WARN, f"{text}, for {mics} microphones: some will not be played", "see --map")
    return Finding("JACK ports", GOOD, text)
