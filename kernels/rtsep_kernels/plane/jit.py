"""The decorators of every kernel, and the signature of a stage.

`kernel` is for functions that other kernels (and tests) call. `entry` makes a C function with an address: what
chains, hosts and helper threads call. Entries are compiled when their module is imported (from the cache, after
the first time), never in a callback.
"""

import numba
from numba import types

# Every flag that lets the compiler choose how to round is out. `reassoc` makes sums depend on the block length.
# `contract` and `arcp` make them depend on which copy of a function runs: one that was compiled in this process and
# one that came from the cache were optimised apart, fused different products, and differed in the last bit. Where a
# fused multiply-add pays, kernels say `memory.fma`. `nnan`/`ninf` would remove NaN checks.
FASTMATH = {"nsz"}
OPTIONS = {"fastmath": FASTMATH, "error_model": "numpy", "cache": True}

SAMPLES = types.CPointer(types.float32)


def kernel(function):
    """Compile `function` without the GIL; types are taken from the caller."""
    return numba.njit(nogil=True, **OPTIONS)(function)


def inlined(function):
    """As `kernel`, but pasted into its caller: for one-line helpers in inner loops."""
    return numba.njit(nogil=True, inline="always", **OPTIONS)(function)


def entry(signature):
    """Compile a C function of the given numba signature."""
    return numba.cfunc(signature, **OPTIONS)


def stage_entry(table):
    """Compile a stage's function: ``int32 f(state*, float32* x, float32* out, int64 frames)``.

    Its state is a record of `table`. `x` and `out` are float32[channels, frames], C-contiguous, 1 to 64 frames that
    never cross a multiple of 64. With frames = 0 (and x, out null) the function clears its signal history and keeps
    what it has learnt.
    """
    return entry(types.int32(types.CPointer(table.type), SAMPLES, SAMPLES, types.int64))


def signed(signature):
    """As `kernel`, compiled for one signature when its module is imported: what Python calls directly."""
    return numba.njit(signature, nogil=True, **OPTIONS)
