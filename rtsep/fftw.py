"""FFTW's plans and functions as plain addresses, so that compiled stages call them without Python.

pyFFTW's wheel carries the library; pyFFTW itself is not imported. Planning is not thread-safe and happens only in
`Stage.prepare`. FFTW_ESTIMATE chooses the same plan every time, so results repeat bit for bit.
"""

from __future__ import annotations

import ctypes
import ctypes.util
import functools
import importlib.util
import pathlib

import numpy as np

from rtsep.errors import RtsepError
from rtsep_kernels.plane.memory import aligned

_ESTIMATE = 1 << 6


@functools.cache
def library() -> ctypes.CDLL:
    """Load the single-precision FFTW library.

    Raises
    ------
    RtsepError
        If neither pyFFTW's wheel nor the system has it.
    """
    spec = importlib.util.find_spec("pyfftw")
    candidates: list[str] = []
    if spec is not None and spec.origin is not None:
        package = pathlib.Path(spec.origin).parent
        for folder in (package.parent / "pyfftw.libs", package / ".dylibs", package):
            candidates += sorted(str(p) for p in folder.glob("*fftw3f-*")) + sorted(
                str(p) for p in folder.glob("libfftw3f.*")
            )
    system = ctypes.util.find_library("fftw3f")
    if system:
        candidates.append(system)
    for name in candidates:
        if "omp" not in name and "threads" not in name:
            return ctypes.CDLL(name)
    raise RtsepError("FFTW: libfftw3f was not found; reinstall pyfftw")


def execute_addresses() -> tuple[int, int]:
    """Return the addresses of FFTW's ``execute_dft_r2c`` and ``execute_dft_c2r``."""
    return tuple(  # type: ignore[return-value]
        ctypes.cast(getattr(library(), f"fftwf_execute_dft_{kind}"), ctypes.c_void_p).value
        for kind in ("r2c", "c2r")
    )


@functools.cache
def plan(size: int, forward: bool) -> int:
    """Plan a real transform of `size` points between buffers that start at multiples of 64 bytes.

    A plan is never freed: there are a handful, shared by all stages of a process.

    Returns
    -------
    int
        Address of the plan.
    """
    fftw = library()
    time = aligned(size)
    spectrum = aligned(size + 32)
    function = fftw.fftwf_plan_dft_r2c_1d if forward else fftw.fftwf_plan_dft_c2r_1d
    function.restype = ctypes.c_void_p
    function.argtypes = [ctypes.c_int, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_uint]
    ends = (time, spectrum) if forward else (spectrum, time)
    address = function(size, *(a.ctypes.data for a in ends), _ESTIMATE)
    if not address:
        raise RtsepError(f"FFTW: cannot plan {size} points")
    return int(np.int64(address))
