"""Rooms and halls: where performers and microphones are, who walks, and what reaches the microphones."""

from __future__ import annotations

import numpy as np

from rtsep.scenes.levels import ramp, sir
from rtsep.scenes.paths import Room, carry, room_paths
from rtsep.scenes.scene import Audio, Signal


def fill_room(
    kind: str, sources: Signal, concert: slice, rng: np.random.Generator, rate: int
) -> tuple[Signal, Signal]:
    """Play the sources in a room. Returns images and bleed, the bleed at the kind's level."""
    count, frames = sources.shape
    if kind == "hall":
        size = rng.uniform((18, 14, 8), (26, 20, 12))
        room = Room(size, float(rng.uniform(0.9, 1.2)), cardioid=False)
        target_db = rng.uniform(6, 8)
    else:
        size = rng.uniform((11, 9, 4.5), (16, 13, 7))
        room = Room(size, float(rng.uniform(0.4, 0.8)), cardioid=bool(rng.random() < 0.5))
        target_db = rng.uniform(9, 12)
    places, microphones = place_performers(count, room, rng)

    seed = int(rng.integers(2**31))
    if kind == "room-moving":
        who = rng.permutation(count)
        images, bleed = _move(
            sources, concert, room, places, microphones, rate, seed, walker=int(who[0]), leaner=int(who[1])
        )
        turned = int(who[2 % count])
        frames_20ms = 0.02 * rate / (concert.stop - concert.start)
        gain = 10 ** (-4 * ramp(concert, 0.8, 0.8 + frames_20ms, frames) / 20)
        images[turned] *= gain
        bleed[turned] *= gain
    else:
        paths = room_paths(room, places, microphones, rate, seed)
        images, bleed = carry(sources * _loudness(paths, seed), paths, 0, frames)

    heard_db = float(np.median(sir(images[:, concert], bleed[:, concert])))
    return images, bleed * 10 ** ((heard_db - target_db) / 20)


def _loudness(paths: Audio, seed: int) -> Signal:
    """Return the gain of each source that makes it about as loud at its microphone as the others at theirs.

    Quiet instruments get close microphones; what is left of the differences is within 2 dB.
    """
    own = np.array([float(np.linalg.norm(paths[i, i])) for i in range(len(paths))])
    spread = np.random.default_rng([seed, 0]).uniform(-2, 2, len(paths))
    gain: Signal = 10 ** (spread / 20) / own
    return gain[:, None]


def place_performers(count: int, room: Room, rng: np.random.Generator) -> tuple[Signal, Signal]:
    """Place the performers apart from each other, and a microphone 10 to 50 cm from each."""
    middle = room.size / 2
    half = np.array([min(4.0, middle[0] - 2), min(2.5, middle[1] - 2)])
    if count > 8:
        half = middle[:2] - 2
    places = np.empty((count, 3))
    for i in range(count):
        # The candidate farthest from everyone placed so far: spread, but never in rows.
        candidates = np.column_stack(
            (
                middle[0] + half[0] * rng.uniform(-1, 1, 30),
                middle[1] + half[1] * rng.uniform(-1, 1, 30),
                rng.uniform(0.8, 1.6, 30),
            )
        )
        nearest = np.linalg.norm(candidates[:, None] - places[None, :i], axis=-1).min(axis=1, initial=np.inf)
        places[i] = candidates[np.argmax(nearest)]
    around, above = rng.uniform(-1.3, 1.3, count) - np.pi / 2, rng.uniform(-0.3, 0.5, count)
    ahead, aside = np.sin(around) * np.cos(above), np.cos(around) * np.cos(above)
    direction = np.stack((aside, ahead, np.sin(above)), axis=1)
    return places, places + rng.uniform(0.1, 0.5, count)[:, None] * direction


def _move(
    sources: Signal,
    concert: slice,
    room: Room,
    places: Signal,
    microphones: Signal,
    rate: int,
    seed: int,
    walker: int,
    leaner: int,
) -> tuple[Signal, Signal]:
    """Let one performer walk with the microphone and another lean away from hers.

    The movement is cut into steps of 19 cm, and neighbouring steps cross-fade.
    """
    frames, last = sources.shape[1], 8
    angles = np.arange(16) * np.pi / 8
    headings = np.stack((np.cos(angles), np.sin(angles), np.zeros(16)), axis=1)
    goals = places[walker] + 1.5 * headings
    spacing = np.linalg.norm(goals[:, None] - np.delete(places, walker, axis=0), axis=-1).min(axis=1)
    margin = np.minimum(goals, room.size - goals)[:, :2].min(axis=1)
    heading = headings[np.argmax(np.where(margin > 0.8, spacing, -1.0))]
    away = places[leaner] - microphones[leaner]
    away /= np.linalg.norm(away)

    along = last * ramp(concert, 0.45, 0.65, frames)
    images, bleed = np.zeros_like(sources), np.zeros_like(sources)
    paths = room_paths(room, places, microphones, rate, seed)
    played = sources * _loudness(paths, seed)
    still = np.setdiff1d(np.arange(len(sources)), (walker, leaner))
    for step in range(last + 1):
        part = step / last
        here, there = places.copy(), microphones.copy()
        here[walker] += 1.5 * part * heading
        there[walker] += 1.5 * part * heading
        here[leaner] += 0.25 * part * away
        weight = np.clip(1 - np.abs(along - step), 0.0, 1.0)
        heard = np.flatnonzero(weight)
        if not heard.size:
            continue
        begin, end = int(heard[0]), int(heard[-1]) + 1
        if step:
            # Steps of 19 cm leave late sound correlated below 700 Hz only: a moved path gets a new tail.
            first, paths = paths, room_paths(room, here, there, rate, seed, step)
            paths[np.ix_(still, still)] = first[np.ix_(still, still)]
        own, others = carry(played, paths, begin, end)
        images[:, begin:end] += own * weight[begin:end]
        bleed[:, begin:end] += others * weight[begin:end]
    return images, bleed
