"""Compiling: tells when kernels have to be compiled, which takes minutes; to load those that were takes a second."""

from numba.core import event

_PASS = "numba:run_pass"   # of the compiler; none runs for what is loaded from the cache


class Told(event.Listener):
    """Calls `tell` once, from the thread that compiles, if anything has to be compiled while the block runs.

    Parameters
    ----------
    tell : callable
        Without arguments.
    """

    def __init__(self, tell):
        self._tell = tell

    def __enter__(self):
        event.register(_PASS, self)
        return self

    def __exit__(self, *_error):
        event.unregister(_PASS, self)

    def on_start(self, _event):
        """Be told that a pass begins."""
        tell, self._tell = self._tell, None
        if tell is not None:
            tell()

    def on_end(self, _event):
        """Be told that it has ended."""
