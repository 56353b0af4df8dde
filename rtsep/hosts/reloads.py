"""Reloads: when the preset of a running show is read again, and what is said of it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rtsep.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Callable

    from rtsep.control.desk import Desk
    from rtsep.control.watch import Watch
    from rtsep.hosts.distant import Distant


class Reloads:
    """Reads the preset again when it is saved or when that is asked for, and tells how it went.

    Parameters
    ----------
    playing : Distant
    desk : Desk
        Of what plays.
    source : str
        The preset's name or file.
    watch : Watch or None
        Of the file; None: the preset is built in.
    say : callable
        Tells the user a line.
    """

    def __init__(
        self, playing: Distant, desk: Desk, source: str, watch: Watch | None, say: Callable[[str], None]
    ) -> None:
        self._playing, self._desk, self._source, self._watch = playing, desk, source, watch
        self._say = say

    def update(self, now: float, anew: bool) -> bool:
        """Look at the file, and hand on what the desk has been asked for; the audio process runs.

        Parameters
        ----------
        now : float
            Seconds.
        anew : bool
            Read it whether it has been saved or not, and set every value again.

        Returns
        -------
        bool
            Whether that has been done, if it was wanted: what is on its way comes first.
        """
        saved = self._watch is not None and self._watch.saved(now)
        anew = anew and self._playing.idle
        try:
            if saved or anew:
                self._desk.reload(self._source, anew)
            if anew:
                kind = "its" if self._watch else "built in, its"
                self._say(f"preset {self._playing.preset.name}: {kind} values are set again")
            self._playing.hand_on()
        except InputError as error:
            self._say_not(str(error))
        return anew

    def taken(self, change: str, latency: int, before: int) -> None:
        """Note and tell that the audio process has gone over to it.

        Parameters
        ----------
        change : str
            What it took, see `Engine.reload`.
        latency, before : int
            Of the chain, now and then, samples.
        """
        self._playing.answered(True)
        self._know_states()
        late = "unchanged" if latency == before else f"now {latency} samples"
        words = {"nothing": "nothing has changed", "params": "values", "chain": f"chain, cross-faded; latency {late}"}
        self._say(f"preset reloaded: {words[change]}")

    def refused(self, why: str) -> None:
        """Note and tell that the audio process has not."""
        self._playing.answered(False)
        self._know_states()
        self._say_not(why)

    def give_up(self) -> None:
        """Reload no more what the audio process may have died of."""
        if self._playing.give_up():
            self._know_states()
            self._say_not("the audio process was lost over it")

    def _know_states(self) -> None:
        """Have the desk know with which states plug-ins run now; what is on its way says so itself when it comes."""
        if self._playing.idle:
            self._desk.settled()

    def _say_not(self, why: str) -> None:
        self._say(f"preset not reloaded: {why}")
