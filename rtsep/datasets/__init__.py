"""Songs of public data sets as scenes: what is on disk, and what bleed is put on it.

Nothing is read before it is asked for, and no more than one block of one song at a time, so that a data set of ten
hours takes no more memory than ten seconds of it. Everything is mixed down to mono: a microphone has one channel.
The data sets themselves are for research only and are not part of rtsep.
"""

from __future__ import annotations

from rtsep.datasets.bleeds import BLEEDS, draw_gains, play, room_paths
from rtsep.datasets.passages import BLEED_RATE, BLOCK_SECONDS, read_scene, read_scenes
from rtsep.datasets.tracks import DATASETS, Track, find_tracks

__all__ = [
    "BLEEDS", "BLEED_RATE", "BLOCK_SECONDS", "DATASETS", "Track", "draw_gains", "find_tracks", "play", "read_scene",
    "read_scenes", "room_paths",
]
