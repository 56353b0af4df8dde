"""The devices: is there one to play on, at the preset's rate and block, and which MIDI ports there are."""

from __future__ import annotations

from collections.abc import Sequence

from rtsep.control.midi.carrier import names
from rtsep.doctor.finding import BAD, GOOD, Finding
from rtsep.errors import DeviceError, RtsepError
from rtsep.hosts import devices


def sound(wanted_in: str | None, wanted_out: str | None, rate: int | None, mics: int | None) -> list[Finding]:
    """Look for the device that a run would open, and ask it for the rate.

    Parameters
    ----------
    wanted_in, wanted_out : str or None
        As `rtsep run -i` and `-o` take them.
    rate : int or None
        Hz; None: the device's own.
    mics : int or None
        How many inputs are needed; None: any.
    """
    try:
        table = devices.devices()
        if not table:
            return [Finding("sound device", BAD, "there is none", "plug one in, or start a JACK server")]
        source, target = devices.choose_pair(table, wanted_in, wanted_out)
        name = f"{devices.full_name(table[source])} → {devices.full_name(table[target])}"
    except RtsepError as error:
        return [Finding("sound device", BAD, str(error), "`rtsep devices` lists what there is")]
    inputs = table[source]["inputs"]
    if mics is not None and inputs < mics:
        return [Finding("sound device", BAD, f"{name}: {inputs} inputs for {mics} microphones", "see --mics, --map")]
    own = table[source]["default_rate"]
    try:
        devices.portaudio().check_input_settings(device=source, samplerate=rate or own, channels=mics or 1)
    except Exception as error:   # PortAudio's own, with what the driver said
        return [Finding("sound device", BAD, f"{name}: {rate or own:g} Hz: {error}", "say another --samplerate")]
    return [Finding("sound device", GOOD, f"{name}: {inputs} in, {rate or own:g} Hz")]


def midi(wanted: Sequence[str] = ()) -> list[Finding]:
    """List the MIDI ports, and miss those that are wanted.

    Parameters
    ----------
    wanted : sequence of str
        Parts of names.
    """
    try:
        ports = names("")["inputs"]
    except DeviceError:
        verdict, advice = (BAD, "`modprobe snd-seq`, or start JACK") if wanted else (GOOD, "")
        return [Finding("MIDI", verdict, "no MIDI system answers", advice)]
    missing = [name for name in wanted if not any(name in port for port in ports)]
    if missing:
        return [Finding("MIDI", BAD, f"there is no port {missing[0]!r}", f"there are: {', '.join(ports) or 'none'}")]
    return [Finding("MIDI", GOOD, ", ".join(ports) if ports else "no ports: fine without MIDI")]
