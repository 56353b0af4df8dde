"""FastICA: undo an unknown mixture by gains, X = A S, into its most independent parts.

Use it where microphones hear each other without delay (digital crosstalk, coincident pickups, a bad snake) and
nobody knows the gains; the sources must not be Gaussian noise. Do not use it in a room: delays and echoes are no gains.
Chance correlations leave the gains wrong by 0.03 to 0.1 however long the recording is; `ratio` refines them.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rtsep.catalogue import SYSTEMS
from rtsep.runner import process
from rtsep.stage import Format
from rtsep.stages.unmix import Unmixing
from rtsep.systems.demix import apply
from rtsep.systems.ica import NOISE, distinct, own_scale
from rtsep.systems.separator import Audio, Passage, by_name
from rtsep_kernels import fastica as kernels

Matrix = NDArray[np.float64]

_DEFAULTS = SYSTEMS["fastica"].defaults


@dataclass
class Fastica:
    """Symmetric FastICA with g = tanh, scaled to the microphones.

    Parameters
    ----------
    iterations : int
        At most.
    tolerance : float
        Ends when no row of the unmixing matrix turns by more.
    samples : int
        Every n-th sample is looked at, so that about as many are.
    causal : bool
        As the live stage: learnt from windows of the past, see `FasticaLive`.
    window_s : float
        With `causal`, length of a window.
    kept, steps : int
        With `causal`, samples that are kept of a window, and most steps of the fixed point for each.

    References
    ----------
    Hyvärinen, IEEE Trans. Neural Networks 10 (1999), doi:10.1109/72.761722; the implementation is scikit-learn's.
    """

    iterations: int = _DEFAULTS["iterations"]
    tolerance: float = _DEFAULTS["tolerance"]
    samples: int = _DEFAULTS["samples"]
    causal: bool = _DEFAULTS["causal"]
    window_s: float = _DEFAULTS["window_s"]
    kept: int = _DEFAULTS["kept"]
    steps: int = _DEFAULTS["steps"]

    def fit(self, excerpt: Passage) -> None:
        """See `Separator.fit`."""
        excerpt.demand_channels("fastica", 2)
        self._stage: FasticaLive | None = None
        if not self.causal:
            mics = distinct(excerpt.sound)
            found = unmix(excerpt.sound[mics.kept], self.iterations, self.tolerance, self.samples)
            self.unmixing = mics.spread(own_scale(found), len(excerpt.sound))

    def separate(self, passage: Passage) -> dict[str, Audio]:
        """See `Separator.separate`; a part for each mic: its own source at the level it has there."""
        if not self.causal:
            return by_name(apply(self.unmixing, passage.sound), passage.names)
        if self._stage is None or passage.first == 0:
            self._stage = FasticaLive(window_s=self.window_s, kept=self.kept, steps=self.steps)
            self._stage.prepare(Format(passage.rate, len(passage.sound)))
        return by_name(process(self._stage, passage.sound), passage.names)


def unmix(sound: NDArray[np.floating], iterations: int, tolerance: float, samples: int) -> Matrix:
    """Return the unmixing matrix, float64[sources, mics], in any order and scale.

    There are as many sources as microphones.

    Parameters
    ----------
    sound : float[mics, frames]
        Of mics that are distinct (`rtsep.systems.ica.distinct`); with fewer than two there is nothing to unmix.
    iterations, tolerance, samples
        As in `Fastica`.
    """
    if len(sound) < 2:
        return np.eye(len(sound))
    from sklearn.decomposition import FastICA
    from sklearn.exceptions import ConvergenceWarning

    x = sound[:, :: max(1, sound.shape[1] // samples)].astype(np.float64)
    level = np.sqrt(np.mean(x**2)) + NOISE
    x += NOISE * level * np.random.default_rng(0).standard_normal(x.shape)
    method = FastICA(
        algorithm="parallel", whiten="unit-variance", fun="logcosh", max_iter=iterations, tol=tolerance,
        random_state=0, whiten_solver="eigh",
    )
    with warnings.catch_warnings():
        # It says so when it has not converged, and of small singular values: the last matrix is as good as any, and
        # the values are the noise's.
        warnings.simplefilter("ignore", ConvergenceWarning)
        warnings.filterwarnings("ignore", message="There are some small singular values")
        method.fit(x.T)
    return np.asarray(method.components_, np.float64)


class FasticaLive(Unmixing):
    """The same in the stream: each window is worked on during the next one, from where the last one ended.

    A window teaches nothing if a microphone is silent in it, two are the same, two sources look Gaussian, or a source
    would be louder in another microphone than in its own.

    Parameters
    ----------
    name : str
    window_s : float
        Length of a window.
    kept : int
        Samples that are kept of it, evenly.
    steps : int
        Most steps of the fixed point for each window.
    ramp_ms : float
        Time to move to a new matrix.
    max_condition : float
        Λ with a larger condition number is not taken.
    """

    stage = "fastica"
    entry = kernels.fastica
    table = kernels.FASTICA
    knowledge: Mapping[str, tuple[int, ...]] = {"goal": (0, 1)}

    def configure(self, window_s: float, kept: int, steps: int, max_condition: float) -> None:
        """See `Unmixing.configure`."""
        self._window_s, self._kept, self._steps = window_s, kept, steps
        self._max_condition = max_condition

    def values(self, fmt: Format) -> Mapping[str, NDArray[Any] | int | float]:
        """See `Unmixing.values`."""
        segments = fmt.segments(self._window_s)
        window = 64 * segments
        kept = min(self._kept, window)
        # A pass for the covariance, one for each step, and a segment each to begin and to whiten.
        passes = self._steps + 1
        share = max(1, (segments - 2) // passes)
        return {
            "window": window, "thin": window // kept, "kept": kept, "chunk": -(-kept // share), "steps": self._steps,
            "own": np.eye(fmt.channels), "max_condition": self._max_condition,
        }
