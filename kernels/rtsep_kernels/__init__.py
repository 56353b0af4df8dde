"""Numba kernels of rtsep: the data plane. Nothing here imports anything but numpy, math and numba.

numba's disk cache does not notice an option that was changed in another file, so the cache lives in a folder
named by a hash of all kernels, unless the user has chosen one with NUMBA_CACHE_DIR.
"""

import hashlib
import os
import pathlib
import sys


def _choose_cache() -> None:
    if os.environ.get("NUMBA_CACHE_DIR"):
        return
    digest = hashlib.sha256()
    for source in sorted(pathlib.Path(__file__).parent.glob("*.py")):
        digest.update(source.read_bytes())
    base = os.environ.get("XDG_CACHE_HOME") or os.path.join(os.path.expanduser("~"), ".cache")
    folder = os.path.join(base, "rtsep", "numba-" + digest.hexdigest()[:16])
    os.environ["NUMBA_CACHE_DIR"] = folder
    if "numba" in sys.modules:  # numba reads the environment once, when it is imported
        sys.modules["numba"].config.CACHE_DIR = folder


_choose_cache()
