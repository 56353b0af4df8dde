"""Every stage's name, options and parameters. Light to import: presets are checked without compiling anything.

A new stage is one file, one entry here and one line in the contract test.
"""

from __future__ import annotations

from dataclasses import dataclass

from rtsep.params import Option, Param


@dataclass(frozen=True)
class StageSpec:
    """What a preset may say of a stage, and where its class is."""

    name: str
    module: str
    cls: str
    options: tuple[Option, ...]
    params: tuple[Param, ...]
    help: str


# What every system of separation has in the stream (`rtsep.stages.masking`).
_FRAMES = (
    Option("analysis", int, 2048, "Analysis window, samples.", 128, 8192, 64),
    Option("synthesis", int, 2048, "Synthesis window, samples: most of the latency.", 128, 8192, 64),
    Option("hop", int, 256, "Samples between two frames.", 64, 4096, 64),
)
# Those that tell sources by their place want more frequencies; the latency is the same.
_LONG_FRAMES = (
    Option("analysis", int, 4096, "Analysis window, samples.", 128, 8192, 64), *_FRAMES[1:],
)
_SOURCES = Option("sources", int, 3, "How many sources.", 2, 8)
_RANGE = (
    Param("range_db", "dB", -120.0, 0.0, -40.0, True, "The most that is ever taken away."),
    Param("attack_ms", "ms", 0.0, 500.0, 0.0, False, "Time for a gain to open."),
    Param("release_ms", "ms", 0.0, 2000.0, 0.0, False, "Time for a gain to close."),
)

# What the stages have that learn a matrix of gains (`rtsep.stages.mix`).
_NEW_MATRIX = (
    Option("ramp_ms", float, 40.0, "Time to move to a new matrix.", 20.0, 1000.0),
    Option("max_condition", float, 20.0, "A mixing matrix worse conditioned is not taken.", 1.0, 1000.0),
)
_ADAPT = Param("adapt", "on", 0.0, 1.0, 1.0, False, "Learn while running; 0 keeps what is known.")


def _keep(*parts: str) -> Param:
    """Return the parameter that chooses which part of a mic is heard."""
    told = ", ".join(f"{n} {part}" for n, part in enumerate(parts))
    return Param("keep", "", 0.0, len(parts) - 1.0, 0.0, True, f"Which part is heard: {told}.")


_FROM_LEFT = Param("keep", "", 0.0, 7.0, 0.0, True, "Which source is heard, counted from the left and from 0.")

STAGES = {
    spec.name: spec
    for spec in (
        StageSpec(
            "input", "rtsep.stages.mix", "Input",
            (Option("max_delay_ms", float, 50.0, "Longest alignment delay.", 0.0, 500.0),),
            (
                Param("gain_db", "dB", -60.0, 24.0, 0.0, True, "Trim before everything."),
                Param("invert", "on", 0.0, 1.0, 0.0, True, "Turn the polarity."),
                Param("delay_ms", "ms", 0.0, 500.0, 0.0, True, "Alignment delay, beside the chain's latency."),
            ),
            "gain, polarity and alignment delay of each microphone",
        ),
        StageSpec(
            "matrix", "rtsep.stages.mix", "Matrix",
            (
                Option("mixing", list, [], "How much of each source (column) is in each mic (row); [] = nothing."),
                Option("ramp_ms", float, 40.0, "Time to move to a new matrix.", 1.0, 1000.0),
                Option("max_condition", float, 20.0, "A mixing matrix worse conditioned is refused.", 1.0, 1000.0),
            ),
            (),
            "undoes an instantaneous mixture with the pseudo-inverse of the mixing matrix",
        ),
        StageSpec(
            "canceller", "rtsep.stages.canceller", "Canceller",
            (
                Option("taps", int, 16384, "Length of each path, samples.", 1024, 24576, 512),
                Option("refine", int, 35000, "Thousands of operations per 512 samples for refining paths; 0 = none.",
                       0, 100000),
                Option("pairs", int, 240, "Most pairs of mics at a time; of more, those that bleed most are chosen.",
                       1, 4032),
            ),
            (
                Param("adapt", "on", 0.0, 1.0, 1.0, False, "Learn while running; 0 freezes what is known."),
                Param("amount", "", 0.0, 1.0, 1.0, True, "How much of the estimated bleed is taken away."),
            ),
            "subtracts what the other microphones' sources make of themselves in each microphone; no latency",
        ),
        StageSpec(
            "spectral", "rtsep.stages.spectral", "Spectral",
            (
                Option("analysis", int, 1024, "Analysis window, samples.", 128, 8192, 64),
                Option("synthesis", int, 512, "Synthesis window, samples: most of the latency.", 128, 8192, 64),
                Option("hop", int, 128, "Samples between two frames.", 64, 4096, 64),
                Option("estimator", str, "residual", "Who decides the gains.", choices=("residual", "unity")),
            ),
            (
                Param("range_db", "dB", -60.0, 0.0, -18.0, True, "The most that is ever taken away."),
                Param("strength", "", 0.0, 4.0, 1.0, False, "How much the estimated bleed is multiplied by."),
                Param("attack_ms", "ms", 0.0, 500.0, 0.0, False, "Time for a gain to open."),
                Param("release_ms", "ms", 0.0, 2000.0, 20.0, False, "Time for a gain to close."),
            ),
            "short-time spectrum, a gain in every bin, overlap-add",
        ),
        StageSpec(
            "remote", "rtsep.stages.remote", "Remote",
            (
                Option("worker", str, "rtsep.workers.copy:Copy", "Who does the work, as module:factory."),
                Option("unit", int, 64, "Samples that the worker takes at a time.", 64, 16384, 64),
                Option("delay", int, 512, "Latency, samples; the worker has this less one unit.", 128, 131072, 64),
            ),
            (),
            "has a worker in another process do the work; dry whenever that is late or fails",
        ),
        # matrices
        StageSpec(
            "altmin", "rtsep.systems.altmin", "AltminLive",
            (
                Option("mix", int, 0, "Channel of the clean mix, from 1; 0 is the last.", 0, 64),
                Option("learn", bool, False, "Learn the gains in the mix too; else all are 1."),
                Option("low", float, 0.001, "Least gain beside the diagonal.", 0.0, 1.0),
                Option("high", float, 0.5, "Largest gain beside the diagonal.", 0.0, 1.0),
                Option("tolerance", float, 1e-7, "Ends when the cost moves by a smaller share of it.", 0.0, 1.0),
                Option("iterations", int, 1000, "Most iterations.", 1, 100000),
                Option("memory_s", float, 10.0, "Time constant of forgetting.", 0.1, 600.0),
                Option("every_s", float, 0.5, "Time between two solutions.", 0.01, 60.0),
                *_NEW_MATRIX,
            ),
            (_ADAPT,),
            "learns the gains of bleed from a clean mix on one of the channels, and undoes them; no latency",
        ),
        StageSpec(
            "fastica", "rtsep.systems.fastica", "FasticaLive",
            (
                Option("window_s", float, 4.0, "Sound that is learnt from at once.", 0.05, 60.0),
                Option("kept", int, 16384, "Samples of it that are looked at.", 64, 1 << 18),
                Option("steps", int, 10, "Most steps of the fixed point for each window.", 1, 50),
                *_NEW_MATRIX,
            ),
            (_ADAPT,),
            "learns the gains of bleed from the independence of the sources, and undoes them; no latency",
        ),
        StageSpec(
            "auxiva", "rtsep.systems.auxiva", "AuxivaLive",
            (*_FRAMES, Option("memory_s", float, 3.0, "Time constant of forgetting.", 0.2, 60.0)),
            (_ADAPT,),
            "unmixes in every bin of a spectrum, for a few mics in a room",
        ),

        # bleed
        StageSpec(
            "kamir", "rtsep.systems.kamir", "KamirLive",
            (
                *_FRAMES,
                Option("first_leak", float, 0.8, "Leak between two mics to begin with, a power ratio.", 1e-4, 1.0),
                Option("least_leak", float, 0.05, "Least leak ever.", 1e-6, 1.0),
                Option("normalise", bool, True, "Let the leaks into each mic sum to 1."),
                Option("form", str, "iterated", "Learn leaks, or one pass with those to begin with.",
                       choices=("iterated", "logistic")),
                Option("steps", int, 1, "Steps on the powers in each frame.", 1, 6),
                Option("memory_s", float, 10.0, "Seconds that leaks are learnt from.", 0.1, 600.0),
            ),
            _RANGE,
            "Wiener gains from leaks learnt as it runs, by what is left of each source in its own mic",
        ),
        StageSpec(
            "mira", "rtsep.systems.mira", "MiraLive",
            (
                *_FRAMES,
                Option("first_leak", float, 0.5, "Leak between two mics to begin with, a power ratio.", 1e-4, 1.0),
                Option("sparsity", float, 40.0, "How few sources are expected to share a bin.", 0.0, 1e6),
                Option("steps", int, 3, "Steps on the powers in each frame.", 1, 6),
                Option("memory_s", float, 10.0, "Seconds that leaks are learnt from.", 0.1, 600.0),
            ),
            _RANGE,
            "Wiener gains from one model of the powers in all mics, learnt as it runs",
        ),
        StageSpec(
            "fastmira", "rtsep.systems.fastmira", "FastMiraLive",
            (
                *_FRAMES,
                Option("first_leak", float, 0.5, "Leak between two mics to begin with, a power ratio.", 1e-4, 1.0),
                Option("sparsity", float, 40.0, "How few sources are expected to share a bin.", 0.0, 1e6),
                Option("steps", int, 3, "Steps on the powers in each frame.", 1, 6),
                Option("frames", int, 512, "Frames kept, from which leaks are learnt.", 16, 4096),
                Option("share", int, 4, "How many of them each frame goes over.", 1, 64),
                Option("memory_s", float, 30.0, "Seconds that the frames are taken from.", 0.1, 3600.0),
            ),
            _RANGE,
            "as mira, with leaks from a sample of past frames, fitted again and again",
        ),
        StageSpec(
            "postfilter", "rtsep.systems.postfilter", "PostFilterLive",
            (
                *_FRAMES,
                Option("strength", float, 0.2, "How much of the neighbours is taken away.", 0.0, 4.0),
                Option("floor", float, 0.1, "Least gain beside the bleedy mic.", 0.0, 1.0),
                Option("smooth_ms", float, 20.0, "Time constant of the gain.", 0.0, 500.0),
            ),
            _RANGE,
            "takes what is left out of every second channel, the cleaned one of the channel before it",
        ),

        # spatial
        StageSpec(
            "duet", "rtsep.systems.duet", "DuetLive",
            (
                *_LONG_FRAMES, _SOURCES,
                Option("max_delay", float, 3.0, "Largest delay between two channels, samples; 0: pans only.",
                       0.0, 100.0),
                Option("exponent", float, 1.0, "Power of a bin's level in the histogram.", 0.0, 2.0),
                Option("memory_s", float, 10.0, "Time after which what was learnt counts 1/e.", 0.1, 1000.0),
            ),
            (*_RANGE, _FROM_LEFT),
            "keeps one source of each pair of channels, by pan and delay",
        ),
        StageSpec(
            "adress", "rtsep.systems.adress", "AdressLive",
            (*_LONG_FRAMES, Option("steps", int, 100, "Gains that are tried on each side.", 4, 10000)),
            (
                *_RANGE, _keep("what is there", "the rest"),
                Param("azimuth", "", 0.0, 90.0, 45.0, True, "Pan that is meant, degrees: 0 left, 45 centre, 90 right."),
                Param("width", "", 0.0, 2.0, 0.2, True, "How far around counts; 1 is from a side to the centre."),
            ),
            "keeps, or takes out, what is at one place between the channels of each pair",
        ),
        StageSpec(
            "projet", "rtsep.systems.projet", "ProjetLive",
            (
                *_LONG_FRAMES, _SOURCES, Option("updates", int, 3, "Updates of the levels in a frame.", 1, 20),
                Option("memory_s", float, 3.0, "Time after which what was learnt counts 1/e.", 0.1, 1000.0),
            ),
            (*_RANGE, _FROM_LEFT),
            "keeps one source of each pair of channels, by pan; sources may overlap",
        ),

        # kernels
        StageSpec(
            "hpss", "rtsep.systems.hpss", "HpssLive",
            (
                *_FRAMES,
                Option("harmonic_ms", float, 200.0, "Length of the median over past frames.", 1.0, 1000.0),
                Option("percussive_hz", float, 500.0, "Length of the median over frequency.", 10.0, 10000.0),
                Option("margin", float, 1.0, "Above 1 only what is so many times clearer counts.", 1.0, 100.0),
                Option("mask", str, "soft", "Shares or all-or-nothing.", choices=("soft", "binary")),
            ),
            (*_RANGE, _keep("harmonic", "percussive", "residual")),
            "keeps the sustained or the struck sounds of each mic",
        ),
        StageSpec(
            "masks", "rtsep.systems.masks", "MasksLive",
            (
                *_FRAMES,
                Option("mask", str, "wiener", "Who gets a bin: all of it, or shares by |X|, |X|² or |X|^alpha.",
                       choices=("binary", "soft", "wiener", "alpha")),
                Option("alpha", float, 1.2, "Exponent of alpha.", 0.1, 4.0),
                Option("logit", bool, False, "Push masks towards 0 and 1."),
            ),
            _RANGE,
            "keeps in each mic what it hears louder than the others do",
        ),
        StageSpec(
            "repet_sim", "rtsep.systems.repet_sim", "RepetSimLive",
            (
                _FRAMES[0],
                Option("synthesis", int, 1024, "Synthesis window, samples: most of the latency.", 128, 8192, 64),
                Option("hop", int, 512, "Samples between two frames.", 64, 4096, 64),
                Option("similar", int, 100, "Of so many frames the median is taken, at most.", 1, 1000),
                Option("apart_s", float, 1.0, "Seconds between two of them, at least.", 0.0, 30.0),
                Option("threshold", float, 0.0, "Similarity above which a frame is similar.", 0.0, 1.0),
                Option("buffer_s", float, 10.0, "How far back similar frames are looked for.", 0.1, 30.0),
                Option("background_hz", float, 100.0, "Everything below is background.", 0.0, 24000.0),
            ),
            (*_RANGE, _keep("background", "foreground")),
            "keeps what repeats, or what does not, by similar frames of the last seconds",
        ),
        StageSpec(
            "kam", "rtsep.systems.kam", "KamLive",
            (
                *_FRAMES,
                Option("iterations", int, 2, "How often sources are filtered and shared out anew.", 1, 5),
                Option("harmonic_ms", float, 200.0, "Length of the horizontal kernel.", 1.0, 1000.0),
                Option("percussive_hz", float, 500.0, "Length of the vertical kernel.", 10.0, 10000.0),
            ),
            (*_RANGE, _keep("horizontal", "vertical")),
            "keeps the sustained or the struck sounds of each mic, fitted back several times",
        ),
        StageSpec(
            "yin", "rtsep.systems.yin", "YinLive",
            (
                *_FRAMES,
                Option("fmin", float, 98.0, "Lowest pitch, Hz; two periods must fit into the window.", 20.0, 2000.0),
                Option("fmax", float, 400.0, "Highest pitch, Hz.", 30.0, 4000.0),
                Option("threshold", float, 0.15, "The first dip of the difference below it is the period.", 0.0, 1.0),
                Option("voiced", float, 0.8, "A frame whose deepest dip is above it has no pitch.", 0.0, 2.0),
                Option("width_hz", float, 25.0, "Half the width of a harmonic.", 1.0, 500.0),
            ),
            (*_RANGE, _keep("voice", "rest")),
            "keeps the harmonics of each mic's pitch, or the rest",
        ),

        # factors
        StageSpec(
            "nmf", "rtsep.systems.nmf", "NmfLive",
            (
                *_FRAMES,
                Option("templates", str, "combs", "A file (.npz) of templates, or combs: one for each semitone."),
                Option("split", int, 60, "MIDI pitch from which on combs are high.", 37, 84),
                Option("iterations", int, 20, "Updates in each frame.", 1, 100),
            ),
            (*_RANGE, Param("keep", "", 0.0, 63.0, 0.0, True,
                            "Number of the part that is heard: of combs, 0 low and 1 high.")),
            "keeps one group of known spectra of each mic",
        ),

        # templates
        StageSpec(
            "nae", "rtsep.systems.nae", "NaeLive",
            (
                *_FRAMES,
                Option("templates", str, "", "What `rtsep separate --method nae` saved (.npz); none: made drums."),
            ),
            (*_RANGE, _keep(*(f"part {n}" for n in range(1, 17)))),
            "keeps one of the parts that an autoencoder has learnt",
        ),
        StageSpec(
            "drums", "rtsep.systems.drums", "DrumsLive",
            (
                *_FRAMES,
                Option("templates", str, "", "What `rtsep separate --method drums` saved (.npz); none: built-in ones."),
                Option("frames", int, 8, "Length of the built-in templates, frames.", 1, 64),
            ),
            (*_RANGE, _keep("kick", "snare", "hi-hat")),
            "keeps the kick, the snare or the hi-hat of each drum mic",
        ),

    )
}

# The engine's own stage behind every chain; it cannot be left out.
OUTPUT_PARAMS = (
    Param("gain_db", "dB", -60.0, 12.0, 0.0, True, "Level behind everything but the limiter."),
    Param("mute", "on", 0.0, 1.0, 0.0, True, "Silence."),
    Param("solo", "on", 0.0, 1.0, 0.0, True, "Silence every microphone without solo."),
    Param("dry", "on", 0.0, 1.0, 0.0, True, "The microphone as it came, as late as the cleaned one."),
    Param("dry_all", "on", 0.0, 1.0, 0.0, False, "All microphones dry."),
    Param("mute_all", "on", 0.0, 1.0, 0.0, False, "All microphones silent."),
)

# Most latency that a preset of each class may add, seconds.
CLASS_LIMITS = {"live": 0.0, "monitor": 0.003, "foh": 0.012, "record": 0.050}
