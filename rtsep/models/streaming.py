"""Models in a stream: as many samples come out as go in, later by what is told, whatever the model takes at once."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod

import numpy as np
from numpy.typing import NDArray

from rtsep.errors import InputError
from rtsep.models.card import LEVEL, MAGNITUDE, WAVE, Card
from rtsep.models.mics import Mics
from rtsep.models.session import Session

Block = NDArray[np.float32]
State = list[NDArray[np.float64]]

_LEVEL_SECONDS = 3.0        # time constant of the level that models are given their sound at
_QUIET = 1e-8               # mean square: no music, the level is kept
_MOST_GAIN = np.float32(100)
_TINY = np.float32(1e-20)   # magnitude below which there is nothing to take away


class Streamed(ABC):
    """What is common: samples wait until there are enough for a call, and what was made waits until it is asked for.

    Attributes
    ----------
    step : int
        Samples between two calls.
    latency : int
        Samples by which what comes out is late.
    """

    def __init__(self, mics: Mics, step: int, look_back: int, own: int, whole: int) -> None:
        self._mics, self._count, self.step, self._look_back = mics, mics.mics, step, look_back
        self._follow = 1 - math.exp(-step / (_LEVEL_SECONDS * mics.card.rate))
        # A call waits for its last sample; all pushes are multiples of `whole`.
        self._primed = step - math.gcd(whole, step)
        self.latency = own + self._primed
        self.reset()

    def reset(self) -> None:
        """Forget what was heard."""
        self._past: Block = np.zeros((self._count, self._look_back), np.float32)
        self._waiting: Block = np.zeros((self._count, 0), np.float32)
        self._made: Block = np.zeros((self._count, self._primed), np.float32)
        self._power = 0.0
        self._mics.reset()

    def push(self, block: Block) -> Block:
        """Take the next samples, float32[mics, frames], and return as many."""
        self._waiting = np.concatenate([self._waiting, block], axis=1)
        made = [self._made]
        while self._waiting.shape[1] >= self.step:
            new, self._waiting = self._waiting[:, : self.step], self._waiting[:, self.step :]
            seen = np.concatenate([self._past, new], axis=1)
            self._listen(new)
            made.append(self._call(seen))
            self._past = seen[:, self.step :]
        self._made = np.concatenate(made, axis=1)
        out, self._made = self._made[:, : block.shape[1]], self._made[:, block.shape[1] :]
        return out

    def state(self) -> State:
        """Return what it remembers."""
        own = [np.array([self._power]), self._past, self._waiting, self._made, *self._mics.states()]
        return [values.astype(np.float64) for values in own]

    def restore(self, state: State) -> None:
        """Go on from what `state` has returned."""
        self._power = float(state[0][0])
        self._past, self._waiting, self._made = (values.astype(np.float32) for values in state[1:4])
        self._mics.set_states([values.astype(np.float32) for values in state[4:]])

    @property
    def _gain(self) -> np.float32:
        """What brings the sound to the level of training."""
        return min(np.float32(LEVEL / math.sqrt(self._power)), _MOST_GAIN) if self._power else np.float32(1)

    def _listen(self, new: Block) -> None:
        power = float(np.mean(np.square(new)))
        if math.isfinite(power) and power > _QUIET:
            self._power += (power - self._power) * (self._follow if self._power else 1)

    @abstractmethod
    def _call(self, seen: Block) -> Block:
        """Return the next `step` samples, from all that the model looks at, float32[mics, look_back + step]."""


class Waves(Streamed):
    """A model of kind `wave`.

    Parameters
    ----------
    mics : Mics
    part : int
        Which of its sources is heard.
    unit : int
        Samples that are pushed at once, about; 1 and more.
    whole : int
        All pushes are multiples of it.
    context : int
        Samples of the past that a model without states, for any length, is shown.
    """

    def __init__(self, mics: Mics, part: int, unit: int, whole: int, context: int) -> None:
        card = mics.card
        ahead = 0 if card.states else card.look_ahead or 0
        step, frames = _sizes(card, unit, context, ahead)
        self._part = part
        shown = mics.call(np.zeros((1, mics.mics, frames), np.float32))
        kept = shown.shape[3]
        after = min(frames - kept, ahead)
        left = frames - kept - after
        self._end = min(kept, frames - ahead - left)   # of what is sure, in what it returns
        step = min(step, self._end)
        if step < 1:
            raise InputError(mics.path, f"looks {ahead} samples ahead of {frames}", "allowed is a model for less")
        super().__init__(mics, step, frames - step, frames - left - self._end + card.latency, whole)

    def reset(self) -> None:
        """See `Streamed.reset`."""
        super().reset()
        self._gains: Block = np.ones(self._mics.card.latency, np.float32)   # of what has not come out of the model yet

    def state(self) -> State:
        """See `Streamed.state`."""
        return [self._gains.astype(np.float64), *super().state()]

    def restore(self, state: State) -> None:
        """See `Streamed.restore`."""
        self._gains = state[0].astype(np.float32)
        super().restore(state[1:])

    def _call(self, seen: Block) -> Block:
        gain = self._gain
        y = self._mics.call((seen * gain)[None])[0, :, self._part, self._end - self.step : self._end]
        gains = np.concatenate([self._gains, np.full(self.step, gain, np.float32)])
        used, self._gains = gains[: self.step], gains[self.step :]
        return np.broadcast_to(y / used, (self._count, self.step))   # what is made of all mics is heard in each


class Magnitudes(Streamed):
    """A model of kind `magnitude`: what it makes smaller is made smaller in the mic; nothing ever becomes larger.

    Parameters
    ----------
    mics, part, unit, whole
        As of `Waves`.
    context : int
        Samples of the past that a model without states, for any number of frames, is shown.
    """

    def __init__(self, mics: Mics, part: int, unit: int, whole: int, context: int) -> None:
        card = mics.card
        self._part = part
        hop, window = card.hop, card.window
        ahead = 0 if card.states else -(-(card.look_ahead or 0) // hop)
        # Of a patch of fixed length the newest frame is taken, live; several patches at once, if it takes them.
        self._patches = bool(card.frames) and not card.states
        new, frames = _sizes(card, 1 if self._patches else unit // hop, context // hop, ahead)
        if self._patches and mics.most_at_once:
            new = max(1, unit // hop)
            frames += new - 1
        if ahead + new > frames:
            raise InputError(mics.path, f"looks {ahead} of {frames} frames ahead", "allowed is a model for less")
        self._new, self._frames, self._ahead = new, frames, ahead
        shape = np.hanning(window + 1)[:-1] ** (0.5 if card.taper == "sqrt-hann" else 1)
        self._first = shape.astype(np.float32)
        self._last = (shape / np.tile((shape.reshape(-1, hop) ** 2).sum(axis=0), window // hop)).astype(np.float32)
        self._late = ahead + -(-card.latency // hop)   # frames that wait for their result
        super().__init__(mics, new * hop, window - hop, window - hop + self._late * hop, whole)
        self._ask(np.zeros((mics.mics, frames, card.bins), np.float32))   # what takes long the first time
        mics.reset()

    def reset(self) -> None:
        """See `Streamed.reset`."""
        super().reset()
        card = self._mics.card
        self._spectra = np.zeros((self._count, self._late, card.bins), np.complex64)
        self._sizes: Block = np.zeros((self._count, self._frames - self._new, card.bins), np.float32)
        self._sum: Block = np.zeros((self._count, card.window - card.hop), np.float32)

    def state(self) -> State:
        """See `Streamed.state`."""
        own = [self._spectra.real, self._spectra.imag, self._sizes, self._sum]
        return [*(values.astype(np.float64) for values in own), *super().state()]

    def restore(self, state: State) -> None:
        """See `Streamed.restore`."""
        super().restore(state[4:])
        self._spectra = (state[0] + 1j * state[1]).astype(np.complex64)
        self._sizes, self._sum = state[2].astype(np.float32), state[3].astype(np.float32)

    def _call(self, seen: Block) -> Block:
        card = self._mics.card
        frames = np.lib.stride_tricks.sliding_window_view(seen, card.window, axis=1)[:, :: card.hop]
        spectra = np.fft.rfft(frames * self._first, axis=2).astype(np.complex64)
        self._spectra = np.concatenate([self._spectra, spectra], axis=1)
        own, self._spectra = self._spectra[:, : self._new], self._spectra[:, self._new :]
        self._sizes = np.concatenate([self._sizes, np.abs(spectra)], axis=1)
        gain = self._gain
        y = self._ask(self._sizes * gain) / gain
        heard = np.minimum(y / np.maximum(np.abs(own), _TINY), np.float32(1))
        self._sizes = self._sizes[:, self._new :]
        pieces = np.fft.irfft(own * heard, card.window, axis=2).astype(np.float32) * self._last
        total = np.concatenate([self._sum, np.zeros((self._count, self.step), np.float32)], axis=1)
        for n in range(self._new):
            total[:, n * card.hop : n * card.hop + card.window] += pieces[:, n]
        self._sum = total[:, self.step :]
        return total[:, : self.step]


    def _ask(self, sizes: Block) -> Block:
        """Return what the model makes of the next frames, float32[mics, new, bins], from all that it is shown."""
        if not self._patches:
            end = self._frames - self._ahead
            return self._mics.call(sizes[None])[0, :, self._part, end - self._new : end]
        length = self._mics.card.frames
        shown = np.stack([sizes[:, n : n + length] for n in range(self._new)])
        y = self._mics.call(shown)[:, :, self._part, length - self._ahead - 1]
        return np.ascontiguousarray(y.swapaxes(0, 1))


def streamed(session: Session, count: int, part: int, unit: int, whole: int, context: int) -> Streamed:
    """Return a model as it runs in a stream.

    Raises
    ------
    InputError
        If it does not: it is not causal, of another kind, for another number of mics, or has no such source.
    """
    card, path = session.model.card, session.model.path
    if card.kind not in (MAGNITUDE, WAVE):
        raise InputError(path, f"is of kind {card.kind}", "allowed in the stream are magnitude, wave and matrix")
    if card.look_ahead is None:
        raise InputError(path, "is not causal", "it runs offline alone: rtsep separate --method " + card.system)
    mics = Mics(session, count)
    if part >= mics.parts:
        raise InputError(path, f"makes {mics.parts} sources", f"allowed is source 1 to {mics.parts}")
    made = Magnitudes if card.kind == MAGNITUDE else Waves
    return made(mics, part, unit, whole, context)


def _sizes(card: Card, unit: int, context: int, ahead: int) -> tuple[int, int]:
    """Return how many new frames there are in each call, and how many frames it has."""
    if card.states or not card.frames:
        new = card.frames or card.multiple * max(1, round(unit / card.multiple))
        older = 0 if card.states else context + ahead
        return new, card.frames or new + -(-older // card.multiple) * card.multiple
    return max(1, min(unit, card.frames - ahead)), card.frames
