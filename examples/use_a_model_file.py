"""Use a model file, live in a stage and offline by name; `python use_a_model_file.py MODEL.onnx`, or a toy is made."""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

import numpy as np

import rtsep

PRESET = """
schema = 1
name = "with a model"
latency_class = "record"

[[chain]]
stage = "input"

[[chain]]
stage = "model"
model = "{}"
"""

if __name__ == "__main__":   # the model runs in a process of its own, which reads this file, too
    with tempfile.TemporaryDirectory() as folder:
        if len(sys.argv) == 2:
            model = Path(sys.argv[1])
        else:
            from rtsep.bench import toymodels

            model = toymodels.save(toymodels.gain(0.5), Path(folder, "half.onnx"))   # it makes all softer by 6 dB
        sound = (0.1 * np.random.default_rng(1).standard_normal((2, 24000))).astype(np.float32)
        with rtsep.Stream(rtsep.presets.loads(PRESET.format(model), "example"), 48000, 2) as stream:
            heard = np.concatenate([stream.process(part) for part in np.split(sound, 50, axis=1)], axis=1)
            late = stream.latency
        inside = heard[:, late + 2400 : 24000], sound[:, 2400 : 24000 - late]
        print(f"latency {late} frames; level {20 * np.log10(np.std(inside[0]) / np.std(inside[1])):.1f} dB")
