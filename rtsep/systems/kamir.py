"""KAMIR: each source's power is what is left of it in its close microphones; leaks follow, gains are Wiener's.

Use it where several microphones are close to one instrument (`close`), and where a light hand is wanted: few rounds
distort little. Do not expect it to beat MIRA on one microphone each, and do not use it on a mixture: every source
needs a microphone that hears it louder than all others.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from rtsep.catalogue import SYSTEMS
from rtsep.errors import InputError
from rtsep.stages.masking import Masking
from rtsep.systems.powermodel import Fit, Follower, Pairs, PowerModel, Tracking, demand, own_mics
from rtsep.systems.separator import Audio, Passage, by_name
from rtsep.systems.spectrum import Spectrum

_DEFAULTS = SYSTEMS["kamir"].defaults


@dataclass
class Kamir:
    """Kernel additive modelling for interference reduction: V = L P.

    Parameters
    ----------
    window : int
        Samples.
    overlap : int
        Frames to a window.
    causal : bool
        Follow the model frame by frame, as the live stage does.
    close : str
        Close microphones of each source, numbers from 1: `1,2;3` are two sources, of which the first has two. Empty:
        each microphone is the close one of its own source.
    iterations : int
        Rounds of powers, then leaks; not if causal. More separate more and distort more.
    leak_updates : int
        Steps on the leaks in each round; not if causal.
    first_leak, least_leak : float
        Leak where a microphone is not close to begin with, and the least ever; power ratios.
    normalise : bool
        Let the leaks into each microphone sum to 1 in every round.
    kernel : int
        Frames that a source's power is smoothed over by a median, the proximity kernel; 1: it is not. Not if causal.
    form : str
        `iterated`, or `logistic`: one pass, gain 1 / (1 + e^(-20 (W - 0.6))) of the Wiener gain W.
    steps : int
        On the powers in each frame, if causal.
    memory_s : float
        Seconds that leaks are learnt from, if causal.

    References
    ----------
    Prätzlich, Bittner, Liutkus, Müller, "Kernel additive modeling for interference reduction in multi-channel music
    recordings", ICASSP 2015, https://hal.inria.fr/hal-01116686: alpha = 2 (powers), beta = 0 (Itakura-Saito).
    Their equalisation of gains scales signals but not the model and changes nothing: left out. Their windows overlap
    by 90 %; here it is 7/8, which divides the window.
    """

    window: int = _DEFAULTS["window"]
    overlap: int = _DEFAULTS["overlap"]
    causal: bool = _DEFAULTS["causal"]
    close: str = _DEFAULTS["close"]
    iterations: int = _DEFAULTS["iterations"]
    leak_updates: int = _DEFAULTS["leak_updates"]
    first_leak: float = _DEFAULTS["first_leak"]
    least_leak: float = _DEFAULTS["least_leak"]
    normalise: bool = _DEFAULTS["normalise"]
    kernel: int = _DEFAULTS["kernel"]
    form: str = _DEFAULTS["form"]
    steps: int = _DEFAULTS["steps"]
    memory_s: float = _DEFAULTS["memory_s"]
    _follower: Follower = field(default_factory=Follower, init=False, repr=False)

    def fit(self, excerpt: Passage) -> None:
        """Learn nothing: every passage has its own model."""
        demand("kamir", excerpt, self.window, self.overlap)
        close_mics(self.close, len(excerpt.sound))
        if not self.kernel % 2:
            raise InputError("kamir.kernel", f"{self.kernel} frames", "allowed is an odd number")
        if self.causal and (self.close or self.kernel > 1):
            raise InputError("kamir.causal", "with close microphones or a kernel", "allowed is neither")

    def separate(self, passage: Passage) -> dict[str, Audio]:
        """See `Separator.separate`; a part for each source: its image in every close microphone.

        Parts are called as the microphones, or with `close` `source 1` and so on.
        """
        spectrum = Spectrum(self.window, self.window // self.overlap, live=self.causal)
        if self.causal:
            tracking = _tracking(
                self.steps, self.memory_s, self.first_leak, self.least_leak, self.normalise, self.form
            )
            return by_name(self._follower.clean(tracking, spectrum, passage), passage.names)
        close = close_mics(self.close, len(passage.sound))
        logistic = self.form == "logistic"
        fit = Fit(
            "kamir", 0 if logistic else self.iterations, self.leak_updates, self.first_leak, 0.0, self.least_leak,
            self.normalise, logistic, self.kernel,
        )
        names = [f"source {n + 1}" for n in range(close.shape[1])] if self.close else passage.names
        return dict(zip(names, fit.clean(spectrum, passage.sound, close), strict=True))


class KamirLive(PowerModel, Masking):
    """The same in the stream, for one close microphone each: leaks are learnt while it runs; no look-ahead.

    Parameters
    ----------
    name : str
    analysis, synthesis, hop
        As in `Masking`.
    first_leak, least_leak, normalise, form, steps, memory_s
        As in `Kamir`.
    """

    stage = "kamir"

    def configure(
        self, first_leak: float, least_leak: float, normalise: bool, form: str, steps: int, memory_s: float,
    ) -> None:
        """See `Masking.configure`."""
        if form == "logistic":
            self.knowledge = {}   # leaks are given, not learnt
        self._tracking = _tracking(steps, memory_s, first_leak, least_leak, normalise, form)


def _tracking(
    steps: int, memory_s: float, first_leak: float, least_leak: float, normalise: bool, form: str
) -> Tracking:
    logistic = form == "logistic"
    return Tracking(
        "kamir", 0 if logistic else steps, memory_s, first_leak, 0.0, least_leak, normalise, logistic
    )


def close_mics(told: str, mics: int) -> Pairs:
    """Return int64[mics, sources], 1 where a microphone is close, from what a user wrote."""
    if not told:
        return own_mics(mics)
    columns = []
    for source in told.split(";"):
        column = np.zeros(mics, np.int64)
        for number in source.split(","):
            if not number.strip().isdecimal() or not 1 <= int(number) <= mics:
                allowed = f"allowed are numbers from 1 to {mics}, as in 1,2;3"
                raise InputError("kamir.close", f"{number.strip()!r} is no microphone", allowed)
            column[int(number) - 1] = 1
        columns.append(column)
    return np.stack(columns, axis=1)
