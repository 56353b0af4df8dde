"""What real users report: each input of a folder through the command line, and what came of it, as a table.

    python bench/reports.py FOLDER [WORD …]     FOLDER: what the reports' `make.py` writes; rows with one of the words

Exit code, last line, and what each input is there for: level of both sides of a pair, what is heard of a mute, length,
steps at multiples of 512 and, as chance, half a block later.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import pathlib
import subprocess
import sys
import tempfile
from collections.abc import Callable

import numpy as np
import soundfile
from numpy.typing import NDArray

from rtsep.bench import clicks

Sound = NDArray[np.float64]
RATE = 48000
LEARNT = 5 * RATE           # samples after which a pair is looked at
FADED = round(0.005 * RATE)  # samples after which a muted mic says nothing
_STEP = 512
_RTSEP = (sys.executable, "-m", "rtsep")


def rtsep(*words: object) -> tuple[int, str]:
    """Run a command; returns its exit code and all that it said on stderr."""
    done = subprocess.run([*_RTSEP, *map(str, words)], capture_output=True, text=True, check=False)
    return done.returncode, done.stderr.strip()


def rendered(place: pathlib.Path, out: pathlib.Path) -> tuple[str, Sound | None]:
    """Render with `live`; returns what was said, and mics in rows."""
    code, said = rtsep("render", place, "-o", out, "--preset", "live")
    lines = [line for line in said.splitlines() if line.strip()]
    told = f"exit {code}; {lines[-1][:150] if lines else 'no word'}"
    files = sorted(out.glob("*.wav")) if out.is_dir() else [out] * out.exists()
    return told, np.concatenate([soundfile.read(file, always_2d=True)[0].T for file in files]) if files else None


def level(x: Sound) -> float:
    """Return dBFS."""
    return float(10 * np.log10(np.mean(x**2) + 1e-20))


def pair(place: pathlib.Path, y: Sound) -> str:
    """Say by how much the level of each side of the pair, the first and the last mic, has changed."""
    x = soundfile.read(place)[0].T
    return " and ".join(f"{level(y[c, LEARNT:]) - level(x[c, LEARNT:]):+.1f}" for c in (0, -1)) + " dB"


def silence(place: pathlib.Path, y: Sound) -> str:
    """Say what is heard of the mic while it has been exactly 0 for some ms."""
    x = soundfile.read(place)[0].T[1]
    since = np.zeros(len(x), np.int64)
    for n in range(1, len(x)):
        since[n] = 0 if x[n] else since[n - 1] + 1
    left = np.abs(y[1, : len(x)][since > FADED])
    return f"peak {20 * np.log10(left.max() + 1e-10):.0f} dBFS in {left.size / RATE:.1f} s of silence"


def length(_place: pathlib.Path, y: Sound) -> str:
    """Say how much there is."""
    return f"{len(y)} mics of {y.shape[1] / RATE:.2f} s"


def steps(_place: pathlib.Path, y: Sound) -> str:
    """Say how many steps there are where filters change, and half a block later."""
    found = clicks.steps(y.astype(np.float32))
    counts = [int(np.count_nonzero(found[:, first::_STEP])) for first in (0, _STEP // 2)]
    return f"{counts[0]} steps at multiples of 512, {counts[1]} half a block later"


def bad(place: pathlib.Path, out: pathlib.Path) -> str:
    """Separate by every method; say which refuse in one line, and which do not answer with finite sound."""
    wrong, refused, told = [], [], set()
    out.mkdir()
    listed = subprocess.run([*_RTSEP, "separate", "--list", "--json"], capture_output=True, text=True, check=True)
    methods = [one["name"] for one in json.loads(listed.stdout)]
    for name in methods:
        target = out / name
        code, said = rtsep("separate", place, "-o", target, "--method", name)
        sounds = [soundfile.read(file)[0] for file in target.glob("*.wav")]
        told |= {"told" if "became 0" in said else "no word"}
        if code == 2:   # a score, a mixing matrix, more mics: one line says what it wants
            refused.append(name)
        elif code != 0 or not all(np.isfinite(sound).all() for sound in sounds):
            wrong.append(f"{name} (exit {code})")
    return (f"{len(methods)} methods, {', '.join(sorted(told))}; want more than mics: {', '.join(refused) or 'none'}; "
            f"not right: {', '.join(wrong) or 'none'}")


KINDS: dict[str, Callable[[pathlib.Path, Sound], str]] = {
    "pair-copy.wav": pair, "pair-panned.wav": pair, "broken-off.wav": length, "size-zero.wav": length,
    "size-stale.wav": length, "size-unknown.wav": length, "vbr-without-length.mp3": length, "muted.wav": silence,
    "gated.wav": silence, "voices.wav": steps, "session": length, "continued": length,
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=pathlib.Path)
    parser.add_argument("words", nargs="*", metavar="WORD")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch, contextlib.suppress(KeyboardInterrupt):
        print("| input | now |\n|---|---|")
        for name in [*KINDS, "nan.wav", "inf.wav"]:
            place, out = args.folder / name, pathlib.Path(scratch) / name
            if not place.exists() or (args.words and not any(word in name for word in args.words)):
                continue
            if name in KINDS:
                told, y = rendered(place, out)
                found = told if y is None else f"{KINDS[name](place, y)}; {told}"
            else:
                found = bad(place, out)
            print(f"| {name} | {found} |", flush=True)


if __name__ == "__main__":
    main()
