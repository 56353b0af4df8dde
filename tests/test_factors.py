"""NMF: the updates, the templates' file, and what comes out of a recording."""

from __future__ import annotations

import pathlib
from typing import Any

import naive_factors
import numpy as np
import pytest
from numpy.typing import NDArray

from rtsep.bench import sts
from rtsep.errors import InputError
from rtsep.stage import Format
from rtsep.systems import dictionary, nmf
from rtsep.systems.dictionary import DIVERGENCES, Dictionary, scaled
from rtsep.systems.nmf import Nmf, NmfLive, factorise
from rtsep.systems.separator import Audio, Passage
from rtsep_kernels import nmf as kernels

Matrix = NDArray[np.floating[Any]]


def product(kind: type = np.float64, frames: int = 60) -> tuple[Matrix, Matrix, Matrix]:
    rng = np.random.default_rng(0)
    v = rng.random((33, 5)) @ rng.random((5, frames)) + 0.01
    return v.astype(kind), rng.random((33, 5)).astype(kind), rng.random((5, frames)).astype(kind)


def passage(sound: NDArray[Any], first: int = 0) -> Passage:
    sound = np.atleast_2d(sound).astype(np.float32)
    return Passage(np.ascontiguousarray(sound), sts.RATE, tuple(f"mic{c}" for c in range(len(sound))), first)


def run(system: Nmf, sound: NDArray[Any]) -> dict[str, Audio]:
    given = passage(sound)
    before = given.sound.copy()
    system.fit(given)
    parts = system.separate(given)
    np.testing.assert_array_equal(given.sound, before)
    assert all(np.isfinite(part).all() and part.dtype == np.float32 for part in parts.values())
    return parts


def tones(seconds: float = 3.0) -> sts.Signal:
    """Return two instruments of two notes each, which play now and then."""
    rng = np.random.default_rng(1)
    frames = int(seconds * sts.RATE)
    clock, sounds = np.arange(frames) / sts.RATE, np.zeros((2, frames))
    for part, pitches in enumerate(((220.0, 330.0), (1230.0, 1720.0))):
        playing = np.repeat(rng.random(frames // 4000 + 1) > 0.5, 4000)[:frames]
        playing = np.convolve(playing, np.hanning(1000) / 499.5, "same")
        for pitch in pitches:
            sounds[part] += 0.1 * playing * np.sin(2 * np.pi * pitch * clock)
    return sounds


@pytest.mark.parametrize("divergence", DIVERGENCES)
@pytest.mark.parametrize("frames", [1, 60, 600])   # more than a block
def test_the_updates_are_the_papers(divergence: str, frames: int) -> None:
    v, w, h = product(frames=frames)
    before = (v.copy(), w.copy(), h.copy())
    ours = factorise(v, w, h, divergence, 7)
    twin = naive_factors.factorise(v, w, h, divergence, 7, nmf._REPEATS)
    for one, other, shape in zip(ours, twin, (w.shape, h.shape), strict=True):
        assert one.shape == shape
        np.testing.assert_allclose(one, other, rtol=1e-8)
    for one, other in zip((v, w, h), before, strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("divergence", DIVERGENCES)
def test_single_precision_is_enough(divergence: str) -> None:
    v, w, h = product()
    wide = factorise(v, w, h, divergence, 50)
    single = factorise(*(m.astype(np.float32) for m in (v, w, h)), divergence, 50)
    assert single[0].dtype == np.float32
    losses = [nmf.loss(v, *factors, divergence) for factors in (wide, single)]
    assert losses[1] == pytest.approx(losses[0], rel=1e-2)


def test_fixed_templates_reach_the_least_squares() -> None:
    from scipy.optimize import nnls

    v, w, h = product()
    same, found = factorise(v, w, h, "euclidean", 20000, fixed_w=True)
    np.testing.assert_array_equal(same, w)
    for column, frame in zip(found.T, v.T, strict=True):
        np.testing.assert_allclose(column, nnls(w, frame)[0], atol=2e-3)


@pytest.mark.parametrize("divergence", DIVERGENCES)
def test_what_never_sounds_stays_as_it_is(divergence: str) -> None:
    v, w, h = product()
    h[2] = 0
    w[:5, 1] = 0
    spectra, strengths = factorise(v, w, h, divergence, 30)
    np.testing.assert_array_equal(spectra[:, 2], w[:, 2])
    assert not strengths[2].any()
    assert not spectra[:5, 1].any()
    assert np.isfinite(spectra).all()
    assert np.isfinite(strengths).all()


@pytest.mark.parametrize("divergence", DIVERGENCES)
def test_silence_is_factorised(divergence: str) -> None:
    _, w, h = product()
    factors = factorise(np.zeros((33, 60)), w, h, divergence, 10)
    np.testing.assert_array_equal(factors[0], w)
    assert not factors[1].any()


@pytest.mark.parametrize("divergence", DIVERGENCES)
def test_the_stage_computes_the_same_updates(divergence: str) -> None:
    rng = np.random.default_rng(2)
    known = Dictionary(scaled(rng.random((7, 33))), np.zeros(7, np.int64), ("all",), 64, 8000, divergence)
    power = (rng.random((20, 33)) ** 4).astype(np.float32)
    power[3] = 0
    found = nmf.frame_by_frame(power, known, 6)
    wanted = (power if divergence == "is" else np.sqrt(power)).astype(float)
    wanted = wanted / np.maximum(wanted.mean(axis=1, keepdims=True), 1e-30) + kernels.FLOOR
    w, h = known.templates.T.astype(float), np.ones((7, 20))
    for _ in range(6):
        h = naive_h(wanted.T, w, h, divergence)
    h[:, 3] = 0
    np.testing.assert_allclose(found, h.T, rtol=2e-3, atol=1e-5)


def naive_h(v: Matrix, w: Matrix, h: Matrix, divergence: str) -> Matrix:
    model = w @ h
    power = {"euclidean": 1, "kl": 0, "is": -1}[divergence]
    return h * (w.T @ (v * model ** (power - 1))) / (w.T @ model**power)


def test_the_shares_add_up_and_a_further_part_has_none() -> None:
    rng = np.random.default_rng(3)
    templates = scaled(rng.random((6, 33)) * (rng.random((6, 33)) > 0.5))
    strengths = rng.random((9, 6)).astype(np.float32)
    strengths[4] = 0
    members = np.array([0, 1, 2, 0, 1, 2], np.float32)
    masks = np.empty((4, 9, 33), np.float32)
    for which in range(4):
        kernels.shares(templates, strengths, members, 3, which, masks[which])
    np.testing.assert_allclose(masks[:3].sum(axis=0), 1, atol=1e-6)
    assert not masks[3].any()
    own = strengths[:, [0, 3]] @ templates[[0, 3]] + kernels.FLOOR / 3
    np.testing.assert_allclose(masks[0], own / (strengths @ templates + kernels.FLOOR), rtol=1e-5)


@pytest.mark.parametrize("divergence", DIVERGENCES)
def test_it_finds_two_instruments(divergence: str) -> None:
    sounds = tones()
    parts = run(Nmf(divergence=divergence, rank=4, parts=2), sounds.sum(axis=0))
    assert list(parts) == ["part 1", "part 2"]
    for truth, part in zip(sounds, parts.values(), strict=True):   # from low to high
        assert sts.sdr(truth, part[0]) > 10


@pytest.mark.parametrize("causal", [False, True])
def test_the_parts_add_up_at_any_level(causal: bool) -> None:
    sound = np.stack([tones(1.0).sum(axis=0), sts.sources()[2, : sts.RATE]])
    loud = run(Nmf(window=1024, causal=causal, rank=5, iterations=5), sound)
    assert len(loud) == 5
    np.testing.assert_allclose(sum(loud.values()), sound, atol=1e-6)
    for factor in (1e-4, 1e3):
        again = run(Nmf(window=1024, causal=causal, rank=5, iterations=5), sound * factor)
        for name, part in loud.items():
            np.testing.assert_allclose(again[name], part * np.float32(factor), atol=1e-3 * factor)


def test_more_iterations_come_closer() -> None:
    sounds = sts.sources()[:2, : 4 * sts.RATE]
    figures = [
        sts.sdr(sounds[1], run(Nmf(templates="combs", split=52, iterations=n), sounds.sum(axis=0))["low"][0])
        for n in (1, 5, 20)
    ]
    assert figures[0] < figures[1] < figures[2]
    assert figures[2] > 10


def test_silence_stays_silence() -> None:
    silent = np.zeros((2, 3000))
    for part in run(Nmf(templates="combs"), silent).values():
        assert not part.any()
    with pytest.raises(InputError, match="silent"):
        run(Nmf(), silent)


def test_what_was_learnt_can_be_used_again(tmp_path: pathlib.Path) -> None:
    path, sound = str(tmp_path / "learnt.npz"), tones().sum(axis=0)
    first = run(Nmf(rank=4, parts=2, divergence="is", save=path), sound)
    second = run(Nmf(templates=path), sound)   # the file's divergence counts
    assert list(first) == list(second)
    for name, part in first.items():
        np.testing.assert_allclose(second[name], part, atol=1e-5)


def test_templates_are_read_at_another_rate() -> None:
    known = dictionary.combs(2048, 44100, 60)
    assert known.fitted(2048, 44100) is known
    other = known.fitted(1024, 48000)
    assert other.templates.shape == (49, 513)
    np.testing.assert_allclose(other.templates.sum(axis=1), 1, rtol=1e-5)
    assert not other.templates[:, -(-22050 * 1024 // 48000) :].any()   # of what is above, nothing is known
    peaks = [template[: 4 * 20].argmax() for template in other.templates[-12:]]
    pitches = [dictionary.frequency(pitch) for pitch in range(73, 85)]
    np.testing.assert_allclose(np.array(peaks) * 48000 / 1024, pitches, atol=48000 / 1024)


@pytest.mark.parametrize("split", [37, 50, 84])
def test_the_combs_part_at_the_split(split: int) -> None:
    known = dictionary.combs(2048, 48000, split)
    assert known.names == ("low", "high")
    assert (known.members == 0).sum() == split - 36


def test_alike_templates_are_grouped_together() -> None:
    rng = np.random.default_rng(0)
    playing = rng.random((2, 100))
    h = playing[[0, 1, 0, 1]] * np.array([[1], [50], [3], [0.1]])
    w = np.eye(40)[:, [30, 2, 35, 5]]
    np.testing.assert_array_equal(nmf.together(w, h, 2), [1, 0, 1, 0])
    np.testing.assert_array_equal(nmf.together(w, h, 0), [2, 0, 3, 1])
    np.testing.assert_array_equal(nmf.together(w[:, :1], h[:1], 1), [0])


def make_file(path: pathlib.Path, **changed: Any) -> str:
    whole = {
        "kind": "nmf", "templates": np.ones((2, 33)), "members": np.array([0, 1]), "parts": np.array(["a", "b"]),
        "window": 64, "hop": 0, "rate": 8000, "divergence": 1,
    }
    np.savez(path, **{name: value for name, value in (whole | changed).items() if value is not None})
    return str(path)


@pytest.mark.parametrize(
    "changed",
    [
        {"templates": None}, {"templates": -np.ones((2, 33))}, {"templates": np.full((2, 33), np.nan)},
        {"templates": np.ones((2, 32))}, {"templates": np.ones(33)}, {"templates": np.ones((0, 33))},
        {"members": np.array([0, 2])}, {"members": np.array([0, -1])}, {"members": np.array([0])},
        {"divergence": 3}, {"divergence": -1}, {"divergence": "kl"}, {"window": "wide"},
        {"templates": np.array([["a", None]], dtype=object)},
    ],
)
def test_a_wrong_file_is_refused_in_one_line(changed: dict[str, Any], tmp_path: pathlib.Path) -> None:
    path = tmp_path / "templates.npz"
    dictionary.load(make_file(path))
    with pytest.raises(InputError, match=r"templates\.npz") as caught:
        dictionary.load(make_file(path, **changed))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("content", [None, b"", b"nothing of the kind", b"PK\x03\x04 broken"])
def test_no_file_is_refused_in_one_line(content: bytes | None, tmp_path: pathlib.Path) -> None:
    path = tmp_path / "templates.npz"
    if content is not None:
        path.write_bytes(content)
    for use in (
        lambda: NmfLive(templates=str(path)).prepare(Format(48000, 2)),
        lambda: Nmf(templates=str(path)).fit(passage(np.ones(100))),
    ):
        with pytest.raises(InputError, match=r"templates\.npz") as caught:
            use()
        assert "\n" not in str(caught.value)


def test_a_plain_array_is_no_file_of_templates(tmp_path: pathlib.Path) -> None:
    np.save(tmp_path / "array.npy", np.ones(3))
    with pytest.raises(InputError, match="holds no templates"):
        dictionary.load(str(tmp_path / "array.npy"))


def test_unsuitable_settings_are_refused(tmp_path: pathlib.Path) -> None:
    with pytest.raises(InputError, match=r"nmf\.templates: is empty"):
        NmfLive(templates="").prepare(Format(48000, 2))
    with pytest.raises(InputError, match="5 parts of 4 templates"):
        Nmf(rank=4, parts=5).fit(passage(np.ones(100)))
    with pytest.raises(InputError, match="cannot be written"):
        Nmf(rank=2, save=str(tmp_path / "no" / "file.npz")).fit(passage(np.ones(100)))
