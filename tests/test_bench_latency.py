"""`rtsep bench latency`: against known delays, of loops that are broken, and of declarations that are false."""

from __future__ import annotations

import json
import pathlib
import signal
import subprocess
import sys
from collections.abc import Iterator
from types import SimpleNamespace

import numpy as np
import pytest
from jack_server import jack_server
from scipy.signal import lfilter

from rtsep import cli
from rtsep.bench import latency
from rtsep.bench.jackd import JackServer
from rtsep.bench.loop import card, carriers, probes, response
from rtsep.bench.loop.clocks import clocks
from rtsep.bench.loop.response import CLIPPED, GOOD, NOT_LOOPED, SILENT, TOO_LOW
from rtsep.hosts import devices
from rtsep.stage import Block
from rtsep.stages.spectral import Spectral

RATE, ORDER = 48000, 12
STRIPS = """
schema = 1
name = "strips"
latency_class = "foh"
[[chain]]
stage = "strips"
align = "off"
[[chain.strips]]
mic = "mic1"
plugins = [{plugin = "Limiter"}]
"""


def delayed(sound: Block, samples: float) -> Block:
    """Delay by a windowed sinc, the textbook's: nothing of it is the bench's."""
    whole, half = int(samples), 64
    n = np.arange(-half, half + 1)
    taps = np.sinc(n - (samples - whole)) * np.kaiser(n.size, 9)
    made = lfilter(taps, 1.0, np.pad(sound, ((0, 0), (whole, half))))[:, half:]
    return made[:, : sound.shape[1]].astype(np.float32)


@pytest.mark.parametrize("kind", [probes.MLS, probes.SWEEP])
@pytest.mark.parametrize(("samples", "gain"), [(64.0, 1.0), (576.37, -0.3), (2000.5, 0.01)])
def test_a_known_delay_is_measured_to_a_hundredth_of_a_sample(kind: str, samples: float, gain: float) -> None:
    rng = np.random.default_rng(1)

    def loop(sound: Block, periods: int) -> Block:
        heard = gain * delayed(np.tile(sound, (1, periods)), samples)
        return (heard + 1e-5 * rng.standard_normal(heard.shape)).astype(np.float32)

    for echo in carriers.measure(loop, kind, 2, RATE, 4, order=ORDER):
        assert echo.verdict == GOOD
        assert echo.delay == pytest.approx(samples, abs=0.02)
        assert echo.polarity == np.sign(gain)
        # A crest between two samples, a sweep that ends below half of the rate: not the whole gain.
        assert -6 < echo.gain_db - 20 * np.log10(abs(gain)) < 0.5
        assert echo.confidence < 0.02


@pytest.mark.parametrize("kind", [probes.MLS, probes.SWEEP])
def test_a_broken_loop_is_called_by_its_fault(kind: str) -> None:
    rng = np.random.default_rng(0)

    def verdict(make: object) -> set[str]:
        def loop(sound: Block, periods: int) -> Block:
            return np.float32(make(np.tile(sound, (1, periods))))   # type: ignore[operator]
        return {echo.verdict for echo in carriers.measure(loop, kind, 1, RATE, 3, order=ORDER)}

    assert verdict(lambda x: 0 * x) == {SILENT}
    assert verdict(lambda x: np.clip(30 * delayed(x, 10), -1, 1)) == {CLIPPED}
    assert verdict(lambda x: 0.05 * rng.standard_normal(x.shape)) == {NOT_LOOPED}
    assert verdict(lambda x: delayed(x, 40) + np.nan) == {SILENT}
    lower = {NOT_LOOPED: 0, TOO_LOW: 1, GOOD: 2}
    levels = [lower[verdict(lambda x, g=g: g * delayed(x, 40.3) + 0.01 * rng.standard_normal(x.shape)).pop()]
              for g in np.geomspace(1e-4, 1, 15)]
    assert levels == sorted(levels)
    assert set(levels) == {0, 1, 2}


@pytest.mark.parametrize("ppm", [0.0, 40.0, -25.0])
def test_two_clocks_that_run_apart(ppm: float) -> None:
    """What is played is a sum of sines, so what another clock hears of it is written down in closed form."""
    own = probes.probes(probes.MLS, 1, RATE, 10)
    frames, periods = own.shape[1], 30
    spectrum = np.fft.rfft(own[0].astype(np.float64)) / frames
    at = np.arange(periods * frames) * (1 - 1e-6 * ppm) - 123.4
    heard = np.zeros(at.size)
    for k, c in enumerate(spectrum[1:], 1):
        heard += 2 * np.abs(c) * np.cos(2 * np.pi * k / frames * at + np.angle(c))
    found = clocks(response.judge(own[0], carriers.pieces(np.float32(heard), frames, 1)).delays, frames)
    assert found.drift_ppm == pytest.approx(ppm, abs=0.2)
    assert found.jitter < 0.01
    assert found.slips == ()
    torn = np.delete(heard, np.s_[10 * frames : 10 * frames + 64])   # 64 samples of the input are lost
    slipped = clocks(response.judge(own[0], carriers.pieces(np.float32(torn), frames, 1)).delays, frames)
    assert [round(slip) for slip in slipped.slips] == [-64]
    assert slipped.drift_ppm == pytest.approx(ppm, abs=1)


def run(capsys: pytest.CaptureFixture[str], *words: str, code: int = 0) -> dict[str, object]:
    assert cli.main(["bench", "latency", *words, "--json"]) == code
    told: dict[str, object] = json.loads(capsys.readouterr().out)
    return told


def test_a_false_declaration_is_caught(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    told = run(capsys, "--presets", "foh", "--blocks", "37", "--repeats", "2", "--mics", "2")
    assert {row["verdict"] for row in told["rows"]} == {GOOD}   # type: ignore[attr-defined]
    (part,) = told["parts"]   # type: ignore[misc]
    assert (part["stage"], part["part"], part["declared"]) == ("spectral", "algorithm", 576)
    assert part["measured"] == pytest.approx(576, abs=0.01)
    true = Spectral._build
    monkeypatch.setattr(Spectral, "_build", lambda self, fmt: (*(made := true(self, fmt))[:2], made[2] - 3))
    rows = list(latency.engine(latency.Ask(("foh",), (64,), mics=1, repeats=2)))
    assert [(row.declared, row.verdict) for row in rows] == [(573, latency.WRONG)]
    assert not latency.report(rows, [], None)["good"]


@pytest.mark.slow
def test_each_strip_has_its_own_latency(tmp_path: pathlib.Path) -> None:
    path = tmp_path / "p.toml"
    path.write_text(STRIPS)
    rows = list(latency.engine(latency.Ask((str(path),), (64,), mics=2, repeats=2)))
    assert [row.verdict for row in rows] == [GOOD, GOOD]
    with_plugins, without = (row.declared for row in rows)
    assert with_plugins > 100
    assert without == 0


class FakeSound:
    """PortAudio with a cable from each output to the input of the same number, which turns polarity over."""

    PortAudioError = OSError

    def playrec(self, played: Block, **given: object) -> Block:
        assert given["input_mapping"] == given["output_mapping"] == [2, 1]
        return np.ascontiguousarray(-0.5 * delayed(played.T, 333.25).T)

    def get_stream(self) -> SimpleNamespace:
        return SimpleNamespace(latency=(0.003, 0.004))

    def wait(self) -> None:
        return None


def test_a_sound_card_with_a_cable(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: pathlib.Path
) -> None:
    table = [{"name": "Box", "host_api": "ALSA", "inputs": 2, "outputs": 2, "default_rate": 48000.0}]
    monkeypatch.setattr(devices, "devices", lambda: table)
    monkeypatch.setattr(devices, "choose_pair", lambda *_: (0, 0))
    monkeypatch.setattr(devices, "portaudio", FakeSound)
    patch = tmp_path / "map.csv"
    patch.write_text("mic,in,out\nvox,2,2\nkick,1,1\n")
    told = run(capsys, "--through", "card", "--map", str(patch), "--repeats", "3", "--clocks", "2", code=1)
    for row, name in zip(told["rows"], ("vox", "kick"), strict=True):   # type: ignore[call-overload]
        assert (row["mic"], row["what"], row["verdict"]) == (name, "device", latency.INVERTED)
        assert row["measured"] == pytest.approx(333.25, abs=0.02)
        assert row["declared"] == pytest.approx(336)
    assert abs(told["clocks"]["drift_ppm"]) < 0.1   # type: ignore[index]
    with pytest.raises(Exception, match="number 3"):
        card.Card(card.CardOptions(None, None, None, 64, None), 3)


def test_bad_input_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    for words, says in (
        (("--presets", "nonsense"), "nonsense"), (("--blocks", "x"), "--blocks: x"), (("--mics", "0"), "--mics: 0"),
        (("--repeats", "1"), "--repeats: 1"), (("--external", "x"), "not with"),
        (("--periods", "64"), "not with --through engine"), (("--declared", "5"), "not with --through engine"),
        (("--through", "jack", "--declared", "5"), "no --external"), (("--blocks", "1024"), "this preset needs"),
        (("--through", "jack", "--periods", "48"), "powers of 2"), (("--through", "jack", "--map", "x"), "not with"),
    ):
        assert cli.main(["bench", "latency", *words]) == 2, words
        said = capsys.readouterr().err.strip()
        assert says in said, said
        assert len(said.splitlines()) == 1


@pytest.fixture(scope="module")
def server() -> Iterator[JackServer]:
    with jack_server(channels=2, period=256) as running:
        yield running


@pytest.mark.slow
def test_another_program_in_the_loop(
    server: JackServer, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A delay of pedalboard's of 1234 samples, in a host that JACK calls: its period is the loop's, and not counted.

    It cuts off what is no whole sample.
    """
    monkeypatch.setenv("JACK_DEFAULT_SERVER", server.name)
    host = subprocess.Popen(
        [sys.executable, str(pathlib.Path(__file__).with_name("pedalboard_host.py")), server.name, "board", "2",
         str(1234.5 / RATE)], env=server.environment, stdout=subprocess.PIPE, text=True)
    try:
        assert host.stdout is not None
        assert host.stdout.readline() == "ready\n"
        words = ("--through", "jack", "--external", "board", "--mics", "2", "--repeats", "3")
        told = run(capsys, *words, "--declared", "1234")
        rows = told["rows"]
        assert [row["what"] for row in rows] == ["device"] * 2 + ["board"] * 2   # type: ignore[attr-defined]
        for row in rows[2:]:   # type: ignore[index]
            assert row["measured"] == pytest.approx(1234, abs=1)
            assert row["device"] == pytest.approx(256, abs=0.01)
        assert cli.main(["bench", "latency", "--through", "jack", "--external", "nobody"]) == 2
        assert "clients with both: board" in capsys.readouterr().err
    finally:
        host.send_signal(signal.SIGINT)   # a client that is killed has its server hang at its end
        host.wait(20)
        assert host.stdout is not None
        host.stdout.close()


@pytest.mark.slow
def test_every_preset_through_jack_is_as_late_as_it_says(capsys: pytest.CaptureFixture[str]) -> None:
    """Periods of 16 to 512, a server for each; and one whose chain says three samples less is caught."""
    with jack_server():
        pass   # or skip
    told = run(capsys, "--through", "jack", "--periods", "16,32,64,128,256,512", "--repeats", "3")
    rows = [row for row in told["rows"] if row["what"] != "device"]   # type: ignore[attr-defined]
    assert len(rows) == 6 * 4 * 3
    assert max(abs(row["measured"] - row["declared"]) for row in rows) <= 1
