"""One toy of each kind."""

from __future__ import annotations

from toys import Toy

SYSTEM = Toy(
    "A masking system, live and offline",
    {
        "kernels/rtsep_kernels/toysystem.py": '''"""Keep what is louder than a threshold."""

import numpy as np
from numba import carray

from rtsep_kernels.masking import HEAD, settle, system_entry
from rtsep_kernels.plane.record import f4, number, record, scratch, view

TOY = record(**HEAD, threshold=number(f4), mask=scratch(f4, "row"))


@system_entry(TOY)
def toysystem(state, mic):
    """Write the gains of one mic."""
    s = carray(state, (1,))[0]
    power, mask = view(s, "power")[mic], view(s, "mask")
    for b in range(s.bins):
        mask[b] = np.float32(1 if power[b] > s.threshold else 0)
    settle(s, mic, mask)
    return 0
''',
        "rtsep/systems/toysystem.py": '''"""Toy: keep what is louder than a threshold."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rtsep.catalogue import SYSTEMS
from rtsep.stages.masking import Masking, Sizes
from rtsep.systems.separator import Audio, Passage
from rtsep.systems.spectrum import Spectrum
from rtsep_kernels import toysystem as kernels

_DEFAULTS = SYSTEMS["toysystem"].defaults


@dataclass
class Toy:
    """Loud bins of each channel."""

    window: int = _DEFAULTS["window"]
    causal: bool = _DEFAULTS["causal"]
    threshold: float = _DEFAULTS["threshold"]

    def fit(self, excerpt: Passage) -> None:
        """Learn nothing."""

    def separate(self, passage: Passage) -> dict[str, Audio]:
        """See `Separator.separate`."""
        spectrum = Spectrum(self.window, self.window // 4, live=self.causal)
        spectra = spectrum.analyse(passage.sound)
        kept = spectra * (spectra.real**2 + spectra.imag**2 > np.float32(self.threshold))
        return {"loud": np.asarray(spectrum.resynthesise(kept, passage.sound.shape[1]), np.float32)}


class ToyLive(Masking):
    """The same in the stream."""

    stage = "toysystem"
    entry = kernels.toysystem
    table = kernels.TOY

    def configure(self, threshold: float) -> None:
        """See `Masking.configure`."""
        self._threshold = threshold

    def values(self, sizes: Sizes) -> Mapping[str, NDArray[Any] | int | float]:
        """See `Masking.values`."""
        return {"threshold": self._threshold}
''',
        "tests/test_toysystem.py": '''"""The toy system against its naive twin, live and offline, as preset and by name."""

import numpy as np

from rtsep import presets
from rtsep.bench.systems import CHECKS
from rtsep.runner import process
from rtsep.stage import Format
from rtsep.systems.separator import Passage, make
from rtsep.systems.spectrum import Spectrum
from rtsep.systems.toysystem import ToyLive


def naive(x, threshold):
    """The same, bin by bin."""
    spectrum = Spectrum(512, 128, live=True)
    spectra = spectrum.analyse(x)
    for where in np.ndindex(spectra.shape):
        if abs(spectra[where]) ** 2 <= threshold:
            spectra[where] = 0
    return spectrum.resynthesise(spectra, x.shape[1])


def test_toy():
    x = np.random.default_rng(1).standard_normal((2, 4000)).astype(np.float32)
    truth = naive(x, 60.0)
    offline = make("toysystem", ("window=512", "causal=true", "threshold=60")).separate(Passage(x, 16000, ("a", "b")))
    np.testing.assert_allclose(offline["loud"], truth, atol=1e-4)
    stage = ToyLive("toysystem", 512, 512, 128, 60.0)
    stage.prepare(Format(16000, 2))
    stage.board.set("toysystem.range_db", -120)
    heard = process(stage, np.pad(x, ((0, 0), (0, stage.latency))))[:, stage.latency :]
    np.testing.assert_allclose(heard, truth, atol=1e-3)
    assert presets.load("toysystem").chain[-1].options["threshold"] == 1.0
    assert [check.measure().value for check in CHECKS if check.system == "toysystem"] == [1.0]
''',
    },
    {
        "rtsep/catalogue/kernels.py": (("KERNELS = (\n", '''    system(
        "toysystem", "3.9", "what is loud", "any number of channels", "a threshold, frame by frame", "nobody",
        "rtsep.systems.toysystem", "Toy", (*FRAMED, both(Option("threshold", float, 1.0, "Power.", 0.0, 1e9))),
        FrameSpec("ToyLive", "keeps what is loud", RANGE, turned={}, hint="Keeps what is loud."),
    ),
'''),),
        "rtsep/bench/checks/kernels.py": (("CHECKS = (\n", '''    Check("3.9", "toysystem", "there is one", 1.0, True, "", lambda: Measured(1.0, 0.0)),
'''),),
    },
)

STAGE = Toy(
    "A stage",
    {
        "kernels/rtsep_kernels/toystage.py": '''"""Halve every mic."""

import numpy as np
from numba import carray

from rtsep_kernels.plane.jit import stage_entry
from rtsep_kernels.plane.record import number, record

TOYSTAGE = record(channels=number(), position=number(start=0), halved=number(start=0))


@stage_entry(TOYSTAGE)
def toystage(state, x, out, frames):
    """Process one piece."""
    s = carray(state, (1,))[0]
    given = carray(x, (s.channels, frames))
    target = carray(out, (s.channels, frames))
    for c in range(s.channels):
        for i in range(frames):
            target[c, i] = np.float32(0.5) * given[c, i]
    s.halved += frames
    s.position += frames
    return 0
''',
        "rtsep/stages/toystage.py": '''"""Toy: halve."""

from __future__ import annotations

from typing import Any

from rtsep.stage import Format, Stage
from rtsep_kernels import toystage as kernels
from rtsep_kernels.plane.record import State


class Toy(Stage):
    """Halve every mic."""

    def __init__(self, name: str = "toystage") -> None:
        super().__init__(name)

    def _build(self, fmt: Format) -> tuple[Any, State, int]:
        return kernels.toystage, kernels.TOYSTAGE.make(channels=fmt.channels), 0
''',
    },
    {
        "rtsep/catalogue/basics.py": (("BASICS = (\n", '''    StageSpec("Toy", "halves", name="toystage", module="rtsep.stages.toystage"),
'''),),
        "tests/test_stage_contract.py": (("STAGES = {\n", '    "toystage": lambda: Toy(),\n'),
                                         ("from rtsep.stages.spectral import Spectral\n",
                                          "from rtsep.stages.toystage import Toy\n")),
    },
)

VERB = Toy(
    "A verb",
    {
        "rtsep/commands/toyverb.py": '''"""Say how many mics there are."""

from __future__ import annotations

import argparse

from rtsep.commands._arguments import add_json
from rtsep.commands._printing import print_json


def arguments(parser: argparse.ArgumentParser) -> None:
    """Say what `rtsep toyverb` takes."""
    parser.add_argument("mics", type=int, metavar="N", help="how many")
    add_json(parser, "the number")


def run(args: argparse.Namespace) -> int:
    """Say it."""
    return print_json({"mics": args.mics})
''',
        "tests/test_toyverb.py": '''"""The toy verb."""

import json

from rtsep.cli import main


def test_verb(capsys):
    assert main(["toyverb", "3", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == {"mics": 3}
''',
    },
    {"README.md": (("rtsep devices\n", "rtsep toyverb 3\n"),)},
)

PARAMETER = Toy(
    "A live parameter",
    {
        "tests/test_toyparameter.py": '''"""The toy parameter."""

import numpy as np

from rtsep.runner import process
from rtsep.stage import Format
from rtsep.stages.mix import Input


def test_parameter():
    stage = Input("input")
    stage.prepare(Format(48000, 2))
    x = np.ones((2, 9600), np.float32)
    assert (process(stage, x) == 1).all()
    stage.board.set("input.toyparameter.2", -20)
    heard = process(stage, x)
    np.testing.assert_allclose(heard[:, -1], [1, 0.1], rtol=1e-4)
    assert np.abs(np.diff(heard[1])).max() < 0.01
''',
    },
    {
        "kernels/rtsep_kernels/mix.py": (
            ("    channels=number(), position=number(start=0), ramp_segments=number(),\n",
             '    toyparameter=given(f4, "channels"),\n'),
            ("        gain = np.float32(10.0 ** (gain_db[c] / 20.0))\n",
             '        gain *= np.float32(10.0 ** (view(s, "toyparameter")[c] / 20.0))\n'),
        ),
        "rtsep/catalogue/basics.py": (
            ('        Param("gain_db", "dB", -60.0, 24.0, 0.0, True, "Trim before everything."),\n',
             '        Param("toyparameter", "dB", -60.0, 0.0, 0.0, True, "Once more."),\n'),
        ),
    },
)

OPTION = Toy(
    "A fixed option",
    {},
    {
        "rtsep/catalogue/basics.py": (
            ('        Option("max_delay_ms", float, 50.0, "Longest alignment delay.", 0.0, 500.0),\n',
             '        Option("toyoption", float, 1.0, "Nothing.", 0.0, 2.0),\n'),
        ),
        "rtsep/stages/mix.py": (
            ('        self._max_delay_ms: float = values["max_delay_ms"]\n', '        self.toyoption = values["toyoption"]\n'),
        ),
    },
)

COUNTER = Toy(
    "A counter",
    {},
    {
        "rtsep/stages/mix.py": (
            ("        mix.settle_input(self.record.record)\n", '''
    def status(self) -> dict[str, int]:
        """See `Stage.status`."""
        return {"toycounter": 7}
'''),
        ),
        "rtsep/figures.py": (
            ("FIGURES = (\n", '    Figure("toys", "toys", SUM, ("summary",), "toys", "toycounter"),\n'),
        ),
    },
)

SURFACE = Toy(
    "A control surface",
    {
        "rtsep/control/surfaces/toysurface.py": '''"""Toy: mutes everything as soon as it sounds."""

from __future__ import annotations

import argparse

from rtsep.control.surface import Running


class Toy:
    """Mutes."""

    def say(self, text: str) -> None:
        """See `Surface.say`."""

    def wait(self, what: str, seconds: float) -> None:
        """See `Surface.wait`."""

    def update(self, running: Running) -> bool:
        """See `Surface.update`."""
        running.desk.set("output.mute_all", 1)
        return True

    def close(self) -> None:
        """See `Surface.close`."""


def arguments(parser: argparse.ArgumentParser) -> None:
    """Say what `rtsep run` takes for it."""
    parser.add_argument("--toy", action="store_true")


def open_surface(args: argparse.Namespace) -> Toy | None:
    """Return it where it was asked for."""
    return Toy() if args.toy else None
''',
        "tests/test_toysurface.py": '''"""The toy surface, found by `rtsep run`, turns what an engine plays."""

import argparse

from rtsep.commands import run
from rtsep.control.desk import Desk
from rtsep.control.surface import Running, open_all
from rtsep.meters import Meters
from rtsep.session import Session


def test_surface():
    parser = argparse.ArgumentParser()
    run.arguments(parser)
    with Session.open("live", 48000, ("a", "b")) as session:
        desk = Desk(session.engine)
        running = Running(desk, {}, Meters(2))
        assert not open_all(parser.parse_args([])).update(running)
        assert open_all(parser.parse_args(["--toy"])).update(running)
        assert desk.get("output.mute_all") == 1
''',
    },
    {},
)

TOYS = (SYSTEM, STAGE, VERB, PARAMETER, OPTION, COUNTER, SURFACE)
