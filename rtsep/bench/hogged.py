"""`rtsep` with a thread beside it that never gives the GIL back by itself: what the control process must bear.

Started as `python -m rtsep.bench.hogged run …`; the processes that it spawns have no such thread. It ends with whoever
has started it, even if that is killed.
"""

from __future__ import annotations

import os
import runpy
import signal
import threading


def _hog(parent: int) -> None:
    while os.getppid() == parent:
        sum(range(100_000))   # a call that holds the GIL for milliseconds
    os.kill(os.getpid(), signal.SIGINT)


if __name__ == "__main__":
    threading.Thread(target=_hog, args=(os.getppid(),), daemon=True).start()
    runpy.run_module("rtsep", run_name="__main__")
