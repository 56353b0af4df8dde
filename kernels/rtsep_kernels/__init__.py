"""Numba kernels of rtsep: the data plane. Nothing here imports anything but numpy, math, numba and llvmlite.

What a kernel is compiled to is kept on disk, see `rtsep_kernels.cache`.
"""

import os
import sys


def _choose_cache() -> None:
    """Let numba ask `cache.Locator` first: by itself it would not notice a change in another file."""
    classes = "rtsep_kernels.cache.Locator,UserProvidedCacheLocator,InTreeCacheLocator,UserWideCacheLocator"
    os.environ.setdefault("NUMBA_CACHE_LOCATOR_CLASSES", classes)
    if "numba" in sys.modules:  # it has read the environment already
        sys.modules["numba"].config.reload_config()


_choose_cache()
