"""Plug-ins of files: found by name, probed in a child, hosted in a chain. `made_plugins` compiles them."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import numpy as np
import pytest
from made_plugins import made
from test_plugins import RATE, UNIT, high, later, no_click, noise, play, sine, values

from rtsep.catalogue import STAGES
from rtsep.errors import InputError
from rtsep.plugins import measuring, probing
from rtsep.plugins.chain import PluginChain
from rtsep.plugins.finding import FOLDERS, folders, installed, locate
from rtsep.plugins.probing import PluginProblem, cache_folder, probe
from rtsep.plugins.slots import BYPASS, OFF, SlotConfig, chain_latency, chain_params


@pytest.fixture(autouse=True)
def cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Keep probes of the whole file in one folder that is not the user's."""
    folder = tmp_path_factory.getbasetemp() / "cache"
    monkeypatch.setenv("XDG_CACHE_HOME", str(folder))
    return folder


def slot(kind: str, name: str = "one") -> SlotConfig:
    return SlotConfig(name, "Tested", str(made(kind)))


def test_found_by_name_or_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, folder in (("Fine EQ", f"{os.uname().machine}-linux"), ("Windows EQ", "x86_64-win"), ("Mac EQ", "MacOS"),
                         ("Empty", "Resources")):
        (tmp_path / "Maker" / f"{name}.vst3" / "Contents" / folder).mkdir(parents=True)
    monkeypatch.setenv(FOLDERS, str(tmp_path))
    assert {"Fine EQ", "Windows EQ"} <= set(installed())
    assert locate("fine eq") == (tmp_path / "Maker/Fine EQ.vst3").resolve()
    assert locate("", str(tmp_path / "Maker/Fine EQ.vst3")).name == "Fine EQ.vst3"
    with pytest.raises(InputError, match=r"there is no plug-in 'Fien EQ'; near are Fine EQ"):
        locate("Fien EQ")
    with pytest.raises(InputError, match="near are Reverb"):
        locate("Revreb")
    with pytest.raises(InputError, match=rf"for Windows \(x86_64\), none for this machine; get .*{os.uname().machine}"):
        locate("Windows EQ")
    with pytest.raises(InputError, match="binaries for macOS, none"):
        locate("Mac EQ")
    with pytest.raises(InputError, match="no platform at all"):
        locate("Empty")
    with pytest.raises(InputError, match="is VST2"):
        locate("", "/somewhere/old.dll")
    with pytest.raises(InputError, match="there is no"):
        locate("", "/somewhere/gone.vst3")
    with pytest.raises(InputError, match=r"^vox.eq: "):
        locate("Qqqqq", place="vox.eq")


def test_a_probe_tells_what_it_is(cache: Path) -> None:
    found = probe("Tested", str(made("good")))
    assert (found.name, found.manufacturer, found.version) == ("Tested", "rtsep", "1.2.3")
    assert (found.declared, found.measured, found.agrees, found.channels) == (32, 32, True, 1)
    assert not found.nan
    assert found.state_kept
    assert not found.late_params
    assert found.latency_knobs == ("delay_look_ahead",)
    assert found.breaks_at == ""
    assert found.p50_ms < 1000 * UNIT / RATE
    knobs = {knob.param.name: knob for knob in found.knobs}
    assert list(knobs) == ["gain", "armed", "delay_look_ahead", "tone", "mode"]
    gain = knobs["gain"].param
    assert (gain.unit, gain.low, gain.high, gain.default) == ("dB", -20.0, 20.0, 0.0)
    assert knobs["mode"].choices == ("Soft", "Hard", "Mute")
    assert knobs["tone"].param.default == pytest.approx(1000, rel=1e-3)
    # It is looked up the second time, unless something is another one.
    files = set(cache_folder().iterdir())
    assert cache in cache_folder().parents
    before = json.loads(next(iter(files)).read_text())
    assert before["path"]
    assert probe("Tested", str(made("good"))) == found
    assert set(cache_folder().iterdir()) == files
    probe("Tested", str(made("good")), unit=128)
    assert len(set(cache_folder().iterdir())) == len(files) + 1


def test_a_liar_is_measured() -> None:
    found = probe("Tested", str(made("liar")))
    assert (found.declared, found.measured, found.agrees, found.latency) == (0, 32, False, 32)
    assert any("says 0 samples of latency, but an impulse takes 32" in note for note in found.notes)


@pytest.mark.parametrize(("kind", "told"), [
    ("crash armed", "crashes while working .SIGSEGV"), ("unloadable", "crashes while being loaded"),
    pytest.param("hang armed", "hangs while working", marks=pytest.mark.slow),   # as long as it is waited for
])
def test_what_misbehaves_is_refused_in_one_line(kind: str, told: str) -> None:
    with pytest.raises(PluginProblem, match=told) as refused:
        probe("Tested", str(made(kind)), seconds=6.0 if "hang" in kind else probing.SECONDS, place="vox.one")
    assert str(refused.value).startswith("vox.one: ")
    assert "\n" not in str(refused.value)


def test_no_numbers_and_slow_ones_are_told() -> None:
    assert probe("Tested", str(made("nonumber armed"))).nan
    slow = probe("Tested", str(made("slow armed")))
    assert slow.slow >= 19
    assert any("took longer" in note for note in slow.notes)


def test_what_is_no_plug_in(tmp_path: Path) -> None:
    bundle = tmp_path / "Junk.vst3"
    (bundle / "Contents" / f"{os.uname().machine}-linux").mkdir(parents=True)
    (bundle / "Contents" / f"{os.uname().machine}-linux" / "Junk.so").write_bytes(b"junk")
    with pytest.raises(PluginProblem, match=r"Junk\.vst3 cannot be used"):
        probe("Junk", str(bundle))


@pytest.mark.slow   # a second and a third compilation
def test_stereo_and_instruments() -> None:
    assert probe("Tested", str(made("stereo"))).channels == 2
    chain = PluginChain(RATE, UNIT, [slot("stereo")])
    assert np.array_equal(play(chain, noise(50), values(chain)), later(noise(50), 32))
    with pytest.raises(PluginProblem, match="is an instrument"):
        probe("Tested", str(made("instrument")))


def test_a_linked_strip_takes_what_takes_two_channels_and_nothing_else() -> None:
    with pytest.raises(InputError, match="does not take two channels; it can be in a strip of one mic"):
        PluginChain(RATE, UNIT, [SlotConfig("one", "Tested", str(made("good")), width=2)])
    slots = [SlotConfig("one", "Tested", str(made("stereo")), width=2), SlotConfig("vol", "Gain", width=2)]
    chain = PluginChain(RATE, UNIT, slots, align=100)
    x = (0.1 * np.random.default_rng(0).standard_normal((2, 100 * UNIT))).astype(np.float32)
    values = np.array([param.default for param in chain.params], np.float32)
    out = np.concatenate([chain.work(x[:, n : n + UNIT], values) for n in range(0, x.shape[1], UNIT)], axis=1)
    want = np.pad(x, ((0, 0), (100, 0)))[:, : x.shape[1]] * np.float32(10 ** (1 / 20))
    np.testing.assert_allclose(out, want, atol=1e-6)


def test_a_chain_is_aligned_to_the_sample() -> None:
    for kind in ("good", "liar"):
        slots = [SlotConfig("vol", "Gain"), slot(kind)]
        chain = PluginChain(RATE, UNIT, slots)
        told = values(chain, vol__gain_db=0.0)
        assert [param.name for param in chain.params] == [param.name for param in chain_params(slots)]
        assert chain.latency == chain_latency(slots, RATE, UNIT) == 32
        sound = noise(100)
        assert np.array_equal(play(chain, sound, told), later(sound, 32))
        bypassed = values(chain, vol__gain_db=0.0, one__gain=-6.0, one__state=BYPASS)
        heard = [play(chain, sound, told), play(chain, sound, bypassed)]
        assert np.array_equal(heard[1][:, 50 * UNIT :], later(sound, 32)[:, 50 * UNIT :])
        play(chain, sound, values(chain, vol__gain_db=0.0, one__state=OFF))
        assert chain.latency == 0
        report = chain.report()[1]
        assert (report.declared, report.measured, report.latency) == (0 if kind == "liar" else 32, 32, 32)


def test_parameters_and_latency_that_changes() -> None:
    chain = PluginChain(RATE, UNIT, [slot("good")], align=256)
    soft = values(chain, one__gain=-20.0)
    heard = play(chain, sine(60), soft)
    assert np.abs(heard[0, 2000:]).max() == pytest.approx(0.025, rel=1e-3)
    heard = play(chain, sine(300), values(chain, one__gain=-20.0), values(chain, one__gain=0.0), every=60)[:, 600:]
    assert high(heard) < -30   # a jump of it is -12
    play(chain, sine(30), values(chain, one__delay_look_ahead=128.0))
    assert any("latency is 128 samples now, not 32" in line for line in chain.news())
    assert chain.report()[0].latency == 128
    assert chain.latency == 256
    play(chain, sine(30), values(chain, one__delay_look_ahead=128.0))
    sound = noise(60)
    heard = play(chain, sound, values(chain, one__delay_look_ahead=128.0))
    assert np.array_equal(heard[:, 640:], later(sound, 256)[:, 640:])


def test_a_liar_that_moves_is_measured_again() -> None:
    assert probe("Tested", str(made("liar"))).latency_knobs == ("delay_look_ahead",)
    chain = PluginChain(RATE, UNIT, [slot("liar")], align=256)
    play(chain, sine(60), values(chain))
    moved = values(chain, one__delay_look_ahead=100.0)
    no_click(play(chain, sine(120), moved)[:, 600:])
    assert chain.report()[0].latency == 100   # though it says 0
    sound = noise(60)
    assert np.array_equal(play(chain, sound, moved)[:, 640:], later(sound, 256)[:, 640:])


def test_what_breaks_when_it_is_turned_is_told() -> None:
    found = probe("Tested", str(made("crash")))
    assert found.breaks_at == "armed"
    assert any("when armed is turned" in note for note in found.notes)
    assert found.latency == 32


@pytest.mark.slow   # as long as it is waited for
def test_what_hangs_when_it_is_turned_is_told() -> None:
    assert probe("Tested", str(made("hang"))).breaks_at == "armed"


def test_late_parameters_and_states_that_do_not_read_back_are_told() -> None:
    late = probe("Tested", str(made("late")))
    assert late.late_params
    assert any("a block late" in note for note in late.notes)
    chain = PluginChain(RATE, UNIT, [slot("good")])
    play(chain, noise(40), values(chain, one__gain=-6.0))
    state = chain._line.slots[0].hosted.state()
    assert probe("Tested", str(made("good")), state=state).state_kept
    found = probe("Tested", str(made("forgetful")), state=state)
    assert not found.state_kept
    assert any("read back" in note for note in found.notes)
    plugins = [{"name": kind, "plugin": "x", "path": str(made(kind))} for kind in ("late", "liar", "good")]
    options = STAGES["strips"].check({**STAGES["strips"].defaults, "strips": [{"mic": "vox", "plugins": plugins}]})
    assert STAGES["strips"].notes(options, 1) == [
        "vox: late takes its parameters over a block late",
        "vox: liar says 0 samples of latency, but an impulse takes 32",
    ]


def test_of_several_in_a_file_one_has_to_be_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(measuring, "names_in", lambda _file: ["Left", "Right"])
    said: list[dict[str, object]] = []
    told = {"file": "x.vst3", "plugin": "Centre", "rate": RATE, "unit": UNIT, "state": "", "width": 1}
    measuring.look(told, lambda **words: said.append(words))
    assert said[-1] == {"problem": "has several plug-ins, and none is 'Centre'", "allowed": "allowed are Left, Right"}


@pytest.mark.parametrize(("system", "folder"), [
    ("darwin", "Library/Audio/Plug-Ins/VST3"), ("win32", "Common/VST3"), ("linux", ".vst3"),
])
def test_the_usual_folders_of_each_platform(system: str, folder: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.platform", system)
    monkeypatch.setenv("LOCALAPPDATA", "/users/someone/Local")
    monkeypatch.setenv(FOLDERS, os.pathsep.join(("/first", "/second")))
    found = [path.as_posix() for path in folders()]
    assert found[:2] == ["/first", "/second"]
    assert any(folder in path for path in found[2:])


def test_state_is_kept_and_measured_again() -> None:
    chain = PluginChain(RATE, UNIT, [slot("liar"), SlotConfig("vol", "Gain")])
    told = values(chain, one__gain=-6.0, one__delay_look_ahead=100.0, vol__gain_db=0.0)
    sound = noise(60)
    play(chain, sound, told)
    kept = chain.snapshot()
    assert len(json.loads(kept)["slots"]) == 2
    fresh = PluginChain(RATE, UNIT, [slot("liar"), SlotConfig("vol", "Gain")])
    assert fresh.latency == 32
    fresh.restore(kept)
    assert fresh.latency == 100   # though it says 0
    assert fresh.report()[0].measured == 100
    assert "__python_parameter_cache__" not in vars(fresh._line.slots[0].hosted._plugin)   # of seconds of asking
    heard = play(fresh, sound, told)
    assert np.allclose(heard, later(sound, 100) * 10 ** (-6 / 20), atol=1e-5)
    # A slot that begins with a state has it in the defaults of its parameters, so that nothing is turned back.
    state = fresh._line.slots[0].hosted.state()
    again = PluginChain(RATE, UNIT, [SlotConfig("one", "Tested", str(made("liar")), state)])
    defaults = {param.name: param.default for param in again.params}
    assert defaults["one.gain"] == pytest.approx(-6, abs=1e-3)
    assert again.latency == 100
    assert np.allclose(play(again, sound, values(again)), heard, atol=1e-5)


def test_no_numbers_while_it_plays() -> None:
    chain = PluginChain(RATE, UNIT, [slot("nonumber"), SlotConfig("vol", "Gain")])
    told = values(chain, vol__gain_db=0.0)
    sound = noise(100)
    play(chain, sound, told)
    heard = play(chain, sound, values(chain, vol__gain_db=0.0, one__armed=1.0))
    assert np.isfinite(heard).all()
    assert np.allclose(heard[:, 640:], later(sound, 32)[:, 640:], atol=1e-6)   # dry, as late
    assert chain.report()[0].bad_blocks > 1
    assert chain.report()[0].remade == 3
    assert any("again and again" in line for line in chain.news())


def test_places_change_through_the_dry_sound() -> None:
    chain = PluginChain(RATE, UNIT, [slot("good"), SlotConfig("drive", "Distortion")])
    told = {"one__gain": -12.0, "drive__drive_db": 6.0}
    before, after = values(chain, **told), values(chain, **told, one__place=3.0)
    one, two = play(chain, sine(120), before)[0, -UNIT:], None
    heard = play(chain, sine(600), before, after, every=120)[:, 600:]
    no_click(heard)
    two = play(chain, sine(120), after)[0, -UNIT:]
    assert not np.allclose(one, two, atol=1e-3)


def test_a_copy_elsewhere_is_probed_anew(tmp_path: Path) -> None:
    copy = tmp_path / made("good").name
    shutil.copytree(made("good"), copy)
    assert probe("Tested", str(copy)).path == str(copy)


def test_replaced_with_what_it_keeps() -> None:
    chain = PluginChain(RATE, UNIT, [slot("good"), SlotConfig("vol", "Gain")], align=64)
    told = {"one__gain": -6.0, "one__delay_look_ahead": 48.0}
    play(chain, sine(60), values(chain, **told, vol__gain_db=0.0))
    chain.replace([SlotConfig("eq", "PeakFilter"), slot("good")])
    assert chain.latency == 64
    heard = play(chain, sine(240), values(chain, **told))
    no_click(heard)
    assert np.allclose(heard[:, 6000:], later(sine(240), 64)[:, 6000:] * 10 ** (-6 / 20), atol=1e-5)
