"""Concerts with known truth: what every microphone hears, and what it should have heard.

A scene is rendered in four steps: the instruments play (`synth`), every source reaches every microphone by
its own path (gains or rooms, some of which change while the concert runs), the bleed is set to a level, and
each microphone adds its noise. Own sound and bleed are kept apart until the end, so that the truth is exact.
"""

from __future__ import annotations

from rtsep.scenes.files import read_scene, write_scene
from rtsep.scenes.making import KINDS, NOISE_DB, PEAK, make_scene
from rtsep.scenes.scene import Audio, Scene, Signal

__all__ = ["KINDS", "NOISE_DB", "PEAK", "Audio", "Scene", "Signal", "make_scene", "read_scene", "write_scene"]
