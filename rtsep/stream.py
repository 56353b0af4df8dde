"""Stream: a preset that cleans blocks of sound in memory. What renders recordings, and what a Python program drives."""

from __future__ import annotations

import dataclasses
import numbers
import os
import warnings
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from numpy.typing import ArrayLike

from rtsep import learnt, presets
from rtsep.errors import InputError, SoundWarning
from rtsep.finite import tell
from rtsep.presets import Preset
from rtsep.session import Session, with_settings
from rtsep.sound import Sound, block, mic_names, whole_rate

if TYPE_CHECKING:
    from rtsep.learnt import Known, Learnt
    from rtsep.runner import Runner
    from rtsep.sound import Block, Source

Settings = Mapping[str, float] | Iterable[str]
Place = str | os.PathLike[str]

_READ_FRAMES = 1 << 16     # of a recording at a time
_CLEAN_BLOCK = 2048        # frames per call where nobody asks for a number; it changes no sample


class Stream:
    """Cleans sound block by block; whatever the blocks are, the samples are those of `rtsep render` with its latency.

    Slow work is done in line: nothing is ever late, and a block may take longer than it lasts. For a sound card there
    is `rtsep run`. One thread at a time may call it. Close it, or use it in a `with`: some stages have processes.

    Parameters
    ----------
    preset : str, path or Preset
        A name (see `rtsep presets`), a TOML file, or one that `rtsep.presets` has loaded.
    rate : int
        Hz.
    channels : int or sequence of str
        How many microphones, or their names.
    calibration : Calibration, Learnt or path, optional
        What `rtsep.learn` or another stream has found out.
    settings : mapping of str to float, or iterable of str
        Values of parameters from the first sample on: `{"output.gain_db.vox": -3}` or `["output.gain_db.vox=-3"]`.

    Attributes
    ----------
    names : tuple of str
        Of the microphones.
    rate : int
        Hz.

    Raises
    ------
    InputError
        If the preset, a setting or the calibration is wrong, or does not fit the microphones.

    Examples
    --------
    >>> with rtsep.Stream("live", 48000, ["vox", "kick"]) as stream:
    ...     for block in blocks:                  # float32[2, any number of frames]
    ...         cleaned = stream.process(block)   # stream.latency frames late
    """

    def __init__(
        self,
        preset: Preset | Place,
        rate: float,
        channels: int | Sequence[str],
        calibration: Known | Place | None = None,
        settings: Settings = (),
    ) -> None:
        self.rate = whole_rate(rate)
        if isinstance(channels, int | np.integer):
            self.names = mic_names(int(channels))
        else:
            self.names = mic_names(len(channels), channels)
        if not self.names:
            raise InputError("channels", "there is no microphone", "allowed is one or more")
        known = os.fspath(calibration) if isinstance(calibration, os.PathLike) else calibration
        self._session = Session.open(_load(preset), self.rate, self.names, known, _texts(settings))
        self._closed = False
        self._fading = False
        try:
            self._runner: Runner = self._session.start()
        except BaseException:
            self.close()
            raise

    @property
    def preset(self) -> Preset:
        """What sounds now."""
        return self._session.preset

    @property
    def latency(self) -> int:
        """Frames by which what comes out is later than what goes in."""
        return self._session.engine.latency

    @property
    def notes(self) -> list[str]:
        """How sure the calibration is, and what of it or the preset cannot be done with these microphones; lines."""
        return self._session.notes

    def process(self, x: ArrayLike) -> Block:
        """Clean a block.

        Parameters
        ----------
        x : float32[channels, frames]
            Any number of frames; left alone. Samples that are not finite become 0, and are counted.

        Returns
        -------
        float32[channels, frames]
            The caller's own; `latency` frames late.

        Raises
        ------
        InputError
            If it has integers, another layout or number of channels, or the stream is closed.
        """
        if self._closed:
            raise InputError("stream", "it is closed", "open another one")
        given = block(x, "x", len(self.names))
        out = np.empty_like(given)
        self._runner.process(given, out)
        if self._fading:
            self._session.engine.retire()
            self._fading = self._session.engine.swapping
        return out

    def set(self, path: str, value: float) -> None:
        """Set a parameter; the sound ramps to it from the next block on.

        Parameters
        ----------
        path : str
            `stage.parameter`, for all microphones, or `stage.parameter.microphone`.
        value : float

        Raises
        ------
        InputError
            If there is no such parameter, or the value is out of range.
        """
        self._session.board.set(path, _number(value))

    def get(self, path: str) -> float:
        """Return what a parameter is set to; of `stage.parameter`, the first microphone's."""
        return self._session.board.get(path)

    def learnt(self) -> Learnt:
        """Return a copy of what has been learnt so far: another stream's `calibration`.

        `rtsep.learnt` saves and loads it.
        """
        return learnt.gather(self._session.engine.chain.stages, self.rate, self.names)

    def reset(self) -> None:
        """Begin anew, as if just opened, without history and what was learnt; parameters stay as they are set."""
        from rtsep.runner import Runner

        self._session.engine.reset()
        self._runner = Runner(self._session.engine)

    def reload(self, preset: Preset | Place, settings: Settings = ()) -> str:
        """Go over to another preset while sound goes on: values ramp, a changed chain cross-fades.

        It is heard once it is full of sound: the old one is heard for 0.2 s more, then they cross-fade within 20 ms.
        What both presets share keeps running, with what it has learnt. `latency` may be another one afterwards.

        Parameters
        ----------
        preset : str, path or Preset
        settings : mapping or iterable of str
            As for the stream.

        Returns
        -------
        str
            What it took: `nothing`, `params` or `chain`.

        Raises
        ------
        InputError
            If anything is wrong with it, or the last change still cross-fades; then nothing has changed.
        """
        engine = self._session.engine
        wanted = with_settings(_load(preset), _texts(settings))
        took = engine.reload(dataclasses.replace(wanted, host=engine.preset.host))   # there is no device here
        self._fading = self._fading or took == "chain"
        return took

    @property
    def bad_inputs(self) -> dict[str, int]:
        """How many samples were not finite and became 0, of each microphone that had any."""
        counts = zip(self.names, self._runner.bad_inputs, strict=True)
        return {name: int(count) for name, count in counts if count}

    @property
    def limited(self) -> str:
        """What the output limiter had to do, as a line; empty: nothing."""
        count = self.status()["limited"]
        times = "once" if count == 1 else f"{count} times"
        allowed = "set output.gain_db below 0 where it should not"
        return f"the limiter has turned down peaks above -1 dBFS, {times}; {allowed}" if count else ""

    def microseconds(self) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
        """Return how long each of the last calls took (at most 65536), oldest not necessarily first."""
        return self._runner.microseconds()

    def status(self) -> dict[str, int]:
        """Return what the stages have counted, such as faults and blocks that the limiter has turned down."""
        return self._session.engine.status()

    def close(self) -> None:
        """Stop what helps the stages; nothing can be processed afterwards."""
        self._closed = True
        self._session.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def clean(
    x: ArrayLike,
    rate: float,
    preset: Preset | Place = "foh",
    calibration: Known | Place | None = None,
    settings: Settings = (),
    names: Sequence[str] | None = None,
) -> Block:
    """Take the bleed out of a whole recording: the same samples as `rtsep render`.

    Parameters
    ----------
    x : float32[mics, frames]
    rate : int
        Hz.
    preset, calibration, settings
        See `Stream`.
    names : sequence of str, optional
        Of the microphones: `mic1`, `mic2` … by default.

    Returns
    -------
    float32[mics, frames]
        Not late: the latency is taken out.

    Raises
    ------
    InputError
        See `Stream`; and if `x` is not of that layout.

    Examples
    --------
    >>> cleaned = rtsep.clean(x, 48000, "foh", settings={"output.gain_db": -3})
    """
    source = Sound(x, rate, names)
    out = np.empty_like(source.samples)
    done = 0
    with Stream(preset, source.rate, source.names, calibration, settings) as stream:
        for note in stream._session.engine.notes:
            warnings.warn(note, stacklevel=2)
        for piece in play(stream, source, _CLEAN_BLOCK):
            out[:, done : done + piece.shape[1]] = piece
            done += piece.shape[1]
        tell("x", stream.bad_inputs)
        if stream.limited:
            warnings.warn(stream.limited, SoundWarning, stacklevel=2)
    return out


def play(stream: Stream, source: Source, frames: int, compensate: bool = True) -> Iterator[Block]:
    """Yield a whole recording after a stream, piece by piece, as long as it is.

    Parameters
    ----------
    stream : Stream
        As new.
    source : Source
        At its beginning; read in pieces, so that an hour takes no more memory than a minute.
    frames : int
        Of each block that is processed; it changes no sample.
    compensate : bool
        Take the latency out.

    Yields
    ------
    float32[channels, n]
        C-contiguous, the caller's own.
    """
    chunk = max(1, _READ_FRAMES // frames) * frames
    left_to_skip, left_to_give = stream.latency if compensate else 0, source.frames
    while left_to_give > 0:
        x = source.read(chunk)
        if x.shape[1] < chunk:   # behind the end: silence pushes the last samples through the latency
            x = np.concatenate([x, np.zeros((source.channels, chunk - x.shape[1]), np.float32)], axis=1)
        needed = min(chunk, left_to_skip + left_to_give)
        blocks = [stream.process(x[:, first : first + frames]) for first in range(0, needed, frames)]
        wanted = np.concatenate(blocks, axis=1)[:, left_to_skip : left_to_skip + left_to_give]
        left_to_skip = max(0, left_to_skip - chunk)
        left_to_give -= wanted.shape[1]
        if wanted.shape[1]:
            yield np.ascontiguousarray(wanted)


def _load(preset: Preset | Place) -> Preset:
    return preset if isinstance(preset, Preset) else presets.load(preset)


def _texts(settings: Settings) -> list[str]:
    """Return settings as the command line has them."""
    if isinstance(settings, str):
        return [settings]
    if isinstance(settings, Mapping):
        return [f"{path}={value}" for path, value in settings.items()]
    return list(settings)


def _number(value: Any) -> Any:
    """Return NumPy's numbers as Python's; what is none is refused by the parameter itself."""
    return float(value) if isinstance(value, numbers.Real) else value
