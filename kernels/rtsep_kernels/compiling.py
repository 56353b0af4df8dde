"""Compiling: tells when kernels have to be compiled, which takes minutes; to load those that were takes a second."""

import contextlib

from numba.core import event


class _First(event.Listener):
    """Calls once, when the compiler begins."""

    def __init__(self, tell):
        self._tell = tell

    def on_start(self, _event):
        """Be told that a pass of the compiler begins; none runs for what is loaded from the cache."""
        tell, self._tell = self._tell, None
        if tell is not None:
            tell()

    def on_end(self, _event):
        """Be told that it has ended."""


@contextlib.contextmanager
def told(tell):
    """Call `tell` once, from the thread that compiles, if anything has to be compiled while the block runs.

    Parameters
    ----------
    tell : callable
        Without arguments.
    """
    listener = _First(tell)
    event.register("numba:run_pass", listener)
    try:
        yield
    finally:
        event.unregister("numba:run_pass", listener)
