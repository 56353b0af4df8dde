"""Mics: a session called for all mics at once, whether its model takes one or several, with or without sources."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from rtsep.errors import InputError
from rtsep.models.card import MAGNITUDE, WAVE
from rtsep.models.session import Bound, Session

Block = NDArray[np.float32]

_MOST_SHAPES = 4   # of calls whose buffers are kept


class Mics:
    """A model of kind `magnitude` or `wave`, for some mics.

    A model of one channel gets each mic by itself: all in one batch if it takes one, else one after the other, each
    with a state of its own. Any other gets all mics as its channels.

    Parameters
    ----------
    session : Session
    mics : int

    Attributes
    ----------
    card : Card
    mics : int
    path : str
        Of the model's file.
    groups : int
        As many as there are mics; 1 if a model makes sources out of all mics together.
    parts : int
        Sources; 1 where there are none.

    Raises
    ------
    InputError
        If the model takes another number of mics.
    """

    def __init__(self, session: Session, mics: int) -> None:
        self.card = card = session.model.card
        if card.channels not in (0, 1, mics):
            count = f"there {'is 1 mic' if mics == 1 else f'are {mics} mics'}"
            raise InputError(session.model.path, count, f"allowed are {card.channels}, or a model of one channel")
        self._session, self.mics, self.path = session, mics, session.model.path
        self._each = card.channels == 1
        self._batched = not isinstance(session.model.inputs["x"][0], int)
        self._spectral = card.kind == MAGNITUDE
        self.parts = max(1, len(card.sources))
        self.groups = 1 if card.kind == WAVE and card.sources and not self._each else mics
        self._bounds: dict[tuple[int, int], list[Bound]] = {}

    @property
    def most_at_once(self) -> bool:
        """Whether several pieces of sound may go into one call: not if each goes on from the one before."""
        return self._batched and not self.card.states

    def call(self, x: Block) -> Block:
        """Call the model.

        Parameters
        ----------
        x : float32[pieces, mics, frames] or float32[pieces, mics, frames, bins]
            More than one piece only where `most_at_once`.

        Returns
        -------
        float32[pieces, groups, parts, frames(, bins)]
            To be copied: the next call writes there.
        """
        pieces, mics, frames = x.shape[:3]
        bounds = self._bound(pieces, frames)
        shape = (-1, *x.shape[3:])   # of frames as many as it returns
        if self._each and not self._batched:
            for mic, bound in enumerate(bounds):
                bound.x[...] = x[:, mic : mic + 1]
            return np.stack([bound.run().reshape(self.parts, *shape) for bound in bounds])[None]
        bounds[0].x[...] = x.reshape(bounds[0].x.shape)
        y = bounds[0].run()
        if self._each or not self._spectral:
            return y.reshape(pieces, self.groups, self.parts, *shape)
        return y.reshape(pieces, self.parts, mics, *shape).swapaxes(1, 2)

    def reset(self) -> None:
        """Forget what was heard."""
        for bounds in self._bounds.values():
            for bound in bounds:
                bound.set_states()

    def states(self) -> list[Block]:
        """Return what it remembers, where all calls have one length."""
        return [state for bounds in self._bounds.values() for bound in bounds for state in bound.states]

    def set_states(self, states: list[Block]) -> None:
        """Go on from what `states` has returned."""
        left = iter(states)
        for bounds in self._bounds.values():
            for bound in bounds:
                bound.set_states([next(left) for _ in self.card.states])

    def _bound(self, pieces: int, frames: int) -> list[Bound]:
        """Return the buffers for calls of a length; a state is that of one length alone."""
        key = pieces, frames
        if key not in self._bounds:
            while len(self._bounds) >= _MOST_SHAPES:
                del self._bounds[next(iter(self._bounds))]
            bind = self._session.bind
            if not self._each:
                self._bounds[key] = [bind(self.mics, frames, pieces)]
            elif self._batched:
                self._bounds[key] = [bind(1, frames, pieces * self.mics)]
            else:
                self._bounds[key] = [bind(1, frames) for _ in range(self.mics)]
        return self._bounds[key]
