"""Impulse responses of a room, and sound carried along them."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from rtsep.scenes.levels import mean_power
from rtsep.scenes.scene import Audio, Signal

SOUND_SPEED = 343.0  # m/s


@dataclass(frozen=True)
class Room:
    """A shoebox, and the microphones in it."""

    size: Signal  # m
    rt60: float  # s
    cardioid: bool


def room_paths(
    room: Room, places: Signal, microphones: Signal, rate: int, seed: int, step: int = 0
) -> Audio:
    """Return the impulse responses float32[microphones, sources, taps].

    Reflections up to an order are exact (image sources); from where the next order would begin, noise with
    the room's decay takes over. Exact late reflections would take minutes and sound no different.
    """
    import pyroomacoustics as pra
    from pyroomacoustics.directivities import Cardioid, DirectionVector
    from scipy import fft

    try:
        absorption, order = pra.inverse_sabine(room.rt60, room.size)
    except ValueError:  # more absorption than walls can have
        absorption, order = 0.95, 10
    order = min(order, 10)
    walls = pra.Material(min(absorption, 0.95))
    shoebox = pra.ShoeBox(room.size, fs=rate, materials=walls, max_order=order)
    for place in places:
        shoebox.add_source(place)
    if room.cardioid:
        facing = []
        for x, y, z in places - microphones:
            azimuth, colatitude = math.atan2(y, x), math.atan2(math.hypot(x, y), z)
            facing.append(Cardioid(DirectionVector(azimuth, colatitude, degrees=False)))
        shoebox.add_microphone_array(microphones.T, directivity=facing)
    else:
        shoebox.add_microphone_array(microphones.T)
    shoebox.compute_rir()

    # pyroomacoustics delays everything by half the length of its interpolation filters.
    early = pra.constants.get("frac_delay_length") // 2
    taps = fft.next_fast_len(round(1.1 * room.rt60 * rate), real=True)
    begin = round(order * float(room.size.min()) / SOUND_SPEED * rate)
    fade = round(0.04 * rate)
    into = np.clip((np.arange(taps) - begin + fade) / fade, 0.0, 1.0)
    seam = slice(begin - fade, begin)
    paths = np.empty((len(places), len(places), taps), np.float32)
    for i, row in enumerate(shoebox.rir):
        rng = np.random.default_rng([seed, i, step])
        exact = np.zeros((len(places), taps))
        for j, response in enumerate(row):
            kept = response[early : early + taps]
            exact[j, : len(kept)] = kept
        exact = _decay(exact, math.inf, room.rt60, rate)
        tail = _decay(rng.standard_normal(exact.shape), room.rt60, room.rt60, rate)
        strength = np.sqrt(mean_power(exact[:, seam]) / mean_power(tail[:, seam]))[:, None]
        paths[i] = exact * np.sqrt(1 - into) + strength * tail * np.sqrt(into)
    return paths


def _decay(responses: Signal, middle: float, rt60: float, rate: int) -> Signal:
    """Let sound decay with RT60 `middle`, and above 4 kHz sooner, as air and curtains make it.

    The treble's own decay is that of a room in which it dies in 0.6 of the time.
    """
    from scipy import signal

    treble = signal.butter(1, min(4000, 0.4 * rate), "highpass", fs=rate, output="sos")
    high = np.asarray(signal.sosfilt(treble, responses, axis=-1), np.float64)
    times = np.arange(responses.shape[-1]) / rate
    common = np.exp(-3 * math.log(10) * times / middle)
    sooner = np.exp(-3 * math.log(10) * times / rt60 * (1 / 0.6 - 1))
    decayed: Signal = (responses - high + high * sooner) * common
    return decayed


def carry(sources: Signal, paths: Audio, begin: int, end: int) -> tuple[Signal, Signal]:
    """Convolve frames `begin` to `end` of what arrives, block by block. Returns images and bleed."""
    from scipy import fft

    count, taps = len(sources), paths.shape[2]
    size = fft.next_fast_len(min(4 * taps, taps + end - begin), real=True)
    hop = size - taps + 1
    spectra = fft.rfft(paths, size, axis=2)
    own = spectra[np.arange(count), np.arange(count)].copy()
    spectra[np.arange(count), np.arange(count)] = 0
    images, bleed = np.empty((count, end - begin)), np.empty((count, end - begin))
    for start in range(begin, end, hop):
        stop = min(start + hop, end)
        block = np.zeros((count, size))
        first = start - taps + 1
        block[:, max(0, -first) : stop - first] = sources[:, max(0, first) : stop]
        heard = fft.rfft(block, axis=1)
        there = slice(start - begin, stop - begin)
        images[:, there] = fft.irfft(own * heard, size, axis=1)[:, taps - 1 : taps - 1 + stop - start]
        arriving = np.einsum("ijf,jf->if", spectra, heard)
        bleed[:, there] = fft.irfft(arriving, size, axis=1)[:, taps - 1 : taps - 1 + stop - start]
    return images, bleed
