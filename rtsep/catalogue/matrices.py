"""Systems that unmix with a matrix (SYSTEMS.md 1.2 to 1.4, 2.1), and AuxIVA, with one in every bin."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping
from typing import Any

from rtsep.catalogue.spec import (
    ADAPT,
    CAUSAL,
    FRAMES,
    PASSED_OVER,
    WINDOW,
    FrameSpec,
    Saving,
    StageSpec,
    both,
    causal,
    live,
    offline,
    system,
)  # fmt: skip
from rtsep.errors import InputError
from rtsep.params import Option

_RAJESH = "Rajesh, Rajan, WASPAA 2023"
_RAMP = Option("ramp_ms", float, 40.0, "Time to move to a new matrix.", 20.0, 1000.0)
MAX_CONDITION = 20.0
"""A worse conditioned mixing matrix amplifies noise more than it removes bleed."""
_NEW_MATRIX = live(
    _RAMP,
    Option("max_condition", float, MAX_CONDITION, "A mixing matrix worse conditioned is not taken.", 1.0, 1000.0),
)


class _AltminSpec(StageSpec):
    def check(self, options: Mapping[str, Any], written: Collection[str] = ()) -> dict[str, Any]:
        """See `StageSpec.check`: the bounds of the gains must be a range."""
        low, high = options["low"], options["high"]
        if low > high:
            blamed = "low" if "low" in written else "high"
            raise InputError(blamed, f"low {low:g} is above high {high:g}", "allowed is at most high")
        return dict(options)


class _MatrixSpec(StageSpec):
    def check(self, options: Mapping[str, Any], written: Collection[str] = ()) -> dict[str, Any]:
        """See `StageSpec.check`: the mixing matrix must be square, of finite numbers."""
        del written
        rows = options["mixing"]
        allowed = "allowed is [] or as many rows [a, b, …] as each row has numbers"
        for number, row in enumerate(rows, 1):
            if not isinstance(row, list):
                raise InputError("mixing", f"row {number} is not a list", allowed)
            if len(row) != len(rows):
                problem = f"row {number} has {len(row)} numbers, but there are {len(rows)} rows"
                raise InputError("mixing", problem, allowed)
            for value in row:
                if not _finite(value):
                    raise InputError("mixing", f"{value!r} in row {number} is not a finite number", allowed)
        return {**options, "mixing": [[float(value) for value in row] for row in rows]}


def _finite(value: object) -> bool:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    try:
        return math.isfinite(value)
    except OverflowError:   # an integer that no float can hold
        return False


MATRICES = (
    system(
        "altmin", "1.2", "bleed that is gains only, with a clean mix as the last channel (or another)",
        "two mics or more, and a clean mix",
        "products of the channels that are forgotten; solved anew every half second; no latency",
        f"{_RAJESH}, Algorithm 1", "rtsep.systems.altmin", "Altmin",
        (
            both(Option("mix", int, 0, "Channel of the clean mix, from 1; 0 is the last.", 0, 64)),
            offline(Option("form", str, "gram", "Work on products of the channels, or on all samples.",
                           choices=("gram", "full"))),
            both(Option("learn", bool, False, "Learn the gains in the mix too; else all are 1.")),
            both(Option("low", float, 0.001, "Least gain beside the diagonal.", 0.0, 1.0)),
            both(Option("high", float, 0.5, "Largest gain beside the diagonal.", 0.0, 1.0)),
            both(Option("tolerance", float, 1e-7, "Ends when the cost moves by a smaller share of it.", 0.0, 1.0)),
            both(Option("iterations", int, 1000, "Most iterations.", 1, 100000)),
            offline(CAUSAL),
            causal(Option("memory_s", float, 10.0, "Time constant of forgetting: what is older counts less and less.",
                          0.1, 600.0)),
            causal(Option("every_s", float, 0.5, "Time between two solutions.", 0.01, 60.0)),
            _NEW_MATRIX,
        ),
        _AltminSpec(
            "AltminLive",
            "learns the gains of bleed from a clean mix on one of the channels, and undoes them; no latency",
            (ADAPT,), learns="adapt", turned={"adapt": 1}, savings=(Saving("canceller", PASSED_OVER),),
            hint="Learns the gains of crosstalk from a clean mix on the last channel, and undoes it without latency.",
        ),
    ),
    system(
        "demix", "1.3", "bleed that is gains only, and known", "as many mics as the matrix has rows",
        "a matrix applied to each sample; no latency", _RAJESH, "rtsep.systems.demix", "Demix",
        (
            live(
                Option("mixing", list, [], "How much of each source (column) is in each mic (row); [] = nothing."),
                Option("ramp_ms", float, 40.0, "Time to move to a new matrix.", 1.0, 1000.0),
            ),
            offline(Option("mixing", str, "",
                           'Rows of gains, mics by sources, as "1 0.1; 0.1 1", or a text file of them.')),
            both(Option("max_condition", float, MAX_CONDITION, "A mixing matrix worse conditioned is refused.",
                        1.0, 1000.0), high=1e6),
            offline(Option("regularisation", float, 0.0, "Share of the mean of Λ'Λ's diagonal that is added to it.",
                           0.0, 1.0)),
        ),
        _MatrixSpec(
            "Matrix", "undoes an instantaneous mixture with the pseudo-inverse of the mixing matrix", name="matrix",
            module="rtsep.stages.unmix", turned={}, savings=(Saving("canceller", PASSED_OVER),),
            hint="Undoes crosstalk whose gains are known: write them into `mixing`, one row for each microphone; for "
                 "two mics that hear a tenth of each other: [[1, 0.1], [0.1, 1]].",
        ),
    ),
    system(
        "ratio", "1.4", "bleed that is gains only, found to a thousandth", "two mics or more",
        "offline: the modes come from all spectra at once; its first step, FastICA, runs live as `fastica`",
        "SYSTEMS.md 1.4; Jourjine, Rickard, Yılmaz, ICASSP 2000", "rtsep.systems.ratio", "Ratio",
        (offline(
            WINDOW,
            Option("reach", float, 0.08, "How far from FastICA's gain the mode is looked for.", 0.001, 1.0),
            Option("width", float, 0.004, "Half width of the kernel.", 0.001, 0.1),
            Option("clearer", float, 1.5, "How much higher than the second the mode must be.", 1.0, 100.0),
        ),),
        blind=True,
    ),
    system(
        "fastica", "2.1", "bleed that is gains only, unknown", "two mics or more",
        "each window of 4 s worked on during the next one, from where the last ended; no latency",
        "Hyvärinen, IEEE Trans. Neural Networks 10, 1999", "rtsep.systems.fastica", "Fastica",
        (
            offline(
                Option("iterations", int, 500, "Most iterations.", 1, 100000),
                Option("tolerance", float, 1e-5, "Turn of the rows that ends it.", 0.0, 1.0),
                Option("samples", int, 250000, "Samples that are looked at, spread evenly.", 100, 10000000),
                CAUSAL,
            ),
            causal(Option("window_s", float, 4.0, "Sound that is learnt from at once, and worked on during the next.",
                          0.05, 60.0)),
            causal(Option("kept", int, 16384, "Samples of it that are looked at.", 64, 1 << 18)),
            causal(Option("steps", int, 10, "Most steps of the fixed point for each window.", 1, 50)),
            _NEW_MATRIX,
        ),
        StageSpec(
            "FasticaLive",
            "learns the gains of bleed from the independence of the sources, and undoes them; no latency",
            (ADAPT,), learns="adapt", turned={"adapt": 1}, savings=(Saving("canceller", PASSED_OVER),),
            hint="Learns the gains of crosstalk from the independence of its sources, and undoes it without latency.",
        ),
        blind=True,
    ),
    system(
        "auxiva", "beyond", "bleed between a few mics in a room", "two mics or more, as many as sources",
        "one update of every bin's matrix a frame; no look-ahead",
        "Ono, WASPAA 2011; Taniguchi et al., HSCMA 2014; Scheibler, Ono, ICASSP 2020",
        "rtsep.systems.auxiva", "Auxiva",
        (
            FRAMES,
            offline(
                Option("window", int, 4096, "Window of the spectrum, samples.", 64, 65536, 8),
                Option("iterations", int, 30, "Iterations over the recording.", 1, 1000),
                CAUSAL,
            ),
            causal(Option("memory_s", float, 3.0, "Time constant of forgetting: how fast it follows who moves.",
                          0.2, 60.0)),
        ),
        FrameSpec(
            "AuxivaLive", "unmixes in every bin of a spectrum, for a few mics in a room", (ADAPT,), learns="adapt",
            turned={"adapt": 1},
            hint="Unmixes a few microphones in a room, two to six, with a matrix in every bin of a spectrum. Echoes "
                 "within the analysis window (43 ms at 48 kHz) are undone.",
        ),
        blind=True,
    ),
)
