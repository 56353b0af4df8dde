"""VST3 plug-ins for tests, compiled with Debian's dpf-source and plain g++: some behave, some do not."""

from __future__ import annotations

import atexit
import functools
import platform
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

DPF = Path("/usr/share/dpf/distrho")
HERE = Path(__file__).parent / "vst3"

KINDS = ("good", "liar", "crash", "hang", "nonumber", "slow", "unloadable", "late", "forgetful",
         "learner", "stereo", "instrument")
"""Bundles that can be made. `liar` has 32 samples of latency and says 0. `crash` (on its 100th block), `hang`,
`nonumber` and `slow` (5 ms every 20th block) do it when their parameter `armed` is 1, so they pass the probe; with
" armed" behind the name it is 1 from the first block on. `late` takes its gain over a block late, `forgetful` half of
it; `learner` is a quarter as loud and 16 samples later once it was armed, which is in its state alone."""

_SHAPES = {"stereo": ["-DCHANNELS=2"], "instrument": ["-DINPUTS=0"]}


def missing() -> str:
    """Return why none can be made here; empty: they can."""
    if sys.platform != "linux":
        return "the test's plug-ins are compiled on Linux only"
    if not shutil.which("g++"):
        return "no g++ here (Debian: apt-get install g++)"
    if not (DPF / "DistrhoPluginMain.cpp").exists():
        return "no DISTRHO plug-in framework here (Debian: apt-get install dpf-source)"
    return ""


@functools.cache
def made(kind: str) -> Path:
    """Return the bundle of one kind, made once in a run of the tests; skip the test where that cannot be done."""
    assert kind.removesuffix(" armed") in KINDS
    if missing():
        pytest.skip(missing())
    name = f"Tested {kind}"
    bundle = _folder() / f"{name}.vst3"
    binaries = bundle / "Contents" / f"{platform.machine()}-linux"
    binaries.mkdir(parents=True)
    shutil.copy(_compiled(kind if kind in _SHAPES else ""), binaries / f"{name}.so")
    return bundle


@functools.cache
def _compiled(shape: str) -> Path:
    """Return the binary that serves for all kinds of one number of channels."""
    binary = _folder() / f"tested{shape}.so"
    subprocess.run(
        ["g++", "-shared", "-fPIC", "-O0", "-w", "-DDISTRHO_PLUGIN_TARGET_VST3", *_SHAPES.get(shape, ()), f"-I{HERE}",
         f"-I{DPF}", str(HERE / "tested.cpp"), str(DPF / "DistrhoPluginMain.cpp"), "-o", str(binary)],
        check=True,
    )
    return binary


@functools.cache
def _folder() -> Path:
    """Return a folder that is removed when the tests end."""
    folder = tempfile.mkdtemp(prefix="tested-vst3-")   # what begins with rtsep- a run sweeps when it is a minute old
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return Path(folder)
