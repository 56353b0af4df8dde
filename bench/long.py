"""Length: time and memory of `rtsep separate` on 6, 20 and 60 minutes, each run a process of its own.

    python bench/long.py [METHOD …]       hpss nmf kamir mira repet-sim without

Two microphones at 16 kHz: the demo's band, over and over. Time should grow in proportion, memory not at all.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import soundfile

from rtsep import synth

RATE, MINUTES = 16000, (6, 20, 60)
METHODS = ("hpss", "nmf", "kamir", "mira", "repet-sim")
_RUN = """
import resource, sys
from rtsep.cli import main
code = main(["separate", *sys.argv[1:]])
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024)
sys.exit(code)
"""


def write(path: Path, minutes: int) -> None:
    minute = synth.band(("voice", "guitar"), 1, 60.0, RATE)
    mics = minute + np.float32(0.3) * minute[::-1]
    with soundfile.SoundFile(path, "w", RATE, 2, subtype="PCM_16") as file:
        for _ in range(minutes):
            file.write(mics.T)


def main() -> None:
    print(f"{'method':12} {'minutes':>8} {'seconds':>8} {'s/s':>8} {'MB':>6}")
    with tempfile.TemporaryDirectory() as folder:
        for minutes in MINUTES:
            write(Path(folder) / f"{minutes}.wav", minutes)
        for method in sys.argv[1:] or METHODS:
            for minutes in MINUTES:
                out = Path(folder) / "out"
                begun = time.perf_counter()
                done = subprocess.run(
                    [sys.executable, "-c", _RUN, str(Path(folder) / f"{minutes}.wav"), "-o", str(out),
                     "--method", method],
                    capture_output=True, text=True, check=True,
                )
                seconds = time.perf_counter() - begun
                memory = int(done.stdout.split()[-1])
                print(f"{method:12} {minutes:8} {seconds:8.1f} {seconds / minutes / 60:8.4f} {memory:6}", flush=True)
                for file in out.iterdir():
                    file.unlink()
                out.rmdir()


if __name__ == "__main__":
    main()
