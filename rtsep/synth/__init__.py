"""Instruments that play themselves: test music without samples, downloads or licences.

A seed decides tempo, key and chords of a piece, and every instrument reads them, so that instruments of one
seed play together as a band would: that correlation is what makes separation hard. The sounds are plain
models of their instruments (plucked strings, a bow or reed as a series of harmonics through body resonances,
a voice through formants), close enough to have the attacks, the sustained tones, the pitch movement and the
pauses of real ones.
"""

from __future__ import annotations

from rtsep.synth.ensemble import INSTRUMENTS, RMS, band, play

__all__ = ["INSTRUMENTS", "RMS", "band", "play"]
