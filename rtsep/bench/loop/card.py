"""A loop through a sound card, by PortAudio: an output of it is patched to an input."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from rtsep.errors import DeviceError, InputError
from rtsep.hosts import devices
from rtsep.stage import Block


@dataclass(frozen=True)
class CardOptions:
    """Which card, and how.

    Parameters
    ----------
    input_device, output_device : str or None
        As `rtsep run` takes them.
    rate : int or None
        Hz; None: the device's own.
    block : int
        Frames that the device is asked for.
    map_csv : str or None
        As `rtsep run --map`: which channel of the device each mic is, and is played on.
    """

    input_device: str | None
    output_device: str | None
    rate: int | None
    block: int
    map_csv: str | None


class Card:
    """A card that plays and records at the same time.

    Parameters
    ----------
    options : CardOptions
    mics : int

    Attributes
    ----------
    name : str
    rate : int
        Hz.
    names : tuple of str
        Of the mics.
    declared : float
        What the driver says of its latency, samples, after `carry`; nan before.
    lost : int
        Whether PortAudio told of lost sound, after `carry`.

    Raises
    ------
    DeviceError, InputError
    """

    def __init__(self, options: CardOptions, mics: int) -> None:
        table = devices.devices()
        self._source, self._target = devices.choose_pair(table, options.input_device, options.output_device)
        self.name = f"{devices.full_name(table[self._source])} → {devices.full_name(table[self._target])}"
        self.rate = options.rate or int(table[self._source]["default_rate"])
        self._block = options.block
        if options.map_csv is None:
            self._pins = [(n, n) for n in range(mics)]
            self.names = tuple(f"mic{n + 1}" for n in range(mics))
        else:
            read = [mic for mic in devices.read_map(options.map_csv) if mic.output is not None]
            self._pins = [(mic.input, mic.output or 0) for mic in read]
            self.names = tuple(mic.name for mic in read)
        if not self._pins:
            raise InputError(str(options.map_csv), "no mic has an output to be played on", "say one in column out")
        for what, most, pins in (("inputs", table[self._source]["inputs"], [pin for pin, _ in self._pins]),
                                 ("outputs", table[self._target]["outputs"], [pin for _, pin in self._pins])):
            if max(pins) >= most:
                raise InputError("--mics" if options.map_csv is None else options.map_csv,
                                 f"{self.name} has {most} {what}, and number {max(pins) + 1} is asked for")
        self.declared, self.lost = float("nan"), 0

    def carry(self, sound: Block, periods: int) -> Block:
        """See `carriers.Carrier`.

        Raises
        ------
        DeviceError
            PortAudio cannot play and record like that.
        """
        sd = devices.portaudio()
        played = np.ascontiguousarray(np.tile(sound, (1, periods)).T)
        given: dict[str, Any] = {
            "samplerate": self.rate, "device": (self._source, self._target), "blocksize": self._block, "latency": "low",
            "input_mapping": [pin + 1 for pin, _ in self._pins], "output_mapping": [pin + 1 for _, pin in self._pins],
        }
        try:
            heard = sd.playrec(played, dtype="float32", **given)
            self.declared = float(sum(sd.get_stream().latency)) * self.rate
            self.lost = int(bool(sd.wait()))
        except (sd.PortAudioError, ValueError) as error:
            raise DeviceError(f"{self.name}: {error}") from error
        made: Block = np.ascontiguousarray(heard.T)
        return made
