"""Model: the worker that runs a model file: on sound, later by what it reports, or for the gains of a matrix."""

from __future__ import annotations

import collections
import io
import json
import math
import threading

import numpy as np
from numpy.typing import NDArray

from rtsep.errors import InputError
from rtsep.models.card import LEVEL, MATRIX
from rtsep.models.file import open_model
from rtsep.models.resampling import Resampler
from rtsep.models.session import Session
from rtsep.models.streaming import State, streamed
from rtsep.stages.remote.job import Block, Worker

MARK = np.float32(1.2345679e30)
"""`rtsep_kernels.model.MARK`, which is compiled."""

_KEPT = 5              # answers that a matrix is the median of: one that is wrong does not count
_MOST_CONDITION = 20.0   # `rtsep.catalogue.matrices.MAX_CONDITION`: a worse one amplifies noise
_QUIET = 1e-4          # RMS below which there is no music to tell gains from
_SLACK = 2             # samples at the lower rate: of rounding, where rates change


class Model(Worker):
    """Makes sound of sound, or tells a matrix.

    Parameters
    ----------
    rate, channels, unit : int
        As every factory takes them.
    model : str
        File.
    provider : str
        See `rtsep.models.session.Session`.
    source : int
        Of several, from 1.
    context_ms : float
        What a model of any length without states is shown of the past.
    every_s : float
        Of matrices: time between two answers.
    """

    def __init__(self, rate: int, channels: int, unit: int, model: str, provider: str = "auto", source: int = 1,
                 context_ms: float = 200.0, every_s: float = 2.0) -> None:
        file = open_model(model)
        self._session = Session(file, provider, graphs=True, flush=True)
        context = round(context_ms / 1000 * file.card.rate)
        self._work: Sounding | Telling
        if file.card.kind == MATRIX:
            self._work = Telling(self._session, rate, channels, unit, every_s)
        else:
            self._work = Sounding(self._session, rate, channels, unit, source - 1, context)
        self._unit, self._void, self._news = unit, 0, list(self._session.said)
        self._told = False

    def work(self, block: Block) -> Block:
        """See `Worker.work`; not finite where nothing can be heard of the model yet, or it fails."""
        out = self._work.push(block)
        if self._void:
            self._void -= 1
            return np.full_like(block, np.nan)
        if not np.isfinite(out).all():
            self._work.reset()
            self._void = self._fill
            if not self._told:
                self._news.append(f"{self._session.model.path}: returns what is not finite: dry")
                self._told = True
            return np.full_like(block, np.nan)
        return out

    @property
    def _fill(self) -> int:
        """Units until what went in after a gap comes out."""
        return -(-self._work.latency // self._unit)

    def skipped(self) -> None:
        """See `Worker.skipped`: what was heard before a gap is no past of what comes after."""
        self._work.reset()
        self._void = self._fill

    def reset(self) -> None:
        """See `Worker.reset`."""
        self._work.reset()
        self._void = 0

    def report(self) -> bytes:
        """Return kind, latency in samples, and what runs it, as JSON."""
        card = self._session.model.card
        return json.dumps({
            "kind": card.kind, "latency": self._work.latency, "provider": self._session.provider,
        }).encode()

    def news(self) -> list[str]:
        """See `Worker.news`."""
        told, self._news = self._news, []
        return told

    def snapshot(self) -> bytes:
        """See `Worker.snapshot`."""
        file = io.BytesIO()
        np.savez(file, np.array([float(self._void)]), *self._work.state())
        return file.getvalue()

    def restore(self, state: bytes) -> None:
        """See `Worker.restore`."""
        with np.load(io.BytesIO(state), allow_pickle=False) as found:
            self._void = int(found["arr_0"][0])
            self._work.restore([found[f"arr_{n}"] for n in range(1, len(found.files))])


class Sounding:
    """Sound through a model at its own rate; above what that can hold, a cleaned mic stays as it came.

    Attributes
    ----------
    latency : int
        Samples.
    """

    def __init__(self, session: Session, rate: int, channels: int, unit: int, part: int, context: int) -> None:
        card = session.model.card
        same = card.rate == rate
        self._stream = streamed(session, channels, part, max(1, unit * card.rate // rate), unit if same else 1, context)
        self._cleans = not card.sources
        self.latency = self._stream.latency
        self._down = self._up = None
        if not same:
            self._down = Resampler(channels, rate, card.rate)
            up = Resampler(channels, card.rate, rate)
            low = self.latency + up.reach + _SLACK
            self.latency = -(-low * rate // card.rate) + self._down.reach + _SLACK
            # The model's sample i is heard at i plus its latency; new samples are those of `latency` before.
            self._up = Resampler(channels, card.rate, rate, self.latency * up.down - self._stream.latency * up.up)
        self._channels = channels
        self.reset()

    def reset(self) -> None:
        """Forget what was heard."""
        self._stream.reset()
        for resampler in (self._down, self._up):
            if resampler is not None:
                resampler.reset()
        self._dry: Block = np.zeros((self._channels, self.latency), np.float32)
        self._low: Block = np.zeros((self._channels, self._stream.latency), np.float32)
        self._ready: Block = np.zeros((self._channels, 0), np.float32)

    def push(self, block: Block) -> Block:
        """Return as many samples as come."""
        if self._down is None or self._up is None:
            return self._stream.push(block)
        low = self._down.push(block)
        made = self._stream.push(low)
        if not self._cleans:
            return self._take(self._up.push(made), block.shape[1])
        self._low = np.concatenate([self._low, low], axis=1)
        before, self._low = self._low[:, : low.shape[1]], self._low[:, low.shape[1] :]
        self._dry = np.concatenate([self._dry, block], axis=1)
        dry, self._dry = self._dry[:, : block.shape[1]], self._dry[:, block.shape[1] :]
        return dry - self._take(self._up.push(before - made), block.shape[1])

    def _take(self, new: Block, frames: int) -> Block:
        self._ready = np.concatenate([self._ready, new], axis=1)
        out, self._ready = self._ready[:, :frames], self._ready[:, frames:]
        return out

    def state(self) -> State:
        """Return what it remembers."""
        own = [values.astype(np.float64) for values in (self._dry, self._low, self._ready)]
        rates = [] if self._down is None or self._up is None else [*self._down.state(), *self._up.state()]
        return [*own, *rates, *self._stream.state()]

    def restore(self, state: State) -> None:
        """Go on from what `state` has returned."""
        self._dry, self._low, self._ready = (values.astype(np.float32) for values in state[:3])
        left = state[3:]
        if self._down is not None and self._up is not None:
            self._down.restore(left[:2])
            self._up.restore(left[2:4])
            left = left[4:]
        self._stream.restore(left)


class Telling:
    """The matrix that undoes the gains that a model tells, every few seconds: the median of some answers.

    What is heard until one moment is worked on, beside, until the next one, and told then: live and offline alike.
    """

    latency = 0

    def __init__(self, session: Session, rate: int, channels: int, unit: int, every_s: float) -> None:
        card = session.model.card
        if unit <= channels:
            raise InputError(session.model.path, f"tells a matrix of {channels} mics, and unit is {unit}",
                             f"allowed is a unit longer than {channels}")
        self._frames = card.frames or card.multiple * max(1, round(10 * card.rate / card.multiple))
        self._bound = session.bind(channels, self._frames)
        self._down = None if card.rate == rate else Resampler(channels, rate, card.rate)
        self._channels, self._unit = channels, unit
        self._every = max(1, round(every_s * rate / unit))   # units
        self._thread: threading.Thread | None = None
        self.reset()

    def reset(self) -> None:
        """Forget what was heard."""
        self._join()
        if self._down is not None:
            self._down.reset()
        self._heard: Block = np.zeros((self._channels, 0), np.float32)
        self._answers: collections.deque[NDArray[np.float64]] = collections.deque(maxlen=_KEPT)
        self._found: NDArray[np.float64] | None = None
        self._matrix: Block | None = None
        self._units = 0

    def push(self, block: Block) -> Block:
        """Return the matrix as `rtsep_kernels.model` reads it; silence, while there is none."""
        new = block if self._down is None else self._down.push(block)
        self._heard = np.concatenate([self._heard, new], axis=1)[:, -self._frames :]
        self._units += 1
        if self._units % self._every == 0:
            self._join()
            self._conclude()
            if self._heard.shape[1] == self._frames:
                sound = self._heard.copy()
                self._thread = threading.Thread(target=self._ask, args=(sound,), daemon=True)
                self._thread.start()
        out = np.zeros_like(block)
        if self._matrix is not None:
            out[:, : self._channels] = self._matrix
            out[:, self._channels] = MARK
        return out

    def _ask(self, sound: Block) -> None:
        power = math.sqrt(float(np.mean(np.square(sound, dtype=np.float64))))
        if not _QUIET < power < math.inf:
            return
        self._bound.x[0] = sound * np.float32(LEVEL / power)
        self._found = self._bound.run()[0].astype(np.float64)

    def _join(self) -> None:
        if self._thread is not None:
            self._thread.join()
            self._thread = None

    def _conclude(self) -> None:
        if self._found is None:
            return
        answer, self._found = self._found, None
        if np.isfinite(answer).all() and (np.diag(answer) > 0).all():
            self._answers.append(answer / np.diag(answer))   # columns: a source's own level is not known
            mixing = np.median(self._answers, axis=0)
            if np.linalg.cond(mixing) <= _MOST_CONDITION:
                self._matrix = np.linalg.inv(mixing).astype(np.float32)

    def state(self) -> State:
        """Return what it remembers; an answer that is being worked on is waited for."""
        self._join()
        shape = (0, self._channels, self._channels)
        found = [np.reshape([] if x is None else [x], (-1, *shape[1:])) for x in (self._found, self._matrix)]
        rates = [] if self._down is None else self._down.state()
        return [np.array([float(self._units)]), self._heard.astype(np.float64),
                np.reshape(list(self._answers), (-1, *shape[1:])), *found, *rates]

    def restore(self, state: State) -> None:
        """Go on from what `state` has returned."""
        self.reset()
        self._units, self._heard = int(state[0][0]), state[1].astype(np.float32)
        self._answers.extend(state[2])
        self._found = state[3][0] if len(state[3]) else None
        self._matrix = state[4][0].astype(np.float32) if len(state[4]) else None
        if self._down is not None:
            self._down.restore(state[5:])
