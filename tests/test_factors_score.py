"""Scores, and what a factorisation makes of them."""

from __future__ import annotations

import pathlib
from collections.abc import Callable
from typing import Any

import mido
import numpy as np
import pytest

from rtsep.bench import sts
from rtsep.bench.checks import factors
from rtsep.errors import InputError
from rtsep.systems import dictionary
from rtsep.systems import score as scores
from rtsep.systems.hands import Hands
from rtsep.systems.midi import Note
from rtsep.systems.nmf import Nmf, factorise
from rtsep.systems.nmf_score import Informed, NmfScore
from rtsep.systems.separator import Audio, Passage, make
from rtsep.systems.spectrum import Spectrum

SECONDS = 8.0
PIECE = factors.two_hands(SECONDS)
MIX = (PIECE.left + PIECE.right).astype(np.float32)
HANDS = {"left": PIECE.left, "right": PIECE.right}


def passage(sound: Any, first: int = 0) -> Passage:
    sound = np.ascontiguousarray(np.atleast_2d(sound), dtype=np.float32)
    return Passage(sound, sts.RATE, tuple(f"mic{c}" for c in range(len(sound))), first)


@pytest.fixture
def midi(tmp_path: pathlib.Path) -> Callable[..., str]:
    def write(separately: str = "track", notes: list[tuple[float, float, int, int]] | None = None) -> str:
        path = str(tmp_path / "score.mid")
        factors.write_score(path, PIECE.notes if notes is None else notes, separately)
        return path

    return write


def run(system: Hands | NmfScore, sound: Any = MIX) -> dict[str, Audio]:
    given = passage(sound)
    before = given.sound.copy()
    system.fit(given)
    parts = system.separate(given)
    np.testing.assert_array_equal(given.sound, before)
    assert all(np.isfinite(part).all() and part.dtype == np.float32 for part in parts.values())
    assert all(part.shape == given.sound.shape for part in parts.values())
    np.testing.assert_allclose(sum(parts.values()), given.sound, atol=1e-6)
    return parts


# --- reading ---


def test_notes_are_read_in_seconds_through_changes_of_tempo(tmp_path: pathlib.Path) -> None:
    file = mido.MidiFile(type=1, ticks_per_beat=100)
    tempo = mido.MidiTrack([
        mido.MetaMessage("set_tempo", tempo=1_000_000, time=0),
        mido.MetaMessage("set_tempo", tempo=250_000, time=200),
    ])
    notes = mido.MidiTrack([
        mido.Message("note_on", note=60, velocity=9, time=100),                 # 1 s
        mido.Message("note_on", note=60, velocity=0, time=200),                 # 2 s + 1 beat of 0.25 s
        mido.Message("note_on", note=35, velocity=9, channel=9, time=0),        # a drum
        mido.Message("note_off", note=35, channel=9, time=10),
        mido.Message("note_off", note=72, time=0),                              # never began
        mido.Message("note_on", note=64, velocity=9, channel=2, time=90),       # 2.5 s, never ends
        mido.MetaMessage("end_of_track", time=400),
    ])
    file.tracks.extend([tempo, notes])
    file.save(tmp_path / "a.mid")
    assert scores.read("score", str(tmp_path / "a.mid")) == [
        Note(1.0, 2.25, 60, 1, 0), Note(2.5, 3.5, 64, 1, 2),
    ]


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (None, "No such file"), (b"", "no MIDI file"), (b"this is text", "no MIDI file"),
        (b"MThd\x00\x00\x00\x06\x00\x01\x00\x01\x00\x60MTrk\x00\x00\x00\xffxx", "cannot be read"),
        (b"MThd\x00\x00\x00\x06\x00\x00\x00\x01\x00\x60MTrk\x00\x00\x00\x04\x00\xff\x2f\x00", "holds no notes"),
        (b"MThd\x00\x00\x00\x06\x00\x02\x00\x01\x00\x60MTrk\x00\x00\x00\x04\x00\xff\x2f\x00", "type 0 or 1"),
        (b"MThd\x00\x00\x00\x06\x00\x00\x00\x01\xe7\x28MTrk\x00\x00\x00\x04\x00\xff\x2f\x00", "type 0 or 1"),
    ],
)
@pytest.mark.parametrize("system", [Hands, NmfScore])
def test_what_is_no_score_is_refused_in_one_line(
    system: type, content: bytes | None, words: str, tmp_path: pathlib.Path
) -> None:
    path = tmp_path / "score.mid"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(InputError, match=words) as caught:
        system(score=str(path)).fit(passage(MIX))
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_no_score_and_a_later_score_are_refused(midi: Callable[..., str]) -> None:
    for method in ("hands", "nmf-score"):
        with pytest.raises(InputError, match="no score is given"):
            make(method).fit(passage(MIX))
        late = midi(notes=[(SECONDS + 3, SECONDS + 4, 60, 0)])
        with pytest.raises(InputError, match=r"first note is at 11\.0 s; the recording ends at 8\.0 s"):
            make(method, [f"score={late}"]).fit(passage(MIX))


# --- constraints ---


@pytest.mark.parametrize("window", [1024, 4096])
def test_the_templates_are_libfmps(window: int) -> None:
    c8 = pytest.importorskip("libfmp.c8")
    for pitch in (21, 36, 60, 100):
        theirs = c8.template_pitch(window // 2 + 1, pitch, 22050 / window)
        np.testing.assert_allclose(scores.pitch_template(pitch, window, 22050), theirs, rtol=1e-6)


def test_templates_hold_partials_only() -> None:
    template = scores.pitch_template(69, 8192, 44100)
    frequencies = np.arange(4097) * 44100 / 8192
    partial = np.maximum(np.round(frequencies / 440), 1)
    off = np.abs(frequencies - 440 * partial)
    low = frequencies < 9 * 440   # above, the partials' ranges touch
    bin_width = 44100 / 8192
    assert not template[low & (off > 0.05 * 440 * partial + bin_width)].any()
    inside = low & (off < 0.05 * 440 * partial - bin_width)
    np.testing.assert_allclose(template[inside], 1 / partial[inside], rtol=1e-6)


def test_the_times_are_libfmps() -> None:
    c8 = pytest.importorskip("libfmp.c8")
    times = np.arange(300) * 0.02
    notes = [Note(1.0, 1.7, 60, 0, 0), Note(3.01, 3.4, 64, 0, 0), Note(5.5, 9.0, 60, 0, 0)]
    rows = [[note.start, note.end - note.start, note.pitch] for note in notes]
    theirs, pitches, _ = c8.init_nmf_activation_score_onset(300, rows, 0.02)
    for ours, other in (
        (scores.sounding(notes, list(pitches), times), theirs[1::2]),
        (scores.beginning(notes, list(pitches), times), theirs[::2]),
    ):
        # libfmp rounds both ends down: a frame may differ at each end of a note.
        assert (ours != other).sum() <= 2 * len(notes)
        assert ours.sum() > 20


@pytest.mark.parametrize("constrain", ["both", "templates", "activations"])
@pytest.mark.parametrize("onsets", [False, True])
@pytest.mark.parametrize("divergence", dictionary.DIVERGENCES)
def test_zeros_are_where_the_score_puts_them_and_stay(constrain: str, onsets: bool, divergence: str) -> None:
    notes = [Note(start, end, pitch, hand, 0) for start, end, pitch, hand in PIECE.notes]
    pitches = sorted({note.pitch for note in notes})
    times = np.arange(100) * 0.08
    model = Informed({"all": notes}, 1024, sts.RATE, divergence, 0, constrain, onsets)
    w, h = model.start(pitches, times)
    tones, sounding = (w[:, 1::2], h[1::2]) if onsets else (w, h)
    assert (tones == 0).any() == (constrain != "activations")
    np.testing.assert_array_equal(sounding == 0, (scores.sounding(notes, pitches, times) == 0)
                                  & (constrain != "templates"))
    if onsets:   # columns interleaved: attack, tone
        assert (w[:, ::2] == scores.ONSET_LEVEL).all()
        np.testing.assert_array_equal(h[::2], scores.beginning(notes, pitches, times))
    v = np.random.default_rng(0).random((513, 100)).astype(np.float32)
    spectra, strengths = factorise(v, w, h, divergence, 50)
    assert not spectra[w == 0].any()
    assert not strengths[h == 0].any()
    assert np.isfinite(spectra).all()
    assert (spectra != w).any()


def test_the_factorisation_is_libfmps(monkeypatch: pytest.MonkeyPatch) -> None:
    c8 = pytest.importorskip("libfmp.c8")
    monkeypatch.setattr("rtsep.systems.nmf._REPEATS", 1)
    v, w, h = (m.astype(np.float64) for m in factors.constrained(PIECE))
    v, w = v[:200], w[:200]
    ours = factorise(v, w, h, "euclidean", 5)
    theirs = c8.nmf.py_func(v, w.shape[1], 0.0, 5, w, h)   # compiling it takes long
    np.testing.assert_allclose(ours[0] @ ours[1], theirs[2], rtol=1e-3, atol=1e-3 * v.mean())


# --- parts ---


@pytest.mark.parametrize(
    ("separately", "by"),
    [("track", "auto"), ("track", "track"), ("channel", "auto"), ("channel", "channel"), ("none", "auto"),
     ("track", "split")],
)
def test_both_hands_are_found(separately: str, by: str, midi: Callable[..., str]) -> None:
    parts = run(Hands(score=midi(separately), by=by))
    assert list(parts) == ["left", "right"]
    for name, truth in HANDS.items():
        assert sts.sdr(truth, MIX) < 1
        assert sts.sdr(truth, parts[name][0]) > 10


def test_the_hands_are_told_as_asked(midi: Callable[..., str]) -> None:
    notes = scores.read("score", midi("none"))
    for by in ("track", "channel"):
        with pytest.raises(InputError, match=f"by: 1 {by}s with notes"):
            scores.by_hand("by", notes, by, 60)
    hands = scores.by_hand("by", notes, "auto", 50)
    assert all(note.pitch < 50 for note in hands["left"])
    assert all(note.pitch >= 50 for note in hands["right"])
    assert len(hands["left"]) + len(hands["right"]) == len(notes)
    crossed = [Note(0, 1, 80, 0, 0), Note(0, 1, 40, 1, 0), Note(1, 2, 30, 0, 0), Note(1, 2, 41, 1, 0)]
    told = scores.by_hand("by", crossed, "auto", 60)
    assert [note.pitch for note in told["right"]] == [80, 30]   # the track that is higher on average


@pytest.mark.parametrize("divergence", dictionary.DIVERGENCES)
@pytest.mark.parametrize("onsets", [False, True])
def test_each_option_separates(divergence: str, onsets: bool, midi: Callable[..., str]) -> None:
    score = midi()
    by_hand = run(Hands(score=score, divergence=divergence, onsets=onsets, iterations=10))
    by_track = run(NmfScore(score=score, divergence=divergence, onsets=onsets, iterations=10))
    assert list(by_track) == ["track 1", "track 2"]
    for one, other in zip(by_hand.values(), by_track.values(), strict=True):
        np.testing.assert_allclose(one, other, atol=1e-6)
    assert sts.sdr(PIECE.left, by_hand["left"][0]) > 10


@pytest.mark.parametrize("constrain", ["both", "templates", "activations"])
def test_any_constraint_separates_better_than_none(constrain: str, midi: Callable[..., str]) -> None:
    parts = run(NmfScore(score=midi(), constrain=constrain, iterations=20))
    assert sts.sdr(PIECE.left, parts["track 1"][0]) > 4


def test_pitches_become_parts(midi: Callable[..., str]) -> None:
    notes = [(0.5, 1.5, 57, 0), (2.5, 3.5, 64, 0), (0.5, 3.5, 80, 1)]
    clock = np.arange(4 * sts.RATE) / sts.RATE
    tones = np.zeros((3, len(clock)))
    for tone, (start, end, pitch, _) in zip(tones, notes, strict=True):
        playing = np.clip((clock - start) / 0.02, 0, 1) * np.clip((end - clock) / 0.02, 0, 1)
        for partial in range(1, 6):
            tone += 0.1 * playing * np.sin(2 * np.pi * partial * dictionary.frequency(pitch) * clock) / partial
    parts = run(NmfScore(score=midi(notes=notes), parts="pitches", window=4096), tones.sum(axis=0))
    assert list(parts) == ["pitch 057", "pitch 064", "pitch 080"]
    for tone, part in zip(tones, parts.values(), strict=True):
        assert sts.sdr(tone, part[0]) > 12


def test_a_passage_is_read_where_it_is_in_the_score(midi: Callable[..., str]) -> None:
    first = 3 * sts.RATE
    system = Hands(score=midi())
    system.fit(passage(MIX))
    later = system.separate(passage(MIX[first:], first))
    wrong = system.separate(passage(MIX[first:], 0))
    assert sts.sdr(PIECE.left[first:], later["left"][0]) > 10
    assert sts.sdr(PIECE.left[first:], wrong["left"][0]) < 5


def test_where_nothing_is_played_all_parts_get_the_same(midi: Callable[..., str]) -> None:
    system = Hands(score=midi())
    noise = 0.1 * np.random.default_rng(0).standard_normal((2, sts.RATE)).astype(np.float32)
    system.fit(passage(MIX))
    parts = system.separate(passage(noise, 60 * sts.RATE))
    for part in parts.values():
        np.testing.assert_array_equal(part, noise / 2)
    assert not any(part.any() for part in system.separate(passage(np.zeros((1, sts.RATE)))).values())
    # Neither has taught anything.
    assert system._model is not None
    assert not system._model._learnt
    assert sts.sdr(PIECE.left, system.separate(passage(MIX))["left"][0]) > 10


def test_every_channel_has_its_own_strengths(midi: Callable[..., str]) -> None:
    stereo = np.stack([PIECE.left + 0.2 * PIECE.right, 0.2 * PIECE.left + PIECE.right])
    parts = run(Hands(score=midi()), stereo)
    for channel, gains in enumerate(((1, 0.2), (0.2, 1))):
        for gain, (name, truth) in zip(gains, HANDS.items(), strict=True):
            improved = sts.sdr(gain * truth, parts[name][channel]) - sts.sdr(gain * truth, stereo[channel])
            assert improved > (4 if gain == 1 else 10)


@pytest.mark.parametrize("system", [Hands, NmfScore])
def test_templates_learnt_with_a_score_separate_without_it(
    system: type, midi: Callable[..., str], tmp_path: pathlib.Path
) -> None:
    path = str(tmp_path / "templates.npz")
    run(system(score=midi(), save=path))
    again = Nmf(templates=path, causal=True)
    again.fit(passage(MIX))
    parts = again.separate(passage(MIX))
    assert list(parts) == (["left", "right"] if system is Hands else ["track 1", "track 2"])
    for truth, part in zip(HANDS.values(), parts.values(), strict=True):
        assert sts.sdr(truth, part[0]) > 6


def test_nothing_learnt_is_not_saved(midi: Callable[..., str], tmp_path: pathlib.Path) -> None:
    system = Hands(score=midi(), save=str(tmp_path / "templates.npz"))
    system.fit(passage(MIX))
    with pytest.raises(InputError, match="nothing was learnt"):
        system.separate(passage(MIX, 60 * sts.RATE))


def test_the_piece_is_as_hard_as_it_says() -> None:
    assert sts.sdr(PIECE.left, MIX) == pytest.approx(0.2, abs=0.01)
    assert sts.sdr(PIECE.right, MIX) == pytest.approx(-0.2, abs=0.01)
    assert Spectrum(2048, 512).count(len(MIX)) > 300
