"""NAE, audio mosaicing, drums, and what they read: annotations and saved templates."""

from __future__ import annotations

import pathlib
from collections.abc import Callable

import mido
import naive_templates as naive
import numpy as np
import pytest
import soundfile
from numpy.typing import NDArray
from test_separate import music, stream

from rtsep import metrics
from rtsep import separation as host
from rtsep.bench.checks.templates import drum_scene
from rtsep.cli import main
from rtsep.errors import InputError
from rtsep.stage import Format
from rtsep.systems import drums, mosaic, nae, onsets, templatefile
from rtsep.systems.drums import Drums, DrumsLive
from rtsep.systems.mosaic import Mosaic
from rtsep.systems.nae import Nae, NaeLive
from rtsep.systems.separator import Audio, Passage, Separator
from rtsep.systems.spectrum import Spectrum
from rtsep.systems.templatefile import Frames
from rtsep_kernels import drums as drum_kernels
from rtsep_kernels import nae as nae_kernels

RATE = 16000
DRUM_RATE = 22050


def separated(system: Separator, sound: Audio, rate: int = RATE) -> dict[str, Audio]:
    """Fit and separate, and see that the sound is left alone."""
    before = sound.copy()
    passage = Passage(sound, rate, tuple(f"mic{c}" for c in range(len(sound))))
    system.fit(passage)
    parts = system.separate(passage)
    np.testing.assert_array_equal(sound, before)
    assert all(part.shape == sound.shape and part.dtype == np.float32 for part in parts.values())
    assert all(np.isfinite(part).all() for part in parts.values())
    return parts


def refused(work: Callable[[], object], words: str) -> None:
    """Assert that something is refused, in one line that has the words and says what is allowed."""
    with pytest.raises(InputError) as caught:
        work()
    message = str(caught.value)
    assert words in message, message
    assert "allowed" in message
    assert "\n" not in message


# --- annotations -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "events"),
    [
        ("0.5,kick\n0.25,snare\n", [(0.25, 0.25, "snare", None), (0.5, 0.5, "kick", None)]),
        ("time_s,drum\n\n 1 , hh \n", [(1.0, 1.0, "hh", None)]),
        ("start_s,end_s,part\n1,2,a\n", [(1.0, 2.0, "a", None)]),
        ("\ufeffstart_s,end_s,part,pitch\n1,2,a,60\n1,3,a,\n", [(1.0, 3.0, "a", None), (1.0, 2.0, "a", 60)]),
    ],
)
def test_a_table_is_read(text: str, events: list[tuple[float, float, str, int | None]], tmp_path: pathlib.Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text(text, encoding="utf-8")
    assert onsets.read(str(path)) == [onsets.Event(*event) for event in events]


@pytest.mark.parametrize(
    ("name", "text", "words"),
    [
        ("a.csv", "", "holds no note"),
        ("a.csv", "time_s,drum\n", "holds no note"),
        ("a.csv", "1,kick\nx,kick\n", "a.csv:2"),
        ("a.csv", "2,1,part\n", "a.csv:1"),
        ("a.csv", "-1,kick\n", "a.csv:1"),
        ("a.csv", "nan,kick\n", "a.csv:1"),
        ("a.csv", "1,2,a,128\n", "a.csv:1"),
        ("a.csv", "1,2,a,60,5\n", "a.csv:1"),
        ("a.csv", "1\n", "a.csv:1"),
        ("a.csv", "1,\n", "a.csv:1"),
        ("a.mid", "no midi", "is no MIDI file"),
        ("a.mid", "MThd", "is no MIDI file"),
        ("a.txt", "1,kick\n", "is no annotation"),
    ],
)
def test_a_wrong_annotation_is_refused(name: str, text: str, words: str, tmp_path: pathlib.Path) -> None:
    (tmp_path / name).write_text(text)
    refused(lambda: onsets.read(str(tmp_path / name)), words)


def test_a_missing_annotation_and_bytes_are_refused(tmp_path: pathlib.Path) -> None:
    refused(lambda: onsets.read(str(tmp_path / "no.csv")), "cannot be read")
    refused(lambda: onsets.read(str(tmp_path / "no.mid")), "cannot be read")
    (tmp_path / "bytes.csv").write_bytes(bytes(range(128, 256)))
    refused(lambda: onsets.read(str(tmp_path / "bytes.csv")), "is no text")


def midi(
    path: pathlib.Path, notes: list[tuple[int, int, int, int]], tempos: list[tuple[int, int]] | None = None
) -> str:
    """Write notes (start, end, pitch, channel) and tempos (tick, microseconds a beat), in ticks of 1/480 beat."""
    file = mido.MidiFile(type=1, ticks_per_beat=480)
    first, second = mido.MidiTrack(), mido.MidiTrack()
    second.append(mido.MetaMessage("track_name", name="piano"))
    now = 0
    for tick, tempo in tempos or []:
        first.append(mido.MetaMessage("set_tempo", tempo=tempo, time=tick - now))
        now = tick
    messages = [(start, 1, pitch, channel) for start, _, pitch, channel in notes]
    messages += [(end, 0, pitch, channel) for _, end, pitch, channel in notes if end >= 0]
    now = 0
    for tick, on, pitch, channel in sorted(messages):
        # A note of velocity 0 is a release.
        second.append(mido.Message("note_on", note=pitch, velocity=90 * on, channel=channel, time=tick - now))
        now = tick
    file.tracks += [first, second]
    file.save(path)
    return str(path)


def test_a_midi_file_is_read_at_mido_s_own_times(tmp_path: pathlib.Path) -> None:
    notes = [(0, 480, 60, 0), (480, 900, 64, 0), (700, 2000, 64, 0), (2500, 3000, 40, 9)]
    path = midi(tmp_path / "a.mid", notes, [(100, 400000), (600, 900000), (2100, 300000)])
    events = onsets.read(path)
    assert [(e.pitch, e.part, e.percussive) for e in events] == [
        (60, "piano", False), (64, "piano", False), (64, "piano", False), (40, "piano", True)
    ]
    played, clock = [], 0.0
    for message in mido.MidiFile(path):
        clock += message.time
        if message.type == "note_on":
            played.append((clock, message.velocity > 0))
    np.testing.assert_allclose([e.start for e in events], [t for t, on in played if on], atol=1e-9)
    np.testing.assert_allclose(sorted(e.end for e in events), [t for t, on in played if not on], atol=1e-9)


def test_notes_of_one_pitch_are_released_in_order(tmp_path: pathlib.Path) -> None:
    events = onsets.read(midi(tmp_path / "a.mid", [(0, 480, 60, 0), (240, 960, 60, 0)]))
    assert [(e.start, e.end) for e in events] == [(0.0, 0.5), (0.25, 1.0)]


def test_a_note_that_is_never_released_ends_with_its_track(tmp_path: pathlib.Path) -> None:
    events = onsets.read(midi(tmp_path / "a.mid", [(0, -1, 60, 0), (480, 960, 62, 0)]))
    assert [(e.pitch, e.start, e.end) for e in events] == [(60, 0.0, 1.0), (62, 0.5, 1.0)]


def test_active_is_between_before_and_after() -> None:
    rng = np.random.default_rng(0)
    times = np.sort(rng.uniform(0, 10, 200))
    starts = rng.uniform(0, 10, 8)
    events = [onsets.Event(s, s + 0.3, "a") for s in starts]
    wanted = [any(s - 0.1 <= t <= s + 0.3 + 0.2 for s in starts) for t in times]
    np.testing.assert_array_equal(onsets.active(events, times, 0.1, 0.2), wanted)
    assert 0 < np.count_nonzero(wanted) < 200


# --- templates in a file ---------------------------------------------------------------------------------------------

_SHAPES = {"templates": "ptb"}


def saved(path: pathlib.Path, **changes: object) -> str:
    """Write templates of two parts; `changes` are what is wrong with them, None: missing."""
    held: dict[str, object] = {
        "kind": "drums", "rate": RATE, "window": 64, "hop": 16, "parts": np.array(["a", "b"]),
        "templates": np.ones((2, 3, 33)), **changes,
    }
    with open(path, "wb") as file:
        np.savez(file, **{name: np.asarray(value) for name, value in held.items() if value is not None})
    return str(path)


def test_templates_come_back(tmp_path: pathlib.Path) -> None:
    path, values = str(tmp_path / "a.npz"), np.random.default_rng(0).random((2, 3, 33))
    templatefile.save(path, "drums", Frames(RATE, 64, 16), ("a", "b"), {"templates": values})
    learnt, parts, arrays = templatefile.load(path, "drums", Frames(RATE, 64, 16), _SHAPES)
    assert (learnt, parts) == (Frames(RATE, 64, 16), ("a", "b"))
    np.testing.assert_array_equal(arrays["templates"], values)
    for frames in (Frames(RATE, 64), Frames(0, 0)):   # any hop; anything
        assert templatefile.load(path, "drums", frames, _SHAPES)[:2] == (learnt, parts)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"rate": 44100}, "rate of 44100; allowed is 16000"),
        ({"window": 128}, "window of 128; allowed is 64"),
        ({"hop": 32}, "hop of 32; allowed is 16"),
        ({"rate": 16000.5}, "rate is no number"),
        ({"rate": [1, 2]}, "rate is no number"),
        ({"kind": "nae"}, "no templates of drums"),
        ({"templates": None}, "no templates of drums"),
        ({"templates": np.ones((2, 3, 32))}, "(2, 3, 32); allowed is (2, 3, 33)"),
        ({"templates": np.ones((1, 3, 33))}, "(1, 3, 33)"),
        ({"templates": np.ones((2, 33))}, "(2, 33)"),
        ({"templates": np.ones((2, 0, 33))}, "(2, 0, 33)"),
        ({"templates": np.full((2, 3, 33), np.nan)}, "no number"),
        ({"templates": np.ones((2, 3, 33), complex)}, "shape"),
        ({"parts": [1, 2]}, "name its parts"),
        ({"parts": ["a", "a"]}, "name its parts"),
    ],
)
def test_wrong_templates_are_refused(changes: dict[str, object], words: str, tmp_path: pathlib.Path) -> None:
    path = saved(tmp_path / "a.npz", **changes)
    refused(lambda: templatefile.load(path, "drums", Frames(RATE, 64, 16), _SHAPES), words)


def test_what_is_no_template_file_is_refused(tmp_path: pathlib.Path) -> None:
    frames = Frames(RATE, 64, 16)
    refused(lambda: templatefile.load(str(tmp_path / "no.npz"), "drums", frames, _SHAPES), "no such file")
    refused(lambda: templatefile.load(str(tmp_path), "drums", frames, _SHAPES), "holds no templates")
    for content in (b"", b"text", b"PK\x03\x04rubbish"):
        (tmp_path / "a.npz").write_bytes(content)
        refused(lambda: templatefile.load(str(tmp_path / "a.npz"), "drums", frames, _SHAPES), "holds no templates")
    np.save(tmp_path / "one.npy", np.ones(3))
    refused(lambda: templatefile.load(str(tmp_path / "one.npy"), "drums", frames, _SHAPES), "holds no templates")
    np.savez(tmp_path / "o.npz", kind=np.array([{}], object))
    refused(lambda: templatefile.load(str(tmp_path / "o.npz"), "drums", frames, _SHAPES), "holds no templates")
    refused(lambda: templatefile.check_target("a.wav"), "no name for templates")


# --- NAE -------------------------------------------------------------------------------------------------------------


def problem(seed: int = 0) -> tuple[NDArray[np.float64], ...]:
    """Return spectra [12, 9], encoder, decoder [4, 9] and a dropout mask [12, 4]."""
    rng = np.random.default_rng(seed)
    return rng.random((12, 9)), rng.random((4, 9)), rng.random((4, 9)), (rng.random((12, 4)) < 0.6).astype(float)


@pytest.mark.parametrize("masked", [False, True])
def test_the_gradient_is_the_difference_quotient(masked: bool) -> None:
    spectra, encoder, decoder, may = problem()
    encoder -= 0.45   # some activations are rectified
    dropout = may if masked else None
    assert 0 < np.count_nonzero(spectra @ encoder.T > 0) < 48
    for weights, gradient in zip((encoder, decoder), nae.gradients(spectra, encoder, decoder, dropout), strict=True):
        for place in np.ndindex(*weights.shape):
            kept = weights[place]
            around = []
            for change in (1e-6, -1e-6):
                weights[place] = kept + change
                around.append(nae.loss(spectra, encoder, decoder, dropout))
            weights[place] = kept
            assert gradient[place] == pytest.approx((around[0] - around[1]) / 2e-6, rel=1e-4, abs=1e-6)


def test_the_multiplicative_update_follows_the_gradient() -> None:
    """What it takes from a weight is the weight times gradient over its positive part: checked for each."""
    spectra, encoder, decoder, may = problem()
    gradient = nae.gradients(spectra, encoder, decoder, may)[0]
    new, _ = nae.multiply(spectra, encoder, decoder, may)
    positive = ((nae.hidden(spectra, encoder, may) @ decoder @ decoder.T) * may).T @ spectra
    np.testing.assert_allclose(new, encoder - encoder * gradient / (2 * positive), rtol=1e-9)


@pytest.mark.parametrize("seed", range(3))
def test_multiplicative_updates_with_dropout_never_raise_the_loss(seed: int) -> None:
    spectra, encoder, decoder, may = problem(seed)
    before = nae.loss(spectra, encoder, decoder, may)
    first = before
    for _ in range(100):
        encoder, decoder = nae.multiply(spectra, encoder, decoder, may)
        now = nae.loss(spectra, encoder, decoder, may)
        assert now <= before * (1 + 1e-12)
        before = now
    assert before < 0.5 * first


def test_the_gradient_lowers_the_loss_more_slowly_at_first() -> None:
    """As the figure in [S2] has it."""
    rng = np.random.default_rng(0)
    values = rng.exponential(size=(100, 6)) @ rng.exponential(size=(6, 80))
    start = (rng.random((6, 80)), rng.random((6, 80)))
    losses = {
        (update, n): nae.loss(values / values.mean(), *nae.learn(values, *start, None, update, n), None)
        for update in ("multiplicative", "gradient") for n in (0, 10, 300)
    }
    assert losses["gradient", 0] > losses["gradient", 10] > losses["multiplicative", 10]
    assert losses["gradient", 300] < 0.3 * losses["gradient", 10]


def test_nae_masks_are_the_naive_ones() -> None:
    rng = np.random.default_rng(0)
    magnitudes, encoder = rng.random((5, 32)), rng.normal(size=(4, 32))
    decoder, may, owner = rng.random((4, 32)), (rng.random((5, 4)) < 0.7).astype(float), [1, 0, 0, 2]
    magnitudes[2] = 0
    wanted = naive.nae_masks(magnitudes, encoder, decoder, owner, 3, may)
    f32 = [a.astype(np.float32) for a in (magnitudes**2, encoder, decoder, may)]
    for part in range(3):
        found = np.empty((5, 32), np.float32)
        nae_kernels.masks(f32[0], f32[1], f32[2], np.array(owner), f32[3], 3, part, found)
        np.testing.assert_allclose(found, wanted[part], atol=2e-5)
    np.testing.assert_allclose(wanted.sum(axis=0)[[0, 1, 3, 4]], 1, atol=1e-9)


def two_players(folder: pathlib.Path) -> tuple[NDArray[np.float64], str]:
    """Return two players' notes, a fifth and more apart and at the same times, and their annotation."""
    rng = np.random.default_rng(0)
    parts, lines = np.zeros((2, 4 * RATE)), ["start_s,end_s,part,pitch"]
    time = np.arange(int(0.45 * RATE)) / RATE
    for player, name in enumerate(("left", "right")):
        for n in range(8):
            pitch = int(rng.choice([48, 50, 52, 55])) + 19 * player
            tone = sum(
                np.sin(2 * np.pi * m * 440 * 2 ** ((pitch - 69) / 12) * time + rng.random() * 6) / m**1.3
                for m in range(1, 8)
            )
            parts[player, n * RATE // 2 :][: time.size] += 0.1 * tone * np.exp(-2 * time)
            lines.append(f"{n / 2},{n / 2 + 0.45},{name},{pitch}")
    path = folder / "notes.csv"
    path.write_text("\n".join(lines))
    return parts, str(path)


@pytest.mark.parametrize(("update", "least"), [("multiplicative", 12.0), ("gradient", 8.0)])
def test_nae_takes_two_annotated_players_apart(update: str, least: float, tmp_path: pathlib.Path) -> None:
    parts, score = two_players(tmp_path)
    mix = parts.sum(axis=0, keepdims=True).astype(np.float32)
    found = separated(Nae(window=1024, score=score, update=update, iterations=100), mix)
    assert list(found) == ["left", "right"]
    for truth, name in zip(parts, found, strict=True):
        assert metrics.sdr(truth, found[name][0]) - metrics.sdr(truth, mix[0]) > least
    np.testing.assert_allclose(sum(found.values()), mix, atol=1e-5)


@pytest.mark.parametrize("update", ["multiplicative", "gradient"])
def test_nae_keeps_zeros_of_templates(update: str, tmp_path: pathlib.Path) -> None:
    parts, score = two_players(tmp_path)
    system = Nae(window=1024, score=score, update=update, iterations=30)
    separated(system, parts.sum(axis=0, keepdims=True).astype(np.float32))
    for component, events in zip(system._weights.decoder, system._components, strict=True):
        assert events[0].pitch is not None
        shape = nae.template(events[0].pitch, RATE, 1024)
        assert np.count_nonzero(component[shape == 0]) == 0
        assert np.count_nonzero(component) > 5


def test_a_template_stands_at_the_partials() -> None:
    shape = nae.template(69, 44100, 4096)
    bins = np.arange(2049) * 44100 / 4096
    np.testing.assert_array_equal(shape[np.abs(bins - 440) < 20], 1)
    np.testing.assert_array_equal(shape[np.abs(bins - 880) < 40], 0.5)
    np.testing.assert_array_equal(shape[(bins > 470) & (bins < 830)], 0)
    assert np.count_nonzero(nae.template(21, 44100, 256)) > 0   # partials narrower than a bin


def test_a_score_is_read_from_where_a_passage_begins(tmp_path: pathlib.Path) -> None:
    """One second of silence before it moves nothing but the score."""
    parts, score = two_players(tmp_path)
    mix = parts.sum(axis=0, keepdims=True).astype(np.float32)
    late = tmp_path / "late.csv"
    lines = [line.split(",") for line in pathlib.Path(score).read_text().splitlines()[1:]]
    late.write_text("\n".join(f"{float(a) + 1},{float(b) + 1},{c},{d}" for a, b, c, d in lines))
    found = []
    for path, first in ((score, 0), (str(late), RATE)):
        system = Nae(window=1024, score=path, iterations=20)
        passage = Passage(mix, RATE, ("mix",), first)
        system.fit(passage)
        found.append(system.separate(passage)["left"])
    np.testing.assert_array_equal(found[0], found[1])


def test_nae_without_a_score_has_as_many_parts_as_asked_for() -> None:
    x = music(2)
    found = separated(Nae(window=512, parts=3, iterations=50), x)
    assert list(found) == ["part 1", "part 2", "part 3"]
    np.testing.assert_allclose(sum(found.values()), x, atol=1e-5)
    assert min(np.abs(part).max() for part in found.values()) > 1e-3
    silent = separated(Nae(window=512, parts=3, iterations=50), np.zeros((1, RATE), np.float32))
    assert all(np.abs(part).max() == 0 for part in silent.values())


def test_weights_that_were_saved_do_the_same_offline_and_live(tmp_path: pathlib.Path) -> None:
    """Also those that were learnt with dropout: they are taught to do without."""
    parts, score = two_players(tmp_path)
    mix = parts.sum(axis=0, keepdims=True).astype(np.float32)
    path = str(tmp_path / "players.npz")
    teacher = Nae(window=512, score=score, save=path, iterations=60)
    separated(teacher, mix)
    weights = nae.known(path, Frames(RATE, 512))
    np.testing.assert_allclose(weights.decoder, teacher._weights.decoder, rtol=1e-5)
    magnitudes = np.abs(Spectrum(512, 128, live=True).analyse(mix)[0])
    assert nae.loss(magnitudes, weights.encoder, weights.decoder, None) < 0.9 * nae.loss(
        magnitudes, teacher._weights.encoder, weights.decoder, None
    )
    found = separated(Nae(window=512, causal=True, templates=path), mix)
    for keep, name in enumerate(("left", "right")):
        heard = stream(NaeLive("nae", 512, 512, 128, templates=path), mix, keep)
        np.testing.assert_allclose(heard, found[name], atol=1e-5)
        assert metrics.sdr(parts[keep], heard[0]) - metrics.sdr(parts[keep], mix[0]) > 5
    silent = stream(NaeLive("nae", 512, 512, 128, templates=path), mix, 2)   # there is no third part
    assert np.abs(silent).max() < 1e-4   # the range


def test_a_blind_encoder_that_was_saved_is_the_one_that_was_used(tmp_path: pathlib.Path) -> None:
    x, path = music(1), str(tmp_path / "a.npz")
    first = separated(Nae(window=512, parts=2, iterations=30, save=path), x)
    second = separated(Nae(window=512, templates=path), x)
    for name in first:
        np.testing.assert_allclose(second[name], first[name], atol=1e-6)


def test_an_encoder_learns_to_do_without_the_score() -> None:
    spectra, encoder, decoder, may = problem()
    for _ in range(200):
        encoder, decoder = nae.multiply(spectra, encoder, decoder, may)
    scale = spectra.mean()
    taught = nae.without_score(spectra, decoder, 200)
    assert nae.loss(spectra / scale, taught, decoder, None) < nae.loss(spectra / scale, encoder, decoder, None)


@pytest.mark.parametrize(
    ("system", "words"),
    [
        (Nae(score="a.csv", causal=True), "is given with causal=true"),
        (Nae(score="a.csv", templates="a.npz"), "is given with templates"),
        (Nae(save="a.npz", causal=True), "where nothing is learnt"),
        (Nae(save="a.wav"), "no name for templates"),
        (Nae(score="nothing.csv"), "cannot be read"),
        (Drums(), "neither a score nor templates"),
        (Drums(score="a.csv", causal=True), "is given with causal=true"),
        (Drums(save="a.npz", templates="a.npz"), "where nothing is learnt"),
        (Drums(save="a.wav", score="a.csv"), "no name for templates"),
        (Drums(score="a.csv", hop=300), "whole number of hops"),
        (Drums(templates="nothing.npz"), "no such file"),
        (Mosaic(), "no material"),
        (Mosaic(material="nothing.wav"), "nothing.wav"),
    ],
)
def test_unsuitable_input_is_refused(system: Separator, words: str) -> None:
    refused(lambda: system.fit(Passage(music(1, 4000), RATE, ("mic",))), words)


def test_weights_of_another_kind_are_refused(tmp_path: pathlib.Path) -> None:
    path = str(tmp_path / "a.npz")
    rng = np.random.default_rng(0)
    good = nae.Weights(rng.random((2, 257)), rng.random((2, 257)), np.array([0, 1]), ("a", "b"))
    frames = Frames(RATE, 512)
    for encoder, decoder, owner in (
        (good.encoder, -good.decoder, good.owner), (good.encoder, good.decoder, np.array([0, 2])),
        (good.encoder, good.decoder, np.array([-1, 1])),
    ):
        nae.save(path, frames, nae.Weights(encoder, decoder, owner, good.parts))
        refused(lambda: nae.known(path, frames), "holds no weights of nae")
    nae.save(path, frames, nae.Weights(good.encoder, good.decoder[:1], good.owner, good.parts))
    refused(lambda: nae.known(path, frames), "decoder has the shape")
    many = tuple(f"part {n}" for n in range(17))
    nae.save(path, frames, nae.Weights(rng.random((17, 257)), rng.random((17, 257)), np.arange(17), many))
    refused(lambda: NaeLive("nae", 512, 512, 128, templates=path).prepare(Format(RATE, 1)), "17 parts")
    refused(lambda: NaeLive("nae", 512, 512, 128, templates=path).prepare(Format(48000, 1)), "rate of 16000")


# --- mosaic ----------------------------------------------------------------------------------------------------------


def test_diagonals_are_a_convolution() -> None:
    from scipy.signal import convolve2d

    for shape in ((9, 12), (3, 12), (1, 1)):
        values = np.random.default_rng(0).random(shape)
        for reach in (1, 3):
            wanted = convolve2d(values, np.eye(2 * reach + 1), "same")
            np.testing.assert_allclose(mosaic.along_diagonals(values, reach), wanted, atol=1e-12)


def test_a_copy_of_the_material_is_found_where_it_is() -> None:
    rng = np.random.default_rng(0)
    templates = rng.random((60, 40)) ** 6
    target = np.concatenate([templates[10:35], templates[30:55]])
    found = mosaic.learn(target, templates, 20, 3, 10, 3)
    right = np.concatenate([np.arange(10, 35), np.arange(30, 55)])
    assert found[np.arange(50), right].sum() > 0.8 * found.sum()


def test_each_restriction_does_what_it_says() -> None:
    rng = np.random.default_rng(0)
    templates, target = rng.random((40, 30)), rng.random((50, 30))
    few = mosaic.learn(target, templates, 5, 0, 4, 0)
    assert np.count_nonzero(few, axis=1).max() == 4
    seldom = mosaic.learn(target, templates, 5, 3, 0, 0)
    for column in seldom.T:
        assert np.diff(np.flatnonzero(column)).min(initial=99) > 3
    assert np.count_nonzero(seldom) > 40
    assert np.count_nonzero(mosaic.learn(target, templates, 5, 0, 0, 0)) == 2000


def test_plain_activations_never_raise_the_divergence() -> None:
    rng = np.random.default_rng(0)
    templates, target = rng.random((10, 30)), rng.random((50, 30))
    losses = []
    for n in range(1, 30):
        model = mosaic.learn(target, templates, n, 0, 0, 0) @ templates
        losses.append(float(np.sum(target * np.log(target / model) - target + model)))
    assert np.diff(losses).max() < 0


def material(folder: pathlib.Path, rate: int, seconds: float = 2.0, level: float = 0.1) -> str:
    path = folder / f"{rate}.wav"
    time = np.arange(int(seconds * rate)) / rate
    tones = [np.sin(2 * np.pi * f * time) * (np.floor(time * 4) % 4 == n) for n, f in enumerate((220, 300, 440, 700))]
    soundfile.write(path, np.stack([level * sum(tones)] * 2, axis=1), rate, subtype="FLOAT")
    return str(path)


@pytest.mark.parametrize("rate", [RATE, 24000])
def test_a_mosaic_follows_the_target_with_the_material(rate: int, tmp_path: pathlib.Path) -> None:
    """A tone of 440 Hz is played by the material's, at any rate of the file."""
    x = np.zeros((2, RATE), np.float32)
    x[:, 4000:12000] = 0.1 * np.sin(2 * np.pi * 440 * np.arange(8000) / RATE)
    found = separated(Mosaic(material=material(tmp_path, rate), window=1024), x)
    spectrum = np.abs(np.fft.rfft(found["mosaic"][0, 5000:11000], 16000))
    assert abs(int(np.argmax(spectrum)) - 440) <= 4
    assert np.abs(found["mosaic"][:, :2500]).max() < 1e-3
    np.testing.assert_array_equal(found["mosaic"][0], found["mosaic"][1])
    silent = separated(Mosaic(material=material(tmp_path, rate), window=1024), np.zeros((1, 5000), np.float32))
    assert np.abs(silent["mosaic"]).max() < 1e-6


def test_griffin_and_lim_make_phases_consistent(tmp_path: pathlib.Path) -> None:
    spectrum, rng = Spectrum(512, 128), np.random.default_rng(0)
    spectra = spectrum.analyse(music(1))
    turned = spectra * np.exp(2j * np.pi * rng.random(spectra.shape)).astype(np.complex64)
    misses = []
    for rounds in (0, 5, 30):
        sound = mosaic.consistent(spectrum, turned, 2 * RATE, rounds)
        misses.append(np.linalg.norm(np.abs(spectrum.analyse(sound)) - np.abs(turned)))
    assert misses[0] > 1.5 * misses[1] > 1.5 * misses[2]
    x, path = music(1), material(tmp_path, RATE)
    plain, smooth = (separated(Mosaic(material=path, window=512, griffin_lim=n), x)["mosaic"] for n in (0, 3))
    assert np.abs(plain - smooth).max() > 1e-3


def test_unsuitable_material_is_refused(tmp_path: pathlib.Path) -> None:
    excerpt = Passage(music(1, 4000), RATE, ("mic",))
    refused(lambda: Mosaic(material=material(tmp_path, 8000, 31)).fit(excerpt), "lasts 31.0 s")
    refused(lambda: Mosaic(material=material(tmp_path, 8001, 1, 0.0)).fit(excerpt), "is silent")


# --- drums -----------------------------------------------------------------------------------------------------------


def drum_recording(folder: pathlib.Path) -> tuple[NDArray[np.float64], Audio, str]:
    parts, hits = drum_scene(5.0)
    path = folder / "hits.csv"
    path.write_text("".join(f"{second},{name}\n" for second, name in hits))
    return parts, parts.sum(axis=0, keepdims=True).astype(np.float32), str(path)


def gains(parts: NDArray[np.float64], mix: Audio, found: dict[str, Audio]) -> NDArray[np.float64]:
    estimates = np.concatenate([found[name] for name in drums.PARTS])
    gained: NDArray[np.float64] = metrics.sdr(parts, estimates) - metrics.sdr(parts, np.tile(mix, (3, 1)))
    return gained


def test_the_divergence_never_rises_and_models_are_sums_of_shifts() -> None:
    rng = np.random.default_rng(0)
    magnitudes, may = rng.random((30, 20)), rng.random((30, 3)) < 0.4
    losses = []
    for n in range(0, 25):
        templates, activations = drums.learn(magnitudes, may, 5, n)
        assert np.count_nonzero(activations[~may]) == 0
        model = naive.deconvolved(activations, templates)
        flat = drums.shifted(activations, 5) @ templates.reshape(15, 20)
        np.testing.assert_allclose(flat, model, rtol=1e-9, atol=1e-12)
        np.testing.assert_allclose(templates.sum(axis=(1, 2)), 1, rtol=1e-9)
        losses.append(float(np.sum(magnitudes * np.log(magnitudes / (model + 1e-12)) - magnitudes + model)))
    assert np.diff(losses).max() < 0
    for one, other in zip(drums.learn(magnitudes, may, 5, 3), naive.deconvolution(magnitudes, may, 5, 3), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-8, atol=1e-12)
    fixed, activations = drums.learn(magnitudes, may, 5, 10, templates)
    np.testing.assert_array_equal(fixed, templates)


def test_drum_masks_are_the_naive_ones() -> None:
    rng = np.random.default_rng(0)
    magnitudes, templates = rng.random((14, 16)) ** 3, rng.random((3, 4, 16)) ** 3
    magnitudes[5:7] = 0
    templates /= templates.sum(axis=(1, 2), keepdims=True)
    wanted = naive.drum_masks(magnitudes, templates, 2)
    found = np.empty((3, 14, 16), np.float32)
    padded, sums = drums.padded_with_sums(templates.astype(np.float32), 16)
    drum_kernels.masks((magnitudes**2).astype(np.float32), padded, sums, 2, found)
    np.testing.assert_allclose(found, wanted, atol=1e-4)


def test_drums_are_taken_apart_by_their_onsets(tmp_path: pathlib.Path) -> None:
    parts, mix, score = drum_recording(tmp_path)
    found = separated(Drums(score=score), mix, DRUM_RATE)
    assert (gains(parts, mix, found) > [7, 12, 6]).all()
    np.testing.assert_allclose(sum(found.values()), mix, atol=1e-6)
    # Wrong onsets do worse: it is the annotation that informs.
    wrong = tmp_path / "wrong.csv"
    swapped = {"kick": "snare", "snare": "kick", "hihat": "hihat"}
    lines = [line.split(",") for line in pathlib.Path(score).read_text().splitlines()]
    wrong.write_text("".join(f"{second},{swapped[name]}\n" for second, name in lines))
    assert gains(parts, mix, separated(Drums(score=str(wrong)), mix, DRUM_RATE))[0] < 0


def test_drums_of_general_midi_are_read(tmp_path: pathlib.Path) -> None:
    """On the percussion channel only, if there is one; a tom is left out."""
    notes = [(0, 10, 36, 9), (480, 490, 38, 9), (480, 490, 42, 9), (600, 610, 45, 9), (600, 610, 46, 9), (0, 9, 38, 0)]
    found = drums.hits(midi(tmp_path / "a.mid", notes))
    assert [[event.start for event in each] for each in found] == [[0.0], [0.5], [0.5, 0.625]]
    found = drums.hits(midi(tmp_path / "b.mid", [(0, 10, 35, 3)]))
    assert [len(each) for each in found] == [1, 0, 0]
    refused(lambda: drums.hits(midi(tmp_path / "c.mid", [(0, 10, 45, 9)])), "holds no hit")
    (tmp_path / "d.csv").write_text("1,gong\n")
    refused(lambda: drums.hits(str(tmp_path / "d.csv")), "gong is no drum")
    (tmp_path / "e.csv").write_text("1,BD\n1,sd\n1,hi-hat\n")
    assert [len(each) for each in drums.hits(str(tmp_path / "e.csv"))] == [1, 1, 1]


def test_a_soundcheck_serves_offline_and_live(tmp_path: pathlib.Path) -> None:
    parts, mix, score = drum_recording(tmp_path)
    path = str(tmp_path / "drums.npz")
    separated(Drums(1024, 256, score=score, save=path, frames=6, iterations=20), mix, DRUM_RATE)
    assert np.load(path)["templates"].shape == (3, 6, 513)
    fixed = separated(Drums(1024, 256, templates=path), mix, DRUM_RATE)
    assert (gains(parts, mix, fixed) > 5).all()
    both = separated(Drums(1024, 256, templates=path, score=score), mix, DRUM_RATE)
    assert (gains(parts, mix, both) > 5).all()
    live = separated(Drums(1024, 256, True, templates=path), mix, DRUM_RATE)
    assert (gains(parts, mix, live) > 5).all()
    refused(lambda: separated(Drums(1024, 128, True, templates=path), mix, DRUM_RATE), "hop of 256; allowed is 128")
    stage = DrumsLive("drums", 1024, 1024, 256, templates=path)
    refused(lambda: stage.prepare(Format(48000, 1)), "rate of 22050")


def test_live_templates_from_a_file_do_the_same(tmp_path: pathlib.Path) -> None:
    path, x = str(tmp_path / "drums.npz"), music(2)
    rng = np.random.default_rng(0)
    for templates in (-np.ones((3, 4, 257)), np.zeros((3, 4, 257)), rng.random((3, 4, 257)) ** 4):
        templatefile.save(path, "drums", Frames(RATE, 512, 128), drums.PARTS, {"templates": templates})
        if templates.max() <= 0:
            refused(lambda: drums.known(path, Frames(RATE, 512, 128), 8), "no template of each drum")
    found = separated(Drums(512, 128, True, templates=path), x)
    for keep, name in enumerate(drums.PARTS):
        heard = stream(DrumsLive("drums", 512, 512, 128, templates=path), x, keep)
        np.testing.assert_allclose(heard, found[name], atol=1e-5)


def test_built_in_templates_know_a_kick_from_a_hat() -> None:
    parts, _ = drum_scene(5.0)
    mix = parts.sum(axis=0, keepdims=True).astype(np.float32)
    for system in (Drums(causal=True), Nae(causal=True)):
        assert (gains(parts, mix, separated(system, mix, DRUM_RATE)) > 3).all()
    assert drums.generic(Frames(DRUM_RATE, 512, 128), 5).shape == (3, 5, 257)


@pytest.mark.parametrize("frames", [1, 100])
def test_a_short_sound_is_no_trouble(frames: int, tmp_path: pathlib.Path) -> None:
    (tmp_path / "hit.csv").write_text("0,kick\n9,snare\n")
    x = np.full((1, frames), 0.1, np.float32)
    for system in (
        Drums(512, 128, score=str(tmp_path / "hit.csv"), frames=64), Drums(512, 128, True), Nae(512),
        Nae(512, score=str(tmp_path / "hit.csv")), Mosaic(material=material(tmp_path, RATE), window=512),
    ):
        separated(system, x)


def test_a_long_recording_follows_its_score_through_the_passages(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(host, "PASSAGE_SECONDS", 2.7)   # not a bar: hits must be where they are
    parts, mix, score = drum_recording(tmp_path)
    soundfile.write(tmp_path / "drums.wav", mix[0], DRUM_RATE, subtype="FLOAT")
    arguments = ["separate", str(tmp_path / "drums.wav"), "-o", str(tmp_path / "out"), "--method", "drums"]
    assert main([*arguments, "--set", f"score={score}"]) == 0
    found = {
        name: soundfile.read(tmp_path / "out" / f"{n}-{name}.wav", dtype="float32")[0][None]
        for n, name in zip(("01", "02", "03"), drums.PARTS, strict=True)
    }
    assert (gains(parts, mix, found) > [7, 12, 6]).all()
