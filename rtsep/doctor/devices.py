"""The devices: is there one to play on, at the preset's rate and block, and which MIDI ports there are."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterator, Sequence

from rtsep.doctor.finding import BAD, GOOD, Finding
from rtsep.errors import RtsepError
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
    ports = _midi_ports()
    if ports is None:
        verdict, advice = (BAD, "`modprobe snd-seq`, or start JACK") if wanted else (GOOD, "")
        return [Finding("MIDI", verdict, "no MIDI system answers", advice)]
    missing = [name for name in wanted if not any(name in port for port in ports)]
    if missing:
        return [Finding("MIDI", BAD, f"there is no port {missing[0]!r}", f"there are: {', '.join(ports) or 'none'}")]
    return [Finding("MIDI", GOOD, ", ".join(ports) if ports else "no ports: fine without MIDI")]


def _midi_ports() -> list[str] | None:
    """Return the ports of whatever MIDI system answers first; None: none does."""
    import rtmidi

    os.environ.setdefault("JACK_NO_START_SERVER", "1")
    with _speechless():
        for api in rtmidi.get_compiled_api():
            with contextlib.suppress(Exception):   # SystemError where ALSA has no sequencer, others elsewhere
                ports: list[str] = rtmidi.MidiIn(api).get_ports()
                return ports
    return None


@contextlib.contextmanager
def _speechless() -> Iterator[None]:
    """Keep what ALSA and JACK write on stderr from the user, who is told in one line."""
    sys.stderr.flush()
    kept, nowhere = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(nowhere, 2)
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        os.close(nowhere)
