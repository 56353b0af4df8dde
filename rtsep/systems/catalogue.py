"""Every system of separation: what it is for, what it needs, where its class is. Light to import.

A new system is one file, one entry here, and one line in `rtsep.bench.systems`.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

from rtsep.params import Option


@dataclass(frozen=True)
class System:
    """What a user may know and set of a system without running it.

    Parameters
    ----------
    name : str
        As `rtsep separate --method` takes it.
    section : str
        Of SYSTEMS.md.
    task : str
        What it separates.
    inputs : str
        What it needs.
    live : str
        Stage that runs it live (`rtsep.stages.catalogue`); empty: offline only.
    role : str
        What is done when, in the stream; or why it is offline.
    source : str
        Publication.
    module, cls : str
        Where its `Separator` is.
    options : tuple of Option
    """

    name: str
    section: str
    task: str
    inputs: str
    live: str
    role: str
    source: str
    module: str
    cls: str
    options: tuple[Option, ...]


_WINDOW = Option("window", int, 2048, "Window of the spectrum, samples.", 64, 65536, 8)
_CAUSAL = Option("causal", bool, False, "Look at the past only, as the live stage does.")

# --- unmixing matrices (sections 1.2 to 1.4, 2.1) --------------------------------------------------------------------
_RAJESH = "Rajesh, Rajan, WASPAA 2023"
_MATRICES: tuple[System, ...] = (
    System(
        "altmin", "1.2", "bleed that is gains only, with a clean mix as the last channel (or another)",
        "two mics or more, and a clean mix", "altmin",
        "products of the channels that are forgotten; solved anew every half second; no latency",
        f"{_RAJESH}, Algorithm 1", "rtsep.systems.altmin", "Altmin",
        (
            Option("mix", int, 0, "Channel of the clean mix, from 1; 0 is the last.", 0, 64),
            Option("form", str, "gram", "Work on products of the channels, or on all samples.",
                   choices=("gram", "full")),
            Option("learn", bool, False, "Learn the gains in the mix too; else all are 1."),
            Option("low", float, 0.001, "Least gain beside the diagonal.", 0.0, 1.0),
            Option("high", float, 0.5, "Largest gain beside the diagonal.", 0.0, 1.0),
            Option("tolerance", float, 1e-7, "Ends when the cost moves by a smaller share of it.", 0.0, 1.0),
            Option("iterations", int, 1000, "Most iterations.", 1, 100000),
            _CAUSAL,
            Option("memory_s", float, 10.0, "With causal, time constant of forgetting.", 0.1, 600.0),
            Option("every_s", float, 0.5, "With causal, time between two solutions.", 0.01, 60.0),
        ),
    ),
    System(
        "demix", "1.3", "bleed that is gains only, and known", "as many mics as the matrix has rows", "matrix",
        "a matrix applied to each sample; no latency", _RAJESH, "rtsep.systems.demix", "Demix",
        (
            Option("mixing", str, "", "Rows of gains, mics by sources, as \"1 0.1; 0.1 1\", or a text file of them."),
            Option("max_condition", float, 20.0, "A matrix worse conditioned is refused.", 1.0, 1e6),
            Option("regularisation", float, 0.0, "Share of the mean of Λ'Λ's diagonal that is added to it.", 0.0, 1.0),
        ),
    ),
    System(
        "ratio", "1.4", "bleed that is gains only, found to a thousandth", "two mics or more", "",
        "offline: the modes come from all spectra at once; its first step, FastICA, runs live as `fastica`",
        "SYSTEMS.md 1.4; Jourjine, Rickard, Yılmaz, ICASSP 2000", "rtsep.systems.ratio", "Ratio",
        (
            _WINDOW,
            Option("reach", float, 0.08, "How far from FastICA's gain the mode is looked for.", 0.001, 1.0),
            Option("width", float, 0.004, "Half width of the kernel.", 0.001, 0.1),
            Option("clearer", float, 1.5, "How much higher than the second the mode must be.", 1.0, 100.0),
        ),
    ),
    System(
        "fastica", "2.1", "bleed that is gains only, unknown", "two mics or more", "fastica",
        "each window of 4 s worked on during the next one, from where the last ended; no latency",
        "Hyvärinen, IEEE Trans. Neural Networks 10, 1999", "rtsep.systems.fastica", "Fastica",
        (
            Option("iterations", int, 500, "Most iterations.", 1, 100000),
            Option("tolerance", float, 1e-5, "Turn of the rows that ends it.", 0.0, 1.0),
            Option("samples", int, 250000, "Samples that are looked at, spread evenly.", 100, 10000000),
            _CAUSAL,
            Option("window_s", float, 4.0, "With causal, sound that is learnt from at once.", 0.05, 60.0),
            Option("kept", int, 16384, "With causal, samples of it that are looked at.", 64, 1 << 18),
            Option("steps", int, 10, "With causal, most steps of the fixed point for each window.", 1, 50),
        ),
    ),
    System(
        "auxiva", "beyond", "bleed between a few mics in a room", "two mics or more, as many as sources", "auxiva",
        "one update of every bin's matrix a frame; no look-ahead",
        "Ono, WASPAA 2011; Taniguchi et al., HSCMA 2014; Scheibler, Ono, ICASSP 2020",
        "rtsep.systems.auxiva", "Auxiva",
        (
            Option("window", int, 4096, "Window of the spectrum, samples.", 64, 65536, 8),
            Option("iterations", int, 30, "Iterations over the recording.", 1, 1000),
            _CAUSAL,
            Option("memory_s", float, 3.0, "With causal, time constant of forgetting.", 0.2, 60.0),
        ),
    ),
)

# --- bleed (section 1) -----------------------------------------------------------------------------------------------
_SPARSE = (
    Option("iterations", int, 6, "Rounds of powers, then leaks; not if causal.", 1, 1000),
    Option("first_leak", float, 0.5, "Leak between two mics to begin with, a power ratio.", 1e-4, 1.0),
    Option("sparsity", float, 100.0, "How few sources are expected to share a bin.", 0.0, 1e6),
    Option("steps", int, 3, "Steps on the powers in each frame, if causal.", 1, 6),
)
_OVERLAP = Option("overlap", int, 4, "Frames to a window.", 2, 32)
_MEMORY = Option("memory_s", float, 10.0, "Seconds that leaks are learnt from, if causal.", 0.1, 600.0)
_MICS = "one close microphone for each source, two at least"

_BLEED: tuple[System, ...] = (
    System(
        "kamir", "1.5", "each source's image in its close microphones: bleed taken out by Wiener gains",
        "two microphones at least, close ones for each source", "kamir",
        "leaks learnt over seconds, powers and gains per frame; no look-ahead",
        "Prätzlich, Bittner, Liutkus, Müller, ICASSP 2015", "rtsep.systems.kamir", "Kamir",
        (
            dataclasses.replace(_WINDOW, default=8192), dataclasses.replace(_OVERLAP, default=8), _CAUSAL,
            Option("close", str, "", "Close mics of each source, as 1,2;3 for two; empty: mic n of source n."),
            Option("iterations", int, 5, "Rounds of powers, then leaks; not if causal.", 1, 100),
            Option("leak_updates", int, 1, "Steps on the leaks in each round; not if causal.", 1, 10),
            Option("first_leak", float, 0.8, "Leak between two mics to begin with, a power ratio.", 1e-4, 1.0),
            Option("least_leak", float, 0.05, "Least leak ever.", 1e-6, 1.0),
            Option("normalise", bool, True, "Let the leaks into each mic sum to 1."),
            Option("kernel", int, 1, "Frames of the median over a source's power, odd. Not if causal.", 1, 999),
            Option("form", str, "iterated", "Learn leaks, or one pass with those to begin with.",
                   choices=("iterated", "logistic")),
            Option("steps", int, 1, "Steps on the powers in each frame, if causal.", 1, 6),
            _MEMORY,
        ),
    ),
    System(
        "mira", "1.6", "each source's image in its own microphone: bleed taken out by Wiener gains",
        _MICS, "mira", "leaks learnt over seconds, powers and gains per frame; no look-ahead",
        "Di Carlo, Déguernel, Liutkus, AES Semantic Audio 2017", "rtsep.systems.mira", "Mira",
        (
            dataclasses.replace(_WINDOW, default=4096), _OVERLAP, _CAUSAL, *_SPARSE, _MEMORY,
        ),
    ),
    System(
        "fastmira", "1.7", "as mira, with leaks from a small sample of the recording",
        _MICS, "fastmira", "leaks from a reservoir of past frames, fitted a few at a time; powers and gains per frame",
        "Di Carlo, Liutkus, Déguernel, ICASSP 2018", "rtsep.systems.fastmira", "FastMira",
        (
            dataclasses.replace(_WINDOW, default=4096), _OVERLAP, _CAUSAL, *_SPARSE,
            Option("sketch", str, "frames", "Frames chosen at random, or random sums of all as published.",
                   choices=("frames", "projection")),
            Option("frames", int, 512, "Size of the sketch.", 16, 4096),
            Option("share", int, 4, "Frames of the sketch that each frame goes over, if causal.", 1, 64),
            Option("seed", int, 0, "Of what is chosen at random; not if causal.", 0, 2**31),
            dataclasses.replace(_MEMORY, default=30.0, high=3600.0),
        ),
    ),
    System(
        "postfilter", "1.12", "bleed that a linear or unsuited cleaner has left in each microphone",
        "pairs of a mic and its cleaned one, two at least; or mics and `cleaned`", "postfilter",
        "gains per frame for every second channel, from it and the one before it; no look-ahead",
        "Rajesh, Rajan, WASPAA 2023", "rtsep.systems.postfilter", "PostFilter",
        (
            _WINDOW, _OVERLAP, _CAUSAL,
            Option("cleaned", str, "", "File, folder or system with the cleaned mics; empty: every second channel."),
            Option("strength", float, 0.2, "How much of the neighbours is taken away.", 0.0, 4.0),
            Option("floor", float, 0.1, "Least gain beside the bleedy mic.", 0.0, 1.0),
            Option("smooth_ms", float, 20.0, "Time constant of the gain.", 0.0, 500.0),
        ),
    ),
)

# --- spatial (section 2) ---------------------------------------------------------------------------------------------
_LONG_WINDOW = Option("window", int, 4096, "Window of the spectrum, samples.", 64, 65536, 8)
_SOURCES = Option("sources", int, 3, "How many sources.", 2, 8)


def _memory(seconds: float) -> Option:
    """Return the option that says how long a system remembers."""
    return Option("memory_s", float, seconds, "With causal: time after which what was learnt counts 1/e.", 0.1, 1000.0)


_SPATIAL: tuple[System, ...] = (
    System(
        "duet", "2.2", "sources with different pans, or delays between two mics close together", "two channels",
        "duet", "histogram with forgetting, a binary mask in every frame", "Rickard 2007", "rtsep.systems.duet",
        "Duet",
        (
            _LONG_WINDOW, _CAUSAL, _SOURCES,
            Option("max_delay", float, 3.0, "Largest delay between the channels, samples; 0: pans only.", 0.0, 100.0),
            Option("exponent", float, 1.0, "Power of a bin's level in the histogram; less if one source is loudest.",
                   0.0, 2.0),
            _memory(10.0),
        ),
    ),
    System(
        "adress", "2.3", "what is at one place between two channels, and the rest", "two channels, panned by level",
        "adress", "every frame by itself; azimuth and width are turned live", "Barry, Lawlor, Coyle, DAFx 2004",
        "rtsep.systems.adress", "Adress",
        (
            _LONG_WINDOW, _CAUSAL,
            Option("azimuths", str, "45", "Pan of each source, degrees from 0 (left) to 90, separated by commas."),
            Option("width", float, 0.2, "How far around an azimuth counts; 1 is from a side to the centre.", 0.0, 2.0),
            Option("steps", int, 100, "Gains that are tried on each side.", 4, 10000),
        ),
    ),
    System(
        "projet", "2.4", "sources with different pans (offline: or delays) that overlap", "two channels", "projet",
        "where sources are is learnt slowly, how loud in every frame; pans only",
        "FitzGerald, Liutkus, Badeau, IEEE/ACM TASLP 2016", "rtsep.systems.projet", "Projet",
        (
            _LONG_WINDOW, _CAUSAL, _SOURCES,
            Option("iterations", int, 50, "Updates, both while learning and in every bin.", 1, 1000),
            Option("max_delay", float, 0.0, "Largest delay between the channels, samples; 0: pans only.", 0.0, 100.0),
            Option("updates", int, 3, "With causal: updates in a frame.", 1, 20), _memory(3.0),
        ),
    ),
)

# --- masks and kernels (section 3) -----------------------------------------------------------------------------------
_PERIODS = (
    Option("shortest_s", float, 0.8, "Shortest period, seconds.", 0.05, 60.0),
    Option("longest_s", float, 8.0, "Longest period, seconds.", 0.05, 60.0),
)
_BACKGROUND = Option("background_hz", float, 100.0, "Everything below is background.", 0.0, 24000.0)
_PITCHES = (
    Option("fmin", float, 98.0, "Lowest pitch, Hz; two periods must fit into the window.", 20.0, 2000.0),
    Option("fmax", float, 400.0, "Highest pitch, Hz.", 30.0, 4000.0),
    Option("threshold", float, 0.15, "The first dip of the difference below it is the period.", 0.0, 1.0),
)
_KERNELS: tuple[System, ...] = (
    System(
        "hpss", "3.2", "sustained (harmonic) and struck (percussive) sounds, and what is neither",
        "any number of channels", "hpss", "medians of past frames and of the frame's bins; no look-ahead",
        "FitzGerald, DAFx 2010; Driedger, Müller, Disch, ISMIR 2014", "rtsep.systems.hpss", "Hpss",
        (
            _WINDOW, _CAUSAL,
            Option("harmonic_ms", float, 200.0, "Length of the median over time.", 1.0, 5000.0),
            Option("percussive_hz", float, 500.0, "Length of the median over frequency.", 10.0, 10000.0),
            Option("margin", float, 1.0, "Above 1 only what is so many times clearer counts; the rest is residual.",
                   1.0, 100.0),
            Option("mask", str, "soft", "Shares or all-or-nothing; a margin above 1 is always the latter.",
                   choices=("soft", "binary")),
        ),
    ),
    System(
        "masks", "3.1", "what each mic hears louder than the others; true sources as a yardstick",
        "two mics or more, or one and its true sources", "masks", "a share of every bin, frame by frame; no look-ahead",
        "Liutkus, Badeau, ICASSP 2015; Duong, Vincent, Gribonval, IEEE TASLP 2010", "rtsep.systems.masks", "Masks",
        (
            _WINDOW, _CAUSAL,
            Option("mask", str, "wiener", "Who gets a bin: all, or shares by |X|, |X|² or |X|^alpha; or by place.",
                   choices=("binary", "soft", "wiener", "alpha", "multichannel")),
            Option("alpha", float, 1.2, "Exponent of alpha.", 0.1, 4.0),
            Option("iterations", int, 1, "Of multichannel.", 1, 100),
            Option("logit", bool, False, "Push masks towards 0 and 1."),
            Option("sources", str, "", "File or folder with the true sources; empty: the mics are their own sources."),
        ),
    ),
    System(
        "repet", "3.3", "what repeats with one period (background), and what is in front of it",
        "any number of channels, three periods or more", "", "offline: the period and all its repetitions are needed",
        "Rafii, Pardo, IEEE TASLP 2013", "rtsep.systems.repet", "Repet",
        (
            _WINDOW,
            Option("period_s", float, 0.0, "Seconds after which the background repeats; 0: found.", 0.0, 60.0),
            *_PERIODS, _BACKGROUND,
        ),
    ),
    System(
        "repet-adaptive", "3.3", "what repeats with a changing period, and what is in front of it",
        "any number of channels, three periods or more", "", "offline: half of the repetitions are in the future",
        "Liutkus et al., ICASSP 2012", "rtsep.systems.repet", "AdaptiveRepet",
        (
            _WINDOW, *_PERIODS, _BACKGROUND,
            Option("stretch_s", float, 10.0, "Length in which a period is found.", 1.0, 60.0),
            Option("step_s", float, 5.0, "From one such stretch to the next.", 0.1, 60.0),
            Option("order", int, 5, "How many repetitions the median is taken of.", 1, 99),
        ),
    ),
    System(
        "repet-sim", "3.3", "what repeats without a period, and what is in front of it",
        "any number of channels", "repet_sim", "similar frames of the last 10 s; no look-ahead",
        "Rafii, Pardo, ISMIR 2012, ICASSP 2013", "rtsep.systems.repet_sim", "RepetSim",
        (
            _WINDOW, _CAUSAL,
            Option("similar", int, 100, "Of so many frames the median is taken, at most.", 1, 1000),
            Option("apart_s", float, 1.0, "Seconds between two of them, at least.", 0.0, 30.0),
            Option("threshold", float, 0.0, "Similarity above which a frame is similar.", 0.0, 1.0),
            Option("buffer_s", float, 10.0, "How far back, if causal.", 0.1, 30.0),
            _BACKGROUND,
        ),
    ),
    System(
        "kam", "3.4", "sustained, struck, repeating and voice-like sounds, by kernels",
        "any number of channels", "kam", "past frames and the frame's bins; no look-ahead",
        "Liutkus, FitzGerald, Rafii, Pardo, Daudet, IEEE TSP 2014", "rtsep.systems.kam", "Kam",
        (
            _WINDOW, _CAUSAL,
            Option("kernels", str, "horizontal,vertical", "Of horizontal, vertical, periodic, cross: one source each."),
            Option("iterations", int, 2, "How often sources are filtered and shared out anew.", 1, 20),
            Option("harmonic_ms", float, 200.0, "Length of the horizontal kernel.", 1.0, 5000.0),
            Option("percussive_hz", float, 500.0, "Length of the vertical kernel.", 10.0, 10000.0),
            Option("period_s", float, 0.0, "Of the periodic kernel; 0: found.", 0.0, 60.0),
            Option("cross_ms", float, 60.0, "Length of the cross.", 1.0, 1000.0),
            Option("cross_hz", float, 60.0, "Height of the cross.", 1.0, 5000.0),
        ),
    ),
    System(
        "yin", "3.5", "a leading voice by its pitch, and the rest",
        "any number of channels", "yin", "the pitch of each frame; latency of the window, which holds two periods",
        "de Cheveigné, Kawahara, JASA 2002", "rtsep.systems.yin", "Yin",
        (
            _WINDOW, _CAUSAL, *_PITCHES,
            Option("voiced", float, 0.8, "A frame whose deepest dip is above it has no pitch.", 0.0, 2.0),
            Option("width_hz", float, 25.0, "Half the width of a harmonic.", 1.0, 500.0),
            Option("model", str, "mask", "Voice as bins of the mixture, or as sinusoids made anew.",
                   choices=("mask", "sinusoids")),
        ),
    ),
    System(
        "cascade", "4.7", "a singing voice: its tone, its unsteady parts and its consonants; and the accompaniment",
        "any number of channels", "", "offline: four systems one after the other, each with its own window",
        "Driedger, Müller, ICASSP 2015", "rtsep.systems.cascade", "Cascade",
        (
            *_PITCHES,
            Option("width_hz", float, 25.0, "Half the width of a harmonic.", 1.0, 500.0),
            Option("rank", int, 10, "Templates of the voice, and of the rest, in the residual.", 1, 200),
            Option("iterations", int, 20, "Of the factorisation.", 1, 1000),
        ),
    ),
)

# --- factorisation (section 4) ---------------------------------------------------------------------------------------
_DIVERGENCE = Option("divergence", str, "kl", "What is minimised: squares, Kullback-Leibler or Itakura-Saito.",
                     choices=("euclidean", "kl", "is"))
_INFORMED = Option("iterations", int, 50, "Updates of templates and strengths.", 1, 1000)
_SCORE = Option("score", str, "", "A MIDI file.")
_ONSETS = Option("onsets", bool, True, "A second template for each pitch, for its attacks.")
_SAVE = Option("save", str, "", "File to write the learnt templates to, for the live stage nmf.")
_FACTORS: tuple[System, ...] = (
    System(
        "nmf", "4.1", "sounds that return with the same spectrum, learnt or from a file",
        "any number of channels; a file of templates, or sound to learn them from", "nmf",
        "templates known beforehand; their strengths in each frame by itself; no look-ahead",
        "Lee & Seung, NIPS 2000; Févotte & Idier, Neural Computation 2011", "rtsep.systems.nmf", "Nmf",
        (
            _WINDOW, _CAUSAL, _DIVERGENCE,
            Option("rank", int, 12, "How many templates are learnt.", 1, 200),
            Option("parts", int, 0, "How many groups they make; 0 = each is a part.", 0, 64),
            Option("iterations", int, 20, "Updates of the strengths in each frame.", 1, 1000),
            Option("templates", str, "", "A file of templates; combs: one for each semitone; empty: learn."),
            Option("split", int, 60, "MIDI pitch from which on combs are high.", 37, 84),
            _SAVE,
        ),
    ),
    System(
        "nmf-score", "4.2", "the tracks or pitches of a score", "any number of channels; a MIDI file that runs along",
        "", "offline: live it would need the score to follow the players; the templates it saves run in the stage nmf",
        "Ewert & Müller, ICASSP 2012", "rtsep.systems.nmf_score", "NmfScore",
        (
            _WINDOW, _DIVERGENCE, _INFORMED, _SCORE,
            Option("constrain", str, "both", "What the score limits.", choices=("both", "templates", "activations")),
            _ONSETS,
            Option("parts", str, "tracks", "What becomes a part.", choices=("tracks", "pitches")),
            _SAVE,
        ),
    ),
    System(
        "hands", "4.3", "the left and the right hand of a piano", "any number of channels; a MIDI file that runs along",
        "", "offline: live it would need the score to follow the player; the templates it saves run in the stage nmf",
        "Ewert & Müller, ICASSP 2012", "rtsep.systems.hands", "Hands",
        (
            _WINDOW, _DIVERGENCE, _INFORMED, _SCORE,
            Option("by", str, "auto", "How the hands are told: two tracks, two channels, or by pitch.",
                   choices=("auto", "track", "channel", "split")),
            Option("split", int, 60, "MIDI pitch from which on a note is the right hand's.", 0, 127),
            _ONSETS, _SAVE,
        ),
    ),
)

# --- templates in time (sections 4.4 to 4.6) -------------------------------------------------------------------------
_TEMPLATES: tuple[System, ...] = (
    System(
        "mosaic", "4.5", "the recording, played with the sounds of another one",
        "any number of channels; another recording as material", "",
        "offline: every frame of the material is a template, and its runs are found by looking ahead",
        "Driedger, Prätzlich, Müller, ISMIR 2015", "rtsep.systems.mosaic", "Mosaic",
        (
            Option("material", str, "", "Recording whose sounds are used, 30 s at most."), _WINDOW,
            Option("repetition", int, 3, "Frames within which one of the material is not used again.", 0, 100),
            Option("polyphony", int, 10, "Frames of the material that sound at once; 0 = any number.", 0, 1000),
            Option("continuity", int, 3, "Frames that follow each other as in the material.", 0, 100),
            Option("iterations", int, 20, "Updates.", 1, 1000),
            Option("griffin_lim", int, 0, "Rounds that make phases consistent.", 0, 1000),
        ),
    ),
    System(
        "nae", "4.4", "what was learnt: parts of an annotation, or as many components as asked for",
        "any number of channels; an annotation (MIDI or a table) makes it informed", "nae",
        "weights from a soundcheck; each frame is encoded by one product; no look-ahead",
        "Smaragdis, Venkataramani, ICASSP 2017; Ewert, Sandler, ICASSP 2017", "rtsep.systems.nae", "Nae",
        (
            _WINDOW, _CAUSAL,
            Option("parts", int, 4, "How many components, without an annotation.", 1, 16),
            Option("update", str, "multiplicative", "How it learns.", choices=("multiplicative", "gradient")),
            Option("iterations", int, 200, "Updates.", 1, 10000),
            Option("score", str, "", "What may sound when: a MIDI file or a .csv of start_s,end_s,part[,pitch]."),
            Option("templates", str, "", "Weights that were saved (.npz)."),
            Option("save", str, "", "Where the weights are written (.npz)."),
        ),
    ),
    System(
        "drums", "4.6", "kick, snare and hi-hat",
        "any number of channels, and an annotation of the hits or templates from a soundcheck", "drums",
        "templates from a soundcheck; hits of the last frames found anew at every frame; no look-ahead",
        "Dittmar, Müller, IEEE/ACM TASLP 2016", "rtsep.systems.drums", "Drums",
        (
            _WINDOW, Option("hop", int, 512, "Samples between two frames.", 32, 32768, 8), _CAUSAL,
            Option("score", str, "", "When each drum is hit: a MIDI file or a .csv of time_s,drum."),
            Option("templates", str, "", "What was saved at a soundcheck (.npz)."),
            Option("save", str, "", "Where the templates of the first minute are written (.npz)."),
            Option("frames", int, 8, "Length of a template, frames.", 1, 64),
            Option("iterations", int, 30, "Updates.", 1, 1000),
        ),
    ),
)

SYSTEMS = {system.name: system for system in (
    *_MATRICES, *_BLEED, *_SPATIAL, *_KERNELS, *_FACTORS, *_TEMPLATES,
)}


def latency_ms(system: System) -> float | None:
    """Return what a system's live stage adds at 48 kHz with its default options, in ms; None for an offline one."""
    if not system.live:
        return None
    from rtsep.stages.catalogue import STAGES

    options = {option.name: option.default for option in STAGES[system.live].options}
    return (options["synthesis"] + options["hop"] - 64) / 48 if "synthesis" in options else 0.0
