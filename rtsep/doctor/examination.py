"""Examine: every check, in the order in which one would look."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from rtsep.doctor import devices, machine
from rtsep.doctor.disk import disk
from rtsep.doctor.finding import Finding
from rtsep.doctor.plugins import plugins
from rtsep.doctor.providers import providers
from rtsep.doctor.room import room
from rtsep.doctor.server import Server, jack
from rtsep.hosts.hostapis import JACK, PORTAUDIO
from rtsep.presets import Preset


@dataclass(frozen=True)
class Question:
    """What the show will be.

    Parameters
    ----------
    preset : Preset
    mics : int
    block : int
        Frames.
    rate : int
        Hz.
    input_device, output_device : str or None
        As `rtsep run` takes them.
    record : str
        Folder in which a recording would be.
    midi : tuple of str
        Parts of the names of MIDI ports that must be there.
    host_api : str
        Of `rtsep.hosts.hostapis.NAMES`.
    server : Server or str
        Of `jack`, see `rtsep.doctor.server.ask`.
    wanted_rate : int or None
        Hz, that the user has said.
    """

    preset: Preset
    mics: int
    block: int
    rate: int
    input_device: str | None = None
    output_device: str | None = None
    record: str = "."
    midi: tuple[str, ...] = ()
    host_api: str = PORTAUDIO
    server: Server | str = ""
    wanted_rate: int | None = None


def examine(question: Question) -> Iterator[Finding]:
    """Look at everything, one thing after the other; yields what is found as soon as it is."""
    q = question
    checks: Sequence[Callable[[], Sequence[Finding]]] = (
        machine.system, machine.limits, machine.processor, lambda: machine.wake_up(q.block / q.rate),
        lambda: _device(q), lambda: devices.midi(q.midi),
        lambda: plugins(q.preset, q.rate), providers, lambda: disk(q.record, q.rate, q.mics),
        lambda: room(q.preset, q.rate, q.block, q.mics),
    )
    for check in checks:
        yield from check()


def _device(q: Question) -> list[Finding]:
    if q.host_api == JACK:
        return jack(q.server, q.input_device, q.output_device, q.wanted_rate, q.mics, q.preset)
    return devices.sound(q.input_device, q.output_device, q.rate, q.mics)
