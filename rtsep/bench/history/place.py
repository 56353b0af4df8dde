"""Where and with what something was measured: the machine, its kernel, the versions, the commit."""

from __future__ import annotations

import contextlib
import hashlib
import os
import pathlib
import platform
import subprocess
from importlib import metadata
from typing import Any

import rtsep

_LIBRARIES = ("numpy", "numba", "scipy", "pyfftw", "pedalboard")   # what figures may hang on
_GIT_SECONDS = 10.0


def machine(system: str = "/") -> dict[str, Any]:
    """Return what a figure depends on; nothing that tells whose machine it is.

    Parameters
    ----------
    system : str
        Where `proc` and `sys` are.

    Returns
    -------
    dict
        processor, cores, memory_gb, virtual, kernel, preempt, governor, load; and `key`, which is the same as long as
        it is the same machine.
    """
    root, told = pathlib.Path(system), os.uname()
    cpu = _read(root / "proc/cpuinfo")
    memory = next((int(line.split()[1]) for line in _read(root / "proc/meminfo").splitlines()
                   if line.startswith("MemTotal:")), 0)
    lines = [line.partition(":") for line in cpu.splitlines()]
    model = next((value.strip() for key, _, value in lines if key.strip() == "model name"), platform.processor())
    flags = next((value.split() for key, _, value in lines if key.strip() == "flags"), [])
    governors = {_read(file).strip() for file in root.glob("sys/devices/system/cpu/cpu[0-9]*/cpufreq/scaling_governor")}
    fixed = {"processor": model or told.machine, "cores": os.cpu_count() or 1, "memory_gb": round(memory / 2**20)}
    return {
        **fixed, "virtual": "hypervisor" in flags, "kernel": f"{told.sysname} {told.release}",
        "preempt": next((kind for kind in ("PREEMPT_RT", "PREEMPT_DYNAMIC", "PREEMPT") if kind in told.version), ""),
        "governor": ",".join(sorted(governors)), "load": round(os.getloadavg()[0], 2),
        "key": hashlib.sha256(repr(sorted(fixed.items())).encode()).hexdigest()[:12],
    }


def versions() -> dict[str, str]:
    """Return the versions of rtsep, Python and the libraries that figures may hang on."""
    found = {"rtsep": rtsep.__version__, "python": platform.python_version()}
    for name in _LIBRARIES:
        with contextlib.suppress(metadata.PackageNotFoundError):
            found[name] = metadata.version(name)
    return found


def commit(name: str = "HEAD") -> str:
    """Return the whole name of a commit of the source tree that runs, with a plus if files differ from HEAD.

    Empty where rtsep was installed without its repository, or there is no such commit.
    """
    tree = pathlib.Path(rtsep.__file__).resolve().parent.parent
    if not (tree / ".git").exists():
        return ""
    found = _git(tree, "rev-parse", "--verify", "--quiet", f"{name}^{{commit}}")
    changed = name == "HEAD" and found and _git(tree, "status", "--porcelain", "--untracked-files=no")
    return f"{found}+" if changed else found


def _git(tree: pathlib.Path, *words: str) -> str:
    try:
        done = subprocess.run(["git", "-C", str(tree), *words], capture_output=True, text=True, check=False,
                              timeout=_GIT_SECONDS)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""


def _read(path: pathlib.Path) -> str:
    try:
        return path.read_text()
    except OSError:
        return ""
