"""MIRA: one model of the powers in all microphones, leaks times sources, makes the Wiener gains of each.

Use it on the recorded tracks of a concert, each with one instrument's own microphone: of the systems that learn
nothing beforehand it takes most bleed out of a room. Do not use it on a mixture of which some instrument has no
microphone of its own, nor where nothing may be lost: a gain takes away from both that share a bin.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from rtsep.catalogue import SYSTEMS
from rtsep.stages.masking import Masking
from rtsep.systems.powermodel import Fit, Follower, PowerModel, Tracking, demand, own_mics
from rtsep.systems.separator import Audio, Passage, by_name
from rtsep.systems.spectrum import Spectrum

_DEFAULTS = SYSTEMS["mira"].defaults


@dataclass
class Mira:
    """Multitrack interference reduction: V = L P fitted to all microphones and frames of a passage.

    Parameters
    ----------
    window : int
        Samples.
    overlap : int
        Frames to a window.
    causal : bool
        Follow the model frame by frame, as the live stage does.
    iterations : int
        Rounds of powers, then leaks; not if causal.
    first_leak : float
        Leak between two microphones to begin with, a power ratio.
    sparsity : float
        Weight ρ of the geometric over the arithmetic mean of the sources' powers in the cost: few play in one bin. It
        has no unit, as the divergence has none; published presets weigh it with the level. 0 explains leaks by powers.
    steps : int
        On the powers in each frame, if causal.
    memory_s : float
        Seconds that leaks are learnt from, if causal.

    References
    ----------
    Di Carlo, Déguernel, Liutkus, "Gaussian framework for interference reduction in live recordings", AES Semantic
    Audio 2017: alpha = 2, beta = 0 (Itakura-Saito), multiplicative updates. Their equalisation of gains scales signals
    but not the model and changes nothing: left out.
    """

    window: int = _DEFAULTS["window"]
    overlap: int = _DEFAULTS["overlap"]
    causal: bool = _DEFAULTS["causal"]
    iterations: int = _DEFAULTS["iterations"]
    first_leak: float = _DEFAULTS["first_leak"]
    sparsity: float = _DEFAULTS["sparsity"]
    steps: int = _DEFAULTS["steps"]
    memory_s: float = _DEFAULTS["memory_s"]
    _follower: Follower = field(default_factory=Follower, init=False, repr=False)

    def fit(self, excerpt: Passage) -> None:
        """Learn nothing: every passage has its own model."""
        demand("mira", excerpt, self.window, self.overlap)

    def separate(self, passage: Passage) -> dict[str, Audio]:
        """See `Separator.separate`; one part for each microphone, its own source as it hears it."""
        spectrum = Spectrum(self.window, self.window // self.overlap, live=self.causal)
        if self.causal:
            tracking = Tracking("mira", self.steps, self.memory_s, self.first_leak, self.sparsity)
            return by_name(self._follower.clean(tracking, spectrum, passage), passage.names)
        fit = Fit("mira", self.iterations, 1, self.first_leak, self.sparsity)
        images = fit.clean(spectrum, passage.sound, own_mics(len(passage.sound)))
        return dict(zip(passage.names, images, strict=True))


class MiraLive(PowerModel, Masking):
    """The same in the stream: leaks are learnt while it runs, powers found in each frame; no look-ahead.

    Parameters
    ----------
    name : str
    analysis, synthesis, hop
        As in `Masking`.
    first_leak, sparsity, steps, memory_s
        As in `Mira`.
    """

    stage = "mira"

    def configure(self, first_leak: float, sparsity: float, steps: int, memory_s: float) -> None:
        """See `Masking.configure`."""
        self._tracking = Tracking("mira", steps, memory_s, first_leak, sparsity)
