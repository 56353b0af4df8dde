"""Format, Stage: the contract between everything that touches audio. Read this first; `rtsep.chain` next.

A Block is float32[channels, frames], C-contiguous: the one layout. A stage is a compiled function and a state
record, both known by address; `Stage.process` calls the same function that the sound card's callback calls, so
there is no second implementation. What every stage promises is tested in `tests/test_stage_contract.py`.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rtsep.errors import InputError
from rtsep.limits import held
from rtsep.params import Board, Param
from rtsep.runner import Runner
from rtsep_kernels.plane import grid
from rtsep_kernels.plane.record import State

Block = NDArray[np.float32]

RAMP_SECONDS = 0.02   # time in which a parameter reaches its target
_WARM_FRAMES = 2048   # four partitions of 512: an adaptation has begun, was due and was applied
_AT = "at"            # in a snapshot: the sample of the grid
_TERMS = "terms"      # in what was learnt


@dataclass(frozen=True)
class Format:
    """What a stage is prepared for.

    Parameters
    ----------
    rate : int
        Samples per second.
    channels : int
        Microphones.
    """

    rate: int
    channels: int

    def segments(self, seconds: float) -> int:
        """Return how many segments of 64 samples last about `seconds`, at least one."""
        return max(1, round(seconds * self.rate / grid.GRID))


@dataclass(frozen=True, eq=False)
class Heard:
    """The mics as a stage has heard them lately.

    Parameters
    ----------
    sound : float32[channels, frames]
        A ring; `frames` is a power of two.
    clock : int64[1]
        Samples heard in all: the next one goes to this place of the ring.
    """

    sound: Block
    clock: NDArray[np.int64]


class Stage:
    """Something that takes a Block and gives one, sample by sample in step, `latency` frames later.

    A subclass sets `params`, and in `_build` makes its record (`rtsep_kernels.plane.record`) and returns it with its
    compiled function and latency. At the start, and after every `reset`, the record's table says what everything is;
    `_start` sets what depends on more than that, such as ramps, which begin at the board's targets.

    Attributes
    ----------
    name : str
        What the preset calls it; first part of its parameters' paths.
    latency : int
        Frames, valid after `prepare`.
    function, state : int
        Addresses of the compiled function and of its state record, valid after `prepare`.
    record : State
        Owner of that record and of all that hangs off it, valid after `prepare`.
    recalled : bool
        Whether it began with what it was given by `start_from`.
    """

    params: Sequence[Param] = ()
    knowledge: Mapping[str, tuple[int, ...]] = {}
    """Arrays that hold what it has learnt, by name, and which of their axes are microphones."""
    pairwise = False
    """Whether what it knows of some microphones holds without the others."""
    terms: Sequence[float] = ()
    """Options without which what it has learnt means something else."""
    record: State

    def __init__(self, name: str) -> None:
        self.name = name
        self.latency = 0
        self.function = 0
        self.state = 0
        self._runner: Runner | None = None
        self.recalled = False
        self._allocated = False   # for the next `prepare`
        self._learnt: Mapping[str, NDArray[Any]] = {}
        self._places: Sequence[int] | None = None

    def allocate(self, fmt: Format, board: Board | None = None) -> int:
        """Take memory that nobody touches before `prepare`, so that it costs next to nothing as yet.

        Returns
        -------
        int
            Bytes.
        """
        self.fmt = fmt
        if board is None:
            board = Board([f"mic{c + 1}" for c in range(fmt.channels)], [(self.name, self.params)])
        self.board = board
        try:
            self._compiled, self.record, self.latency = self._build(fmt)
        except MemoryError:
            raise InputError(self.name, f"there is not enough memory for {fmt.channels} microphones") from None
        self._allocated = True
        return held(self.record)

    def prepare(self, fmt: Format, board: Board | None = None) -> Format:
        """Allocate everything; nothing is allocated afterwards.

        Parameters
        ----------
        fmt : Format
        board : Board, optional
            Where the parameters' targets stand; without it the stage has a board of its own.

        Returns
        -------
        Format
            What comes out.
        """
        if not self._allocated:
            self.allocate(fmt, board)
        self._allocated = False
        self.listen()
        self.function = self._compiled.address
        self.state = self.record.address
        self._runner = None
        self._begin()
        return fmt

    def listen(self) -> None:
        """Find the targets on the board; not while anybody drives it."""
        for param in self.params:
            if param.name in self.record.table.fields:   # else an estimator holds the address
                self.record.put(param.name, self.board.address(f"{self.name}.{param.name}"))

    def _begin(self) -> None:
        self.record.start()
        self._start()
        self._recall()

    def process(self, x: Block, out: Block) -> None:
        """Process any number of frames; `x` is left alone.

        Raises
        ------
        ValueError
            If a block is not C-contiguous float32[channels, frames].
        """
        if self._runner is None:
            self._runner = Runner(self)
        self._runner.process(x, out)

    def warm(self) -> None:
        """Touch every memory page and code path once, and begin as new."""
        silence = np.zeros((self.fmt.channels, _WARM_FRAMES), np.float32)
        self.process(silence, np.empty_like(silence))
        self.reset()

    def reset(self) -> None:
        """Make the stage as new: history, ramps and everything learnt; nothing is allocated."""
        self._begin()
        if self._runner is not None:
            self._runner.record["position"] = 0

    def snapshot(self) -> dict[str, NDArray[Any]]:
        """Return a copy of all that runs, by name: from it a stage that was prepared alike goes on bit for bit.

        For stages whose slow work is done in line: beside a helper thread the copy may be torn; see `learnt`.
        """
        return {**self.record.snapshot(), _AT: np.array([self._runner.record["position"] if self._runner else 0])}

    def restore(self, snapshot: Mapping[str, NDArray[Any]]) -> None:
        """Go on from a snapshot.

        Raises
        ------
        ValueError
            If it was taken of a stage that was prepared otherwise; then nothing has changed.
        """
        self.record.restore({name: values for name, values in snapshot.items() if name != _AT})
        self._runner = self._runner or Runner(self)
        self._runner.record["position"] = int(snapshot[_AT][0])

    def learnt(self, best: bool = False) -> dict[str, NDArray[Any]] | None:
        """Return a copy of what it has learnt, for another life or a stage that replaces it; None: there is nothing.

        With `best`, rather than what it works with now, what it was last sure of, and how sure that is, if it can say
        (`rtsep.assurance`); to be asked for every few seconds, from one thread.
        """
        del best   # who cannot say is as sure now as ever
        if not self.knowledge:
            return None
        terms = {_TERMS: np.array(self.terms, np.float64)} if self.terms else {}
        return {**{name: self._known(name).copy() for name in self.knowledge}, **terms}

    def start_from(self, learnt: Mapping[str, NDArray[Any]], places: Sequence[int] | None = None) -> None:
        """Begin with what a stage has `learnt`, at the next `prepare` or `reset` and every one after it.

        What it does not know is left alone; so is all of it if anything is missing or does not fit.

        Parameters
        ----------
        learnt : mapping of str to array
        places : sequence of int, optional
            For each of its microphones the place among those that were learnt from; -1: it was not there, and starts
            blind. By default they are the same, in the same order.
        """
        self._learnt, self._places = learnt, places

    def _known(self, name: str) -> NDArray[Any]:
        array: NDArray[Any] = self.record[name]
        return array

    def _recall(self) -> None:
        """Put what it starts from into its arrays; everything else has been started."""
        found = {name: self._in_place(name, self._learnt[name]) for name in self.knowledge if name in self._learnt}
        told = len(found) == len(self.knowledge) and np.array_equal(self._learnt.get(_TERMS, ()), self.terms)
        fits = all(array is not None and array.shape == self._known(name).shape for name, array in found.items())
        self.recalled = bool(found) and told and fits
        if self.recalled:
            for name, array in found.items():
                self._known(name)[...] = array

    def _in_place(self, name: str, array: NDArray[Any]) -> NDArray[Any] | None:
        """Return an array of `knowledge` with the microphones of now; None if that cannot be made of it."""
        own, axes, places = self._known(name), self.knowledge[name], self._places
        if places is None or not axes:
            return array
        alike = array.ndim == own.ndim and all(
            array.shape[axis] == own.shape[axis] for axis in range(own.ndim) if axis not in axes
        )
        whole = alike and array.shape == own.shape and min(places) >= 0
        if not alike or max(places) >= min(array.shape[axis] for axis in axes) or not (whole or self.pairwise):
            return None
        known = [mic for mic, place in enumerate(places) if place >= 0]
        placed = own.copy()
        placed[_open(own, axes, known)] = array[_open(array, axes, [places[mic] for mic in known])]
        return placed

    def shadow(self) -> Stage:
        """Return a prepared stage that applies this one's decisions to another signal, in step with it.

        For measuring harm: what the very filters of a mixture do to the wanted sound alone. It is on the same board,
        and reads what this one has learnt. There is no default: what of a stage decides, only the stage knows.
        """
        raise NotImplementedError

    def go_live(self) -> None:
        """Move slow work to a helper thread: a device host will drive this stage."""

    def close(self) -> None:
        """Stop helper threads."""

    def shed(self, savings: Collection[int]) -> None:
        """Give up these of its savings (`rtsep.catalogue`, from 0), and no others: the machine is too slow.

        Called a few times a second by one thread, while another one drives it; what is heard changes without a click.
        The last one, to be passed over, is its chain's to do.
        """

    def status(self) -> dict[str, int]:
        """Return counters that a user should see, such as late updates."""
        return {}

    def news(self) -> list[str]:
        """Return what a user should be told, a line each, once; asked for several times a second by one thread."""
        return []

    def ask_states(self) -> None:
        """Have the plug-ins of others tell what they keep beside their parameters; `states` has it soon."""

    def states(self) -> dict[str, str] | None:
        """Return that, base64 by path, once `ask_states` has been called; None: not all of it is there yet."""
        return {}

    def _build(self, fmt: Format) -> tuple[Any, State, int]:
        raise NotImplementedError

    def _start(self) -> None:
        """Set what the record's table cannot say; it has been started."""

    @property
    def delays(self) -> list[int]:
        """Samples by which each mic comes out late: `latency`, where a stage does not let mics differ."""
        return [self.latency] * self.fmt.channels

    @property
    def doubt(self) -> Block | None:
        """How much bleed the stage leaves in each mic, for stages behind: float32[channels], 1 as usual; or None."""
        return None

    def believe(self, doubt: Block) -> None:
        """Take what a stage in front says of the bleed that it leaves; see `doubt`."""

    @property
    def heard(self) -> Heard | None:
        """The mics as they came to a stage that takes bleed out of them without delay, for stages behind."""
        return None

    def overhear(self, heard: Heard | None) -> None:
        """Read what a stage in front `heard`, or from nobody; while it runs, too."""


def _open(array: NDArray[Any], axes: Sequence[int], mics: Sequence[int]) -> tuple[NDArray[np.intp], ...]:
    """Return what indexes some microphones on some axes, and all there is on the others."""
    return np.ix_(*[mics if axis in axes else range(length) for axis, length in enumerate(array.shape)])
