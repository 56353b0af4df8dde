"""Meters as an X AIR sends them: a blob of the number of values, int32, and each in 1/256 dB, int16; little-endian."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np

from rtsep.control.osc.entry import Address

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from rtsep.meters import Meters

FASTEST = 20   # Hz
_FLOOR, _TOP = -128.0, 127.99   # dB: what int16 holds in 1/256 dB


def _share(meters: Meters, power: str, other: str) -> NDArray[np.float32]:
    """Return one power over another; 1 where there is nothing."""
    tiny = np.float32(1e-9)   # of 2048 frames: below the dither of 24 bits, so that silence is no change
    return np.asarray((meters.level(power) + tiny) / (meters.level(other) + tiny))


def _mean(meters: Meters, name: str) -> NDArray[np.float32]:
    from rtsep.meters import METER_FRAMES

    return np.asarray(meters.level(name) / np.float32(METER_FRAMES))


_SETS: dict[str, tuple[str, float, Callable[[Meters], NDArray[np.float32]]]] = {
    "in": ("Peak of each microphone as it comes in, dBFS.", 20, lambda m: m.level("in_peak")),
    "out": ("Peak of each microphone as it goes out, dBFS.", 20, lambda m: m.level("out_peak")),
    "in_rms": ("Mean power of each microphone as it comes in, dBFS.", 10, lambda m: _mean(m, "in_power")),
    "out_rms": ("Mean power of each microphone as it goes out, dBFS.", 10, lambda m: _mean(m, "out_power")),
    "removed": ("What the chain does to each microphone, dB.", 10, lambda m: _share(m, "wet_power", "dry_power")),
    "limiter": ("What the limiter does to each microphone, dB.", 20, lambda m: m.level("limiter_gain")),
}

METERS = (
    Address("/meters", "si", "w", "Address of a set of meters, and how often a second, at most 20: sent for 10 s."),
    *(Address(f"/meters/{name}", "b", "r", said) for name, (said, _, _) in _SETS.items()),
)


def blob(address: str, meters: Meters) -> bytes:
    """Return what a set of meters shows just now.

    Parameters
    ----------
    address : str
        Of `METERS`.
    meters : Meters
    """
    _, factor, read = _SETS[address.removeprefix("/meters/")]
    levels = np.maximum(np.nan_to_num(read(meters).astype(np.float64)), 1e-13)
    decibels = np.clip(factor * np.log10(levels), _FLOOR, _TOP)
    return len(levels).to_bytes(4, "little") + np.round(256 * decibels).astype("<i2").tobytes()
