"""Writer: says things on a terminal or into a pipe, and never lets anybody wait for whoever reads there.

A reader may be slow, may have stopped (Ctrl-S, a full pipe), or be gone (a closed window, `| head`). A thread of its
own writes, past Python's buffers: nobody else waits for them, not even Python when it ends.
"""

from __future__ import annotations

import os
import signal
import threading
import time
from collections import deque
from typing import TextIO

PATIENCE = 1.0        # seconds that the last lines may take at the end
_MOST_LINES = 100     # that wait; what comes then is counted
_RETRY = 0.02         # seconds until a stream that somebody has made non-blocking is tried again


class Writer:
    """Owns a stream's file descriptor.

    Parameters
    ----------
    stream : TextIO or None
        `sys.stderr`, `sys.stdout`; None, as Python has it where there is none: nothing is shown.
    """

    def __init__(self, stream: TextIO | None) -> None:
        self._stream, self._file = stream, _descriptor(stream)
        self._encoding = getattr(stream, "encoding", None) or "utf-8"
        self._change = threading.Condition()   # held for moments, never while something is written
        self._lines: deque[bytes] = deque()
        self._frame = b""
        self._lost = 0
        self._busy = self._closing = False
        self._gone = stream is None
        self._thread: threading.Thread | None = None

    @property
    def file(self) -> int | None:
        """The file descriptor, if it is a file, to ask it for what it is."""
        return self._file

    @property
    def gone(self) -> bool:
        """Whether nobody can read any more."""
        return self._gone

    def line(self, text: str) -> None:
        """Write text and the end of a line, once what came before is written; too many that wait are counted."""
        with self._change:
            if len(self._lines) >= _MOST_LINES:
                self._lost += 1
            else:
                self._put(text + "\n")

    def control(self, text: str) -> None:
        """Write text as it is, however many wait: what a terminal is told."""
        with self._change:
            self._put(text)

    def frame(self, text: str) -> None:
        """Write text unless another frame comes first: only the latest one matters."""
        with self._change:
            self._frame = self._encoded(text)
            self._wake()

    def close(self, patience: float = PATIENCE) -> bool:
        """Write no more; wait, though not longer than this, until everything is out. True if it is."""
        with self._change:
            self._closing = True
            self._change.notify_all()
            return self._change.wait_for(lambda: self._gone or self._idle(), patience) and not self._gone

    def _put(self, text: str) -> None:
        self._lines.append(self._encoded(text))
        self._wake()

    def _encoded(self, text: str) -> bytes:
        return text.encode(self._encoding, "replace")

    def _idle(self) -> bool:
        return not (self._busy or self._lines or self._frame or self._lost)

    def _wake(self) -> None:
        if self._gone or self._closing:
            self._lines.clear()
            self._frame = b""
        elif self._thread is None:
            self._thread = threading.Thread(target=self._work, name="writer", daemon=True)
            self._thread.start()
        else:
            self._change.notify_all()

    def _work(self) -> None:
        if hasattr(signal, "pthread_sigmask"):   # none on Windows
            # Signals are for the main thread. With SIGTTOU out of the way a terminal cannot stop the process, either.
            signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
        while (data := self._next()) is not None:
            if not self._write(data):
                with self._change:
                    self._gone = True
                    self._lines.clear()
                    self._frame, self._lost = b"", 0
                    self._change.notify_all()
                return

    def _next(self) -> bytes | None:
        """Wait for something to be written; None at the end."""
        with self._change:
            self._busy = False
            self._change.notify_all()
            self._change.wait_for(lambda: not self._idle() or self._closing)
            data = None
            if self._lines:
                data = self._lines.popleft()
            elif self._lost:
                data = self._encoded(f"{self._lost} line{'s were' if self._lost > 1 else ' was'} not shown\n")
                self._lost = 0
            elif self._frame:
                data, self._frame = self._frame, b""
            self._busy = data is not None
            return data

    def _write(self, data: bytes) -> bool:
        """Write all of it, however long that takes; False if nobody can read it."""
        rest = memoryview(data)
        while rest:
            try:
                rest = rest[self._write_some(rest) :]
            except BlockingIOError:
                time.sleep(_RETRY)
            except (OSError, ValueError):   # closed on the other side, or on this one
                return False
        return True

    def _write_some(self, data: memoryview) -> int:
        if self._file is not None:
            return os.write(self._file, data)
        assert self._stream is not None
        self._stream.write(bytes(data).decode(self._encoding))   # somebody's own, in memory
        return len(data)


def say_last(stream: TextIO | None, text: str) -> None:
    """Write a text and the end of a line, with `PATIENCE`: what a program says at its end."""
    writer = Writer(stream)
    writer.line(text)
    writer.close()


def _descriptor(stream: TextIO | None) -> int | None:
    if stream is None:
        return None
    try:
        return stream.fileno()
    except (OSError, ValueError):
        return None
