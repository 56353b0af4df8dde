"""Changes: how an audio process goes over to another preset, in a thread that the sound does not wait for."""

from __future__ import annotations

import contextlib
import os
import threading
from typing import TYPE_CHECKING, Any

from rtsep import learnt
from rtsep.errors import InputError, RtsepError
from rtsep.presets import layout

if TYPE_CHECKING:
    from collections.abc import Callable

    from rtsep.engine import Engine
    from rtsep.presets import Preset
    from rtsep.stage import Stage

_LAST_PATIENCE = 1.0   # seconds that what is being built may take at the end


class Changes:
    """Builds the chain of each preset that is asked for and hands it over; frees what the audio thread has left.

    Parameters
    ----------
    engine : Engine
        Live; its board is another process's, which has laid out what is asked for, in the same order, and filled it.
    check : callable
        Given a preset, raises what only the running stream can say against it.
    folder : str or None
        Of the recording, where what new stages begin with is kept.
    """

    def __init__(self, engine: Engine, check: Callable[[Preset], None], folder: str | None) -> None:
        self._engine, self._check, self._folder = engine, check, folder
        self._asked: Preset | None = None
        self._thread: threading.Thread | None = None
        self._answer: tuple[Any, ...] | None = None

    def ask(self, preset: Preset) -> None:
        """Go over to a preset soon; of several that wait the latest is meant."""
        self._asked = preset

    def update(self) -> tuple[Any, ...] | None:
        """Go on, and return an answer when there is one: `reloaded`, what it took and when, or `refused` and why."""
        if self._thread is not None:
            if self._thread.is_alive():
                return None
            self._thread = None
        answer, self._answer = self._answer, None
        self._engine.retire()
        if self._asked is not None and not self._engine.swapping:
            preset, self._asked = self._asked, None
            self._thread = threading.Thread(target=self._change, args=(preset,), name="changes", daemon=True)
            self._thread.start()
        return answer

    def finish(self) -> None:
        """Wait, though not long, for what is being built."""
        if self._thread is not None:
            self._thread.join(_LAST_PATIENCE)

    def _change(self, preset: Preset) -> None:
        try:
            # First, and even if it is refused: the other side has done it, and both must count alike.
            self._engine.board.extend(layout(preset), fill=False)
            self._check(preset)
            took = self._engine.reload(preset)
            exactly = self._exactly() if took == "chain" else {}
            self._answer = ("reloaded", took, exactly)
            if exactly.get("learnt"):   # whatever the disk does, the change has been made
                with contextlib.suppress(InputError):
                    self._store(exactly["learnt"])
        except RtsepError as error:
            self._answer = ("refused", str(error))
        except MemoryError:
            self._answer = ("refused", f"preset {preset.name}: there is not enough memory for its chain")

    def _exactly(self) -> dict[str, Any]:
        """Return what a replay needs to know of a new chain; the list of changes has the sample at which it came."""
        engine = self._engine
        number, life = engine.swaps, engine.latch.state["life"] + 1
        kept = {"learnt": f"learnt-{life}-{number}.npz"} if engine.handed else {}
        return {"life": life, "chain": number, "settled": engine.latch.settled, "exact": engine.exact, **kept}

    def _store(self, name: str) -> None:
        if self._folder is not None:
            known = learnt.Learnt(self._engine.fmt.rate, self._engine.board.mics, self._engine.handed)
            learnt.save(known, os.path.join(self._folder, name))


class StatesAsked:
    """Has the plug-ins of a chain tell what they keep, and waits for nobody."""

    def __init__(self) -> None:
        self._stages: list[Stage] = []

    def ask(self, engine: Engine) -> None:
        """Ask those that run now; whoever was asked before is asked again."""
        self._stages = list(engine.chain.stages)
        for stage in self._stages:
            stage.ask_states()

    def answer(self) -> tuple[str, dict[str, str]] | None:
        """Return `states` and all of them, once; None: there is nothing yet."""
        told: dict[str, str] = {}
        for stage in self._stages:
            states = stage.states()
            if states is None:
                return None
            told |= states
        asked, self._stages = bool(self._stages), []
        return ("states", told) if asked else None
