"""Saves: the user's file of what was learnt, as the supervisor sees it; the audio process writes it."""

from __future__ import annotations

import pathlib
from collections.abc import Callable

from rtsep.atomic import replacing


class Saves:
    """Asks for it, says what came of it, and at the end sees that there is one.

    Parameters
    ----------
    path : str or None
        The user's file; None: none was named.
    kept : Path
        Where the audio process keeps a copy all the time.
    send, say : callable
        To the audio process, and to the user.
    """

    def __init__(
        self, path: str | None, kept: pathlib.Path, send: Callable[..., None], say: Callable[[str], None]
    ) -> None:
        self._path, self._kept, self._send, self._say = path, kept, send, say
        self._done = False

    def ask(self) -> None:
        """Have it written now, where the user has named a file."""
        self._send("save")

    def answered(self, kind: str, text: str, ending: bool) -> None:
        """Say what came of it; `ending`: it was the last time."""
        self._done = kind == "saved" and ending
        self._say(text)

    def finish(self) -> None:
        """Take the last copy there is, if the audio process did not come to it."""
        if self._path is not None and not self._done and self._kept.exists():
            with replacing(self._path) as file:
                file.write(self._kept.read_bytes())
