"""pedalboard's built-in effects that are of use on a mic: their parameters, as a table that loads nothing.

Names and defaults are pedalboard's own (`tests/test_plugins.py` compares them with the one installed); ranges are what
it accepts, or where it has no end, what consoles offer.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from rtsep.params import Param

LOWEST_HZ, HIGHEST_HZ = 10.0, 20000.0   # of filters; beyond nobody hears


def never_late(values: Mapping[str, float], rate: int) -> int:
    """Return the latency of what has none."""
    del values, rate
    return 0


@dataclass(frozen=True)
class Builtin:
    """A built-in effect.

    Parameters
    ----------
    name : str
        Its class in pedalboard.
    help : str
        One line.
    params : tuple of Param
        Named as its attributes.
    smooth : frozenset of str
        Parameters that it smooths itself, or that cannot be heard to jump: they are set at once. All others jump at the
        edge of a block, and are ramped.
    ducked : frozenset of str
        Parameters without a way from one value to another, or with which it begins anew: they are set while the dry
        input is heard.
    beside : float, optional
        Seconds that a second one with other values runs beside, before it takes over in a cross-fade; 0: what it gives
        depends on one sample of the input. None: values that are not `smooth` are ramped.
    alone : bool
        No second one runs beside it when places change: to make it takes as long as a unit lasts, and it would not have
        what is to be heard again.
    latency : callable
        From its values by name and the rate to samples.
    """

    name: str
    help: str
    params: tuple[Param, ...]
    smooth: frozenset[str] = frozenset()
    ducked: frozenset[str] = frozenset()
    beside: float | None = None
    alone: bool = False
    latency: Callable[[Mapping[str, float], int], int] = never_late


LEFT_OUT = {
    "PitchShift": "adds a second of latency",
    "MP3Compressor": "adds 75 ms of latency",
    "GSMFullRateCompressor": "adds 40 ms of latency",
    "Convolution": "needs a file of its own: use a plug-in for it",
}
"""Effects of pedalboard that are of no use live, and why."""


def _p(name: str, unit: str, low: float, high: float, default: float, told: str) -> Param:
    return Param(name, unit, low, high, default, False, told)


def _hz(name: str, default: float, told: str) -> Param:
    return _p(name, "Hz", LOWEST_HZ, HIGHEST_HZ, default, told)


def _dynamics(threshold: Param, ratio: float, most: float) -> tuple[Param, ...]:
    return (
        threshold, _p("ratio", "", 1.0, most, ratio, "How many dB at the input make one at the output."),
        _p("attack_ms", "ms", 0.1, 500.0, 1.0, "Time to react."),
        _p("release_ms", "ms", 1.0, 5000.0, 100.0, "Time to go back."),
    )


def _band(gain: str) -> tuple[Param, ...]:
    return (
        _hz("cutoff_frequency_hz", 440.0, "Where it works."), _p("gain_db", "dB", -30.0, 30.0, 0.0, gain),
        _p("q", "", 0.1, 30.0, 0.7071067690849304, "How narrow it is."),
    )


def _mix(default: float) -> Param:
    return _p("mix", "", 0.0, 1.0, default, "Share of the effect; 0 is the input.")


# A gate's gain falls by ratio - 1 dB for each dB of its threshold: no ramp is slow enough. 50 attacks of its default.
_SETTLED = 0.05

# JUCE's oversampling filters of the true-peak detector, 60 samples whatever the rate.
_TRUE_PEAK = 60


def _lookahead(values: Mapping[str, float], rate: int) -> int:
    """Return the latency of `BrickwallLimiter`, in float32 as it reckons."""
    import numpy as np

    samples = int(rate * float(np.float32(values["lookahead_ms"])) / 1000.0)
    return max(1, samples) + (_TRUE_PEAK if values["true_peak"] >= 0.5 else 0)


_TIMES = frozenset({"attack_ms", "release_ms"})
_MOVING = frozenset({"rate_hz", "depth", "feedback", "mix"})

# What jumps was measured: a sine of 1 kHz, what is above 8 kHz around a change at the edge of a block. Filters, Gain,
# thresholds and ratios, Delay and Distortion jump (peaks of -7 to -70 dBFS); JUCE smooths Reverb, LadderFilter and the
# movements of Chorus and Phaser; times are heard only in what follows.
_ALL = (
    Builtin("Gain", "makes it louder or softer", (_p("gain_db", "dB", -80.0, 30.0, 1.0, "By how much."),),
            beside=0.0),
    Builtin("Invert", "turns the polarity", (), beside=0.0),
    Builtin("HighpassFilter", "takes away what is low, 6 dB an octave",
            (_hz("cutoff_frequency_hz", 50.0, "Where it has taken away 3 dB."),)),
    Builtin("LowpassFilter", "takes away what is high, 6 dB an octave",
            (_hz("cutoff_frequency_hz", 50.0, "Where it has taken away 3 dB."),)),
    Builtin("LowShelfFilter", "turns what is low up or down", _band("By how much.")),
    Builtin("HighShelfFilter", "turns what is high up or down", _band("By how much.")),
    Builtin("PeakFilter", "turns a band up or down", _band("By how much.")),
    Builtin("LadderFilter", "a synthesizer's filter", (
        _p("mode", "", 0.0, 5.0, 0.0, "0 low-pass, 1 high-pass, 2 band-pass of 12 dB an octave, 3 to 5 of 24."),
        _hz("cutoff_hz", 200.0, "Where it works."), _p("resonance", "", 0.0, 1.0, 0.0, "How much it rings there."),
        _p("drive", "", 1.0, 10.0, 1.0, "How hard it is driven."),
    ), smooth=frozenset({"cutoff_hz", "resonance"}), ducked=frozenset({"mode"})),
    Builtin("Compressor", "makes what is loud softer; without make-up gain", _dynamics(
        _p("threshold_db", "dB", -80.0, 0.0, 0.0, "What is louder is made softer."), 1.0, 20.0), smooth=_TIMES),
    Builtin("NoiseGate", "makes what is soft softer", _dynamics(
        _p("threshold_db", "dB", -100.0, 0.0, -100.0, "What is softer is made softer."), 10.0, 100.0),
        smooth=_TIMES, beside=_SETTLED),
    Builtin("Limiter", "makes it as loud as can be, clipped at 0 dBFS: it is no ceiling", (
        _p("threshold_db", "dB", -40.0, 0.0, -10.0, "What is louder is held; all gets louder by as much."),
        _p("release_ms", "ms", 1.0, 5000.0, 100.0, "Time to go back."),
    ), smooth=frozenset({"release_ms"})),
    Builtin("BrickwallLimiter", "a ceiling; adds its look-ahead as latency", (
        _p("ceiling_db", "dB", -40.0, 0.0, -1.0, "Nothing gets louder."),
        _p("release_ms", "ms", 1.0, 5000.0, 100.0, "Time to go back."),
        _p("lookahead_ms", "ms", 0.1, 100.0, 5.0, "How early it knows of a peak: its latency."),
        _p("true_peak", "on", 0.0, 1.0, 0.0, "Reckon with peaks between samples."),
    ), smooth=frozenset({"ceiling_db", "release_ms"}), ducked=frozenset({"lookahead_ms", "true_peak"}),
       latency=_lookahead),
    Builtin("Delay", "an echo", (
        _p("delay_seconds", "s", 0.0, 5.0, 0.5, "How late the echo is."),
        _p("feedback", "", 0.0, 1.0, 0.0, "How much of it comes again."), _mix(0.5),
    ), ducked=frozenset({"delay_seconds"}), alone=True),   # its memory of 30 s takes 1 to 9 ms to make
    Builtin("Reverb", "a room", (
        _p("room_size", "", 0.0, 1.0, 0.5, "How large it is."), _p("damping", "", 0.0, 1.0, 0.5, "How dull."),
        _p("wet_level", "", 0.0, 1.0, 0.33, "How loud the room is."),
        _p("dry_level", "", 0.0, 1.0, 0.4, "How loud the input is; it is doubled."),
        _p("width", "", 0.0, 1.0, 1.0, "Of stereo; on one mic it only makes the room softer."),
        _p("freeze_mode", "on", 0.0, 1.0, 0.0, "Hold what sounds for ever."),
    ), smooth=frozenset({"room_size", "damping", "wet_level", "dry_level", "width", "freeze_mode"})),
    Builtin("Chorus", "several of the same, a little off", (
        _p("rate_hz", "Hz", 0.01, 50.0, 1.0, "How fast it moves."), _p("depth", "", 0.0, 1.0, 0.25, "How far."),
        _p("centre_delay_ms", "ms", 1.0, 50.0, 7.0, "Around which delay."),
        _p("feedback", "", -0.99, 0.99, 0.0, "How much comes again."), _mix(0.5),
    ), smooth=_MOVING, ducked=frozenset({"centre_delay_ms"})),
    Builtin("Phaser", "notches that move", (
        _p("rate_hz", "Hz", 0.01, 50.0, 1.0, "How fast they move."), _p("depth", "", 0.0, 1.0, 0.5, "How far."),
        _hz("centre_frequency_hz", 1300.0, "Around which frequency."),
        _p("feedback", "", -0.99, 0.99, 0.0, "How much comes again."), _mix(0.5),
    ), smooth=_MOVING),
    Builtin("Distortion", "drives it into saturation", (_p("drive_db", "dB", 0.0, 60.0, 25.0, "How hard."),),
            beside=0.0),
    Builtin("Clipping", "cuts off what is louder",
            (_p("threshold_db", "dB", -40.0, 0.0, -6.0, "Where it cuts."),), beside=0.0),
    Builtin("Bitcrush", "makes it coarse", (_p("bit_depth", "", 1.0, 32.0, 8.0, "Bits that are left."),),
            beside=0.0),
)

BUILTINS: dict[str, Builtin] = {one.name: one for one in _ALL}
"""By name."""
