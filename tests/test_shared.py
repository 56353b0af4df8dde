"""Memory that several processes use: who removes it, and who does not."""

from __future__ import annotations

import secrets
import signal
import subprocess
import sys
import time

import numpy as np
import pytest

from rtsep.shared import Shared

LAYOUT = {"counts": (np.int64, (3,)), "sound": (np.float32, (2, 5)), "bytes": (np.uint8, (1,))}
ATTACH = """
import os, signal, sys
import numpy as np
from rtsep.shared import Shared
memory = Shared({"counts": (np.int64, (3,)), "sound": (np.float32, (2, 5)), "bytes": (np.uint8, (1,))}, sys.argv[1],
                create=False)
assert memory["counts"][1] == 7
memory["sound"][1, 4] = 0.5
"""
OWN = """
import sys, time
import numpy as np
from rtsep.shared import Shared
memory = Shared({"counts": (np.int64, (3,)), "sound": (np.float32, (2, 5)), "bytes": (np.uint8, (1,))}, sys.argv[1])
print("made", flush=True)
time.sleep(600)
"""


@pytest.fixture
def name() -> str:
    return f"rtsep-test-{secrets.token_hex(4)}"


def attaches(name: str) -> bool:
    try:
        Shared(LAYOUT, name, create=False)
    except FileNotFoundError:
        return False
    return True


@pytest.mark.parametrize("shared", [False, True])
def test_arrays_are_zero_aligned_and_apart(name: str, shared: bool) -> None:
    memory = Shared(LAYOUT, name if shared else None)
    try:
        assert memory.name == (name if shared else None)
        for key, (dtype, shape) in LAYOUT.items():
            assert (memory[key].dtype, memory[key].shape) == (dtype, shape)
            assert memory[key].ctypes.data % 64 == 0
            assert memory[key].flags.c_contiguous
            assert not memory[key].any()
            memory[key][...] = 1
        assert sum(int(memory[key].sum()) for key in LAYOUT) == 14
    finally:
        memory.close()


@pytest.mark.parametrize("end", ["pass", "os._exit(0)", "os.kill(os.getpid(), signal.SIGKILL)", "memory.close()"])
def test_the_end_of_another_process_takes_nothing_away(name: str, end: str) -> None:
    """One with a resource tracker of its own, as `subprocess` starts it; the tracker has ended when its pipe has."""
    memory = Shared(LAYOUT, name)
    try:
        memory["counts"][1] = 7
        child = subprocess.run([sys.executable, "-c", ATTACH + end, name], capture_output=True, text=True, check=False)
        assert child.returncode == (-signal.SIGKILL if "SIGKILL" in end else 0)
        assert not child.stderr
        assert memory["sound"][1, 4] == np.float32(0.5)
        assert attaches(name)
    finally:
        memory.close()


def test_the_owner_alone_removes_it(name: str) -> None:
    memory = Shared(LAYOUT, name)
    other = Shared(LAYOUT, name, create=False)
    other.close()
    assert attaches(name)
    memory.close()
    assert not attaches(name)
    memory.close()
    # Those who have it go on.
    other["counts"][0] = 5
    assert memory["counts"][0] == 5


def test_the_memory_of_a_killed_owner_is_removed(name: str) -> None:
    with subprocess.Popen([sys.executable, "-c", OWN, name], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
                          text=True) as owner:
        assert owner.stdout is not None
        assert owner.stdout.readline() == "made\n"
        assert attaches(name)
        owner.kill()
    for _ in range(600):
        if not attaches(name):
            break
        time.sleep(0.1)
    assert not attaches(name)


def test_what_does_not_fit_is_refused(name: str) -> None:
    with pytest.raises(FileNotFoundError):
        Shared(LAYOUT, name, create=False)
    memory = Shared(LAYOUT, name)
    try:
        with pytest.raises(FileExistsError):
            Shared(LAYOUT, name)
        with pytest.raises(ValueError, match="bytes"):
            Shared({**LAYOUT, "more": (np.float64, (9999,))}, name, create=False)
    finally:
        memory.close()
