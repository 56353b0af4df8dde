"""What a soundcheck says of pairs of mics: which are twins, and which are surely two sources.

In the solo of a player who has two mics, both play. Learnt as bleed, the path from the one to the other is the wanted
sound; and that back is its inverse, or no causal filter at all. Bleed is far from that: each of the two mics is the
louder one in its own solo.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from rtsep.stages.canceller.settings import GUARD, INSTANT, LEARNING

Pairs = NDArray[np.bool_]

_SPREAD = 1e-3    # seconds by which the filters of two mics or channels draw a sound out
_MOST = 0.5       # of a path's energy, that comes as soon as in a second mic at the source; of bleed at 1 m hardly any


@dataclass(frozen=True)
class Told:
    """What is told of pairs of mics.

    Parameters
    ----------
    twins : bool[k, k]
        Mic i is a twin of mic j: the path to it is to be forgotten.
    parted : bool[k, k]
        Both were heard alone, and are no twins.
    """

    twins: Pairs
    parted: Pairs


def told(paths: NDArray[np.float32], confidence: NDArray[np.float32] | None, rate: int) -> Told:
    """Say which pairs of mics a soundcheck has heard as twins, and which as two sources.

    Parameters
    ----------
    paths : float32[k, k, taps]
    confidence : float32[k, k], optional
        None: nothing is believed in.
    rate : int
        Hz.
    """
    k = len(paths)
    sure = np.zeros((k, k), bool) if confidence is None else confidence >= LEARNING.confident
    np.fill_diagonal(sure, False)
    alone = 2 * np.count_nonzero(sure, axis=0) > k - 1      # mics whose own solo was heard
    energy = np.sum(paths.astype(float) ** 2, axis=-1)
    early = np.sum(paths[..., : round((GUARD.close + _SPREAD) * rate)].astype(float) ** 2, axis=-1)
    close = (early > _MOST * energy) & (early > 0)
    mutual = close & close.T & (np.sqrt(early * early.T) > INSTANT.twin_product)
    twins = mutual | sure & close & ~alone[:, None]
    np.fill_diagonal(twins, False)
    return Told(twins, alone & alone[:, None] & ~twins & ~twins.T)


def without_twins(
    pairs: Told, paths: NDArray[np.float32], confidence: NDArray[np.float32] | None
) -> tuple[NDArray[np.float32], NDArray[np.float32] | None]:
    """Return paths and confidence without what was learnt of twins; the same arrays where there are none."""
    if not pairs.twins.any():
        return paths, confidence
    nothing = np.float32(0)
    paths = np.where(pairs.twins[..., None], nothing, paths)
    return paths, None if confidence is None else np.where(pairs.twins, nothing, confidence)
