"""Clean a folder of stems, one mono file for each microphone, into another folder.

`python clean_a_folder.py STEMS CLEAN`; without them a simulated concert is cleaned. `rtsep render STEMS -o CLEAN` does
the same, and reads sessions as recorders write them.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

import numpy as np
import soundfile

import rtsep


def clean(stems: Path, out: Path) -> None:
    """Read all, clean all together, write each under its name: what a mic loses is known from the others."""
    files = sorted(stems.glob("*.wav"))
    sounds, rates = zip(*(soundfile.read(file, dtype="float32") for file in files), strict=True)
    cleaned = rtsep.clean(np.stack(sounds), rates[0], "foh", names=[file.stem for file in files])
    out.mkdir()
    for file, before, after in zip(files, sounds, cleaned, strict=True):
        soundfile.write(out / file.name, after, rates[0], subtype="FLOAT")
        print(f"{file.stem:8} {10 * np.log10(np.mean(before**2) / np.mean(after**2)):.1f} dB softer")


if len(sys.argv) == 3:
    clean(Path(sys.argv[1]), Path(sys.argv[2]))
else:
    with tempfile.TemporaryDirectory() as folder:
        scene = rtsep.scenes.make_scene("room", seed=4, mics=3, seconds=3.0)
        for name, sound in zip(scene.names, scene.mics, strict=True):
            soundfile.write(Path(folder, f"{name}.wav"), sound, scene.rate, subtype="FLOAT")
        clean(Path(folder), Path(folder, "clean"))
