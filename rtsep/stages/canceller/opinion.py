"""What the canceller thinks of each of its paths, and which path it was last sure of."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from rtsep.assurance import SURE_DB
from rtsep_kernels.canceller.guard.evidence import NEW
from rtsep_kernels.canceller.record import HISTORY
from rtsep_kernels.plane.record import State

_MOST_DB = 30.0    # no microphone on a stage stands still enough for more
_LEARNT = 0.5      # part of the prior's doubt: with more, what is there is a guess from before
_NOT_USED = -1.0
_NOTHING = 1e-30
_HEARD = 1e-4      # the guard's sum of what is new in what is taken away: of -85 dBFS, which is the room's own noise


@dataclass(frozen=True)
class Opinion:
    """What is thought of paths.

    Parameters
    ----------
    expected_db : float32[k, k]
        See `rtsep.assurance`.
    paths : float32[k, k, taps]
    """

    expected_db: NDArray[np.float32]
    paths: NDArray[np.float32]

    def then(self, now: Opinion) -> Opinion:
        """Return what is thought later on: of a path that is doubtful by then, what was thought of it before.

        The Kalman filter forgets in seconds, as anything may move; in a pause it would forget everything.
        """
        older = (now.expected_db < SURE_DB) & (self.expected_db > now.expected_db) & (now.expected_db >= 0)
        return Opinion(
            np.where(older, self.expected_db, now.expected_db), np.where(older[..., None], self.paths, now.paths)
        )


def expected_db(paths: State, guard: State, instant: NDArray[np.bool_]) -> NDArray[np.float32]:
    """Return how much of the bleed each path is expected to take away at least, float32[k, k].

    As much of it stays as the Kalman filter doubts, of what the path makes of it; both weighed by how loud the player
    is at each frequency. Where the guard sees that what is taken away is no bleed, no path to the mic is sure, and none
    from it, as it is not clean. A mic in instantaneous mode has that mode's own proof.

    Parameters
    ----------
    paths, guard : State
        PATHS and GUARD.
    instant : bool[k]
        Mics in instantaneous mode.
    """
    k, tracked, line = paths["channels"], paths["tracked"], guard["line"][: guard["lines"]]
    share = guard["share"][(guard["blocks"] - 1) % HISTORY]
    doubted = (share <= 0.5) & (guard.parts["evidence"]["own"][NEW] > _HEARD)
    weights = guard["auto"][..., : len(line)].transpose(1, 0, 2).copy()   # of mic j while mic i sounds, too
    weights[~weights.any(axis=-1)] = 1
    expected = np.zeros((k, k), np.float32)
    for i in range(k):   # mic by mic, as all of it at once would be large
        re, im, doubt = (paths[name][:tracked, i][..., line].astype(float) for name in ("w_re", "w_im", "p"))
        taken, left = (np.sum(power * weights[i], axis=(0, 2)) for power in (re**2 + im**2, doubt))
        prior = np.sum(weights[i], axis=1) * np.sum(paths["prior"][:tracked].astype(float))
        decibels = 10 * np.log10(np.maximum(taken, _NOTHING) / np.maximum(left, _NOTHING))
        decibels = np.full(k, _MOST_DB) if instant[i] else np.clip(decibels, 0, _MOST_DB)
        expected[i] = np.where(doubted | doubted[i] | (left > _LEARNT * prior) & ~instant[i], 0, decibels)
    expected[paths["held"] == 0] = _NOT_USED
    return expected
