"""Session: a preset made ready to sound, for named microphones at a sample rate. What every host starts from.

Light to import: what is compiled is fetched when a session is opened, so that settings can be checked without it.
"""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Self

from rtsep import learnt, presets
from rtsep.errors import InputError
from rtsep.limits import check_mics, check_rate
from rtsep.params import Board, located
from rtsep.presets import Preset

if TYPE_CHECKING:
    from rtsep.engine import Engine
    from rtsep.learnt import Known
    from rtsep.meters import Meters
    from rtsep.runner import Runner


class Session:
    """A prepared engine and the board it listens to; made by `open`, and closed at the end of a `with`.

    Parameters
    ----------
    engine : Engine
        Prepared.

    Attributes
    ----------
    engine : Engine
    board : Board
    """

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self.board = engine.board

    @classmethod
    def open(
        cls,
        preset: Preset | str,
        rate: int,
        names: Sequence[str],
        calibration: Known | str | None = None,
        settings: Iterable[str] = (),
        board: Board | None = None,
        meters: Meters | None = None,
    ) -> Self:
        """Prepare everything; what is set holds from the first sample on, without a ramp.

        Parameters
        ----------
        preset : Preset or str
            Or its name or path.
        rate : int
            Hz.
        names : sequence of str
            Of the microphones.
        calibration : Known or str, optional
            What `rtsep learn` or another run has found out, or its file.
        settings : iterable of str
            `path=value`, on top of the preset's own; see `with_settings`.
        board : Board, optional
            Laid out for the preset, where another process writes it; an own one by default.
        meters : Meters, optional
            Where another process reads levels; own ones by default.

        Raises
        ------
        InputError
            For a setting that is unknown or out of range, a calibration of another rate or of no microphone that there
            is, or a chain that is later than its class allows.
        """
        from rtsep.engine import Engine
        from rtsep.stage import Format

        check_mics("microphones", len(names))
        check_rate("rate", rate)
        preset = with_settings(presets.load(preset) if isinstance(preset, str) else preset, settings)
        known = learnt.load(calibration) if isinstance(calibration, str) else calibration
        known_as = f"calibration {os.path.basename(calibration)}" if isinstance(calibration, str) else "calibration"
        engine = Engine(preset, known, meters, known_as)
        engine.prepare(Format(rate, len(names)), presets.lay_out(preset, names) if board is None else board)
        return cls(engine)

    @property
    def preset(self) -> Preset:
        """What sounds now."""
        return self.engine.preset

    @property
    def notes(self) -> list[str]:
        """What should be said before it sounds: what of the preset or the calibration cannot be done, one line each."""
        return [*self.engine.known_notes, *presets.notes(self.preset, self.engine.fmt.channels)]

    def start(self) -> Runner:
        """Touch every memory page and code path once, begin as new, and return what drives the engine."""
        from rtsep.runner import Runner

        self.engine.warm()
        return Runner(self.engine)

    def close(self) -> None:
        """Stop helper threads."""
        self.engine.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def with_settings(preset: Preset, settings: Iterable[str]) -> Preset:
    """Return a preset with a user's settings on top of its own values: the later one holds.

    Parameters
    ----------
    preset : Preset
    settings : iterable of str
        `path=value`, where the path is `stage.parameter` or `stage.parameter.microphone`.

    Raises
    ------
    InputError
        If one is not that, has no such parameter, or is out of range. Whether there is such a microphone shows when a
        board is laid out.
    """
    known = {f"{stage}.{param.name}": param for stage, params in presets.layout(preset) for param in params}
    values: dict[str, float] = {}
    for setting in settings:
        path, equals, text = setting.partition("=")
        if not equals:
            raise InputError(f"--set {setting}", "there is no =", "write path=number")
        param = known.get(located(path, known)[0])
        if param is None:
            raise InputError(path, "there is no such parameter", "known: " + ", ".join(known))
        try:
            value = float(text)
        except ValueError:
            raise InputError(f"--set {setting}", f"{text!r} is not a number", "write path=number") from None
        values.pop(path, None)   # the order in which they are set is that in which they were said
        values[path] = param.check(path, value)
    before = {path: value for path, value in preset.params.items() if path not in values}
    return dataclasses.replace(preset, params={**before, **values})


def block_size(preset: Preset, asked: int | None) -> int:
    """Return frames per block: what `--blocksize` asks for, else the preset's.

    Raises
    ------
    InputError
        If no preset may have it either.
    """
    if asked is None:
        return preset.host.block
    checked: int = presets.BLOCK.check("--blocksize", asked)
    return checked


def check_block(preset: Preset, block: int, place: str) -> None:
    """Check that a preset can do its work in blocks of so many frames.

    Raises
    ------
    InputError
        Its place is `place`.
    """
    most = presets.most_block(preset)
    if most is not None and block > most:
        raise InputError(place, f"{block} frames", f"this preset needs {most} or less: what it learns would be late")
