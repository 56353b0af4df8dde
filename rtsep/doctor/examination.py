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
    """

    preset: Preset
    mics: int
    block: int
    rate: int
    input_device: str | None = None
    output_device: str | None = None
    record: str = "."
    midi: tuple[str, ...] = ()


def examine(question: Question) -> Iterator[Finding]:
    """Look at everything, one thing after the other; yields what is found as soon as it is."""
    q = question
    checks: Sequence[Callable[[], Sequence[Finding]]] = (
        machine.system, machine.limits, machine.processor, lambda: machine.wake_up(q.block / q.rate),
        lambda: devices.sound(q.input_device, q.output_device, q.rate, q.mics), lambda: devices.midi(q.midi),
        lambda: plugins(q.preset, q.rate), providers, lambda: disk(q.record, q.rate, q.mics),
        lambda: room(q.preset, q.rate, q.block, q.mics),
    )
    for check in checks:
        yield from check()
