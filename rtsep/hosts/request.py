"""What `rtsep run` is told, and what the supervisor asks of the audio process: checked before anything starts."""

from __future__ import annotations

import dataclasses
import os
import pathlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from rtsep.atomic import check_writable
from rtsep.catalogue.strips import states_of, with_states
from rtsep.control.desk import fitting
from rtsep.errors import InputError
from rtsep.hosts import devices, ear, jackclient
from rtsep.hosts.hostapis import JACK, PORTAUDIO
from rtsep.hosts.playring import PlayPlace, play_place
from rtsep.presets import Preset, load
from rtsep.session import block_size, check_block
from rtsep.workers.take import check_free

RATES = (8000, 192000)      # Hz: from telephones to what sound cards offer


@dataclass(frozen=True)
class RunOptions:
    """What `rtsep run` is told.

    Parameters
    ----------
    preset : str
        Name or file.
    input_device, output_device : str, optional
        Part of a name, or `host api:name`.
    rate : int, optional
        Hz; default: the device's.
    block : int, optional
        Frames; default: the preset's.
    host_api : str
        Of `hostapis.NAMES`: through what the device is reached.
    map_csv : str, optional
        Channel map, see `devices.read_map`.
    calibration : str, optional
        What `rtsep learn` wrote.
    record : str, optional
        Folder for in.wav, out.wav and recording.jsonl.
    save : str, optional
        Where to write what was learnt, at the end and when asked for.
    play : str, optional
        A recording in place of the device's inputs.
    loop : bool
        It begins again at its end.
    begin : float
        Seconds into it.
    seconds : float, optional
        How long; default: until stopped.
    settings : tuple of str
        `path=value` each.
    ear : str, optional
        Device outputs for the engineer to listen on: `15` or `15,16`.
    show : str, optional
        Folder of a show, whose snapshots can be recalled; see `rtsep.show.starting.options`.
    restore : bool
        Begin with what stood in the show last.
    states : mapping of str to str
        That plug-ins begin with, base64 by path (`rtsep.catalogue.strips.kept`).
    end_on_hangup : bool
        SIGHUP, which comes when a terminal is closed, ends the run.
    remembered : bool
        The calibration is what the show's last run has learnt: if it does not fit, it is left out.
    """

    preset: str
    input_device: str | None = None
    output_device: str | None = None
    rate: int | None = None
    block: int | None = None
    map_csv: str | None = None
    calibration: str | None = None
    record: str | None = None
    save: str | None = None
    play: str | None = None
    loop: bool = False
    begin: float = 0.0
    seconds: float | None = None
    settings: tuple[str, ...] = ()
    ear: str | None = None
    show: str | None = None
    restore: bool = True
    states: Mapping[str, str] = field(default_factory=dict)
    end_on_hangup: bool = False
    host_api: str = PORTAUDIO
    remembered: bool = False


@dataclass(frozen=True)
class Request:
    """What the supervisor asks of an audio process.

    Parameters
    ----------
    preset : Preset
        Checked, with the user's settings among its params and the user's block.
    input_device, output_device : str or None
    rate : int or None
        None: the device's own.
    block : int
    host_api : str
    map : tuple of Mic or None
        None: as many as the device has inputs.
    map_file : str
        Where the map was read, for messages.
    calibration : str or None
    remembered : bool
        If it does not fit, it is left out.
    keep : str or None
        File for what is learnt, every 5 s.
    save : str or None
        The user's file for that, at the end and when asked for.
    record : str or None
        Folder for the recording; there is none in it yet.
    ear : tuple of int
        Device outputs for the engineer to listen on, from 0; empty: none.
    play : PlayPlace or None
        What is played in place of the device's inputs.
    spare : bool
        Stand by until another audio process is lost; then wait until its device is back.
    """

    preset: Preset
    input_device: str | None
    output_device: str | None
    rate: int | None
    block: int
    host_api: str
    map: tuple[devices.Mic, ...] | None
    map_file: str
    calibration: str | None
    remembered: bool
    keep: str | None
    save: str | None
    record: str | None
    ear: tuple[int, ...]
    play: PlayPlace | None
    spare: bool


def check(options: RunOptions) -> Request:
    """Check everything that can be checked before a process is spawned.

    Raises
    ------
    InputError
    DeviceError
        If what reaches the device is not installed.
    """
    if options.host_api == JACK:
        jackclient.demand()
    preset = load(options.preset)
    block = block_size(preset, options.block)
    preset = fitting(preset, options.settings, block)
    preset = with_states(preset, {**states_of(preset), **options.states})
    check_block(preset, block, "--blocksize" if options.block else f"preset {preset.name}: host.block")
    if options.host_api == JACK and options.block is not None:
        raise InputError("--blocksize", str(options.block), f"none with --host-api {JACK}: the server's period is it")
    if options.rate is not None and not RATES[0] <= options.rate <= RATES[1]:
        raise InputError("--samplerate", str(options.rate), f"{RATES[0]} to {RATES[1]} Hz")
    if options.seconds is not None and not options.seconds > 0:
        raise InputError("--seconds", f"{options.seconds:g}", "more than 0")
    if options.calibration is not None and not os.path.isfile(options.calibration):
        raise InputError(options.calibration, "no such file", "a file written by a soundcheck")
    if options.record is not None:
        check_free(options.record)
    if options.save is not None:
        check_writable(options.save)
    played = _played(options)
    return Request(
        preset=preset,
        input_device=options.input_device,
        output_device=options.output_device,
        rate=options.rate if played is None else played.rate,
        block=block,
        host_api=options.host_api,
        map=None if options.map_csv is None else devices.read_map(options.map_csv),
        map_file=options.map_csv or "",
        calibration=options.calibration,
        remembered=options.remembered,
        keep=None,
        save=options.save,
        record=options.record,
        ear=ear.outputs(options.ear),
        play=played,
        spare=False,
    )


def _played(options: RunOptions) -> PlayPlace | None:
    """Look at what is to be played, if anything is."""
    if options.play is None:
        for name, given in (("--loop", options.loop), ("--from", options.begin)):
            if given:
                raise InputError(name, "nothing is played", "it goes with --play")
        return None
    if options.map_csv is not None:
        raise InputError("--map", "not with --play", "the recording names the microphones")
    place = play_place(options.play)
    if options.rate not in (None, place.rate):
        raise InputError("--samplerate", f"{options.rate}", f"{options.play} has {place.rate} Hz")
    if not 0 <= options.begin < place.frames / place.rate:
        raise InputError("--from", f"{options.begin:g} s", f"0 to {place.frames / place.rate:.3f} s")
    return place


def stand_in(request: Request, stream: Mapping[str, Any], learnt: pathlib.Path) -> Request:
    """Return what is asked of an audio process that stands by: as of the first, but for what is known since.

    Parameters
    ----------
    request : Request
        Of the first, with the preset that sounded last.
    stream : mapping
        What the first has told of its device; empty if it came to none.
    learnt : Path
        Where it kept what it learnt, if it came to that.
    """
    request = dataclasses.replace(request, spare=True)
    if stream:   # by name from now on: another default device is not the one that was lost
        api, source, target = (stream[key] for key in ("host_api", "input_device", "output_device"))
        request = dataclasses.replace(
            request, rate=stream["sample_rate"], input_device=f"{api}:{source}",
            output_device=f"{api}:{target}" if target else None,
        )
    if learnt.exists():
        request = dataclasses.replace(request, calibration=str(learnt))
    return request
