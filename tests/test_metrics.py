"""Metrics against closed forms, and against the libraries where they define the same thing."""

from __future__ import annotations

import fast_bss_eval
import mir_eval
import numpy as np
import pytest

from rtsep import metrics
from rtsep.bench import sts
from rtsep.bench.checks.metrics import museval_metrics
from rtsep.errors import InputError

FRAMES = 48000


def orthogonal(count: int, seed: int = 0) -> np.ndarray:
    """Return signals without mean, of equal energy, each orthogonal to the others."""
    noise = np.random.default_rng(seed).standard_normal((FRAMES, count))
    basis, _ = np.linalg.qr(noise - noise.mean(axis=0))
    return basis.T * np.sqrt(FRAMES)


def noisy(seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Return correlated references and estimates with gain, bleed, artefacts and an offset."""
    rng = np.random.default_rng(seed)
    references = rng.standard_normal((3, FRAMES)) + 0.2 * rng.standard_normal(FRAMES)
    leak = np.eye(3) * 0.8 + 0.1 * rng.random((3, 3))
    return references, leak @ references + 0.03 * rng.standard_normal((3, FRAMES)) + 0.01


@pytest.mark.parametrize("measure", [metrics.sdr, metrics.si_sdr, metrics.harm])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_a_tenth_of_another_source_is_20_db(measure, dtype):
    s, other = orthogonal(2).astype(dtype)
    assert float(measure(s, s + dtype(0.1) * other)) == pytest.approx(20.0, abs=1e-4)


def test_the_printed_si_sdr_is_not_ours():
    """One source prints |αs - s|² below the line, which grows with a tiny correlation and knows no error."""
    s, other = orthogonal(2)
    correlated = 0.005754 * s + np.sqrt(1 - 0.005754**2) * other
    estimate = s + 0.1 * correlated
    scale = np.dot(estimate, s) / np.dot(s, s)
    printed = 20 * np.log10(np.linalg.norm(scale * s) / np.linalg.norm(scale * s - s))
    assert printed == pytest.approx(64.8, abs=0.01)
    assert float(metrics.si_sdr(s, estimate)) == pytest.approx(20.0, abs=0.01)


def test_microphones_are_measured_one_by_one():
    s = orthogonal(4)
    estimate = np.stack([s[0] + 0.1 * s[2], s[1] + 0.01 * s[3]])
    np.testing.assert_allclose(metrics.sdr(s[:2], estimate), [20.0, 40.0], atol=1e-9)
    np.testing.assert_allclose(metrics.si_sdr(s[:2], estimate), [20.0, 40.0], atol=1e-9)


def test_si_sdr_ignores_levels_and_offsets_and_sdr_does_not():
    references, estimates = noisy()
    expected = metrics.si_sdr(references, estimates)
    for gain in (0.3, 1e-3, -2.0, 1e4):
        np.testing.assert_allclose(metrics.si_sdr(references, gain * estimates), expected, atol=1e-6)
        np.testing.assert_allclose(metrics.si_sdr(gain * references, estimates + 1.0), expected, atol=1e-6)
    assert float(metrics.sdr(references[0], 0.5 * references[0])) == pytest.approx(20 * np.log10(2), abs=1e-9)


def test_si_sir_and_si_sar_have_closed_forms():
    s, other, artefact = orthogonal(3)
    values = metrics.si_sir_sar(np.stack([other, s]), 0.5 * (s + 0.1 * other + 0.01 * artefact), 1)
    np.testing.assert_allclose(values, [-10 * np.log10(0.0101), 20.0, 40.0], atol=1e-6)


def test_si_metrics_equal_fast_bss_eval_with_one_tap():
    # fast_bss_eval.si_sdr needs torch; its BSS-eval with one tap has the same SDR and SIR. Its SAR divides
    # by target and interference together, Le Roux et al. by the target alone.
    references, estimates = noisy()
    sdr, sir, sar, _ = fast_bss_eval.bss_eval_sources(
        references, estimates, filter_length=1, zero_mean=True, compute_permutation=True
    )
    si_sar = sar - 10 * np.log10(1 + 10 ** (-sir / 10))
    np.testing.assert_allclose(metrics.si_sdr(references, estimates), sdr, atol=1e-4)
    for i in range(3):
        own = metrics.si_sir_sar(references, estimates[i], i)
        np.testing.assert_allclose(own, [sdr[i], sir[i], si_sar[i]], atol=1e-4)
        assert 10 ** (-own[0] / 10) == pytest.approx(10 ** (-own[1] / 10) + 10 ** (-own[2] / 10), rel=1e-9)


@pytest.mark.filterwarnings("ignore::FutureWarning")
def test_sdr_equals_mir_eval_and_museval_images():
    references, estimates = (x[:, :8000] for x in noisy())
    ours = metrics.sdr(references, estimates)
    images = mir_eval.separation.bss_eval_images(references, estimates, compute_permutation=False)
    np.testing.assert_allclose(ours, images[0], atol=1e-6)
    other = museval_metrics().bss_eval(
        references, estimates, window=np.inf, hop=0, filters_len=1, compute_permutation=False
    )
    np.testing.assert_allclose(ours, other[0][:, 0], atol=1e-6)


def coloured(channels: int, seed: int = 5) -> tuple[np.ndarray, np.ndarray]:
    """Return references [sources, channels, frames] and estimates that are filtered, bleed and hiss."""
    rng = np.random.default_rng(seed)
    references = rng.standard_normal((2, channels, 20500))
    estimates = references + 0.2 * np.roll(references, 1, axis=2) + 0.1 * np.roll(references[::-1], 3, axis=2)
    return references, estimates + 0.05 * rng.standard_normal(references.shape)


@pytest.mark.parametrize(("channels", "window"), [(1, 4000), (2, 6000), (1, 10**6)])
def test_bss_eval_equals_museval(channels, window):
    references, estimates = coloured(channels)
    ours = metrics.bss_eval(references, estimates, window)
    museval = museval_metrics()
    theirs = museval.bss_eval(references.transpose(0, 2, 1), estimates.transpose(0, 2, 1), window=window, hop=window)
    for mine, other in zip((ours.sdr, ours.isr, ours.sir, ours.sar), theirs[:4], strict=True):
        assert mine.shape == other.shape
        np.testing.assert_allclose(mine, other, atol=1e-6)


def test_bss_eval_equals_museval_on_music():
    # Delayed copies of music are nearly the same: what is solved differs by rounding only there.
    references = sts.sources(4.0)[2:]
    noise = np.random.default_rng(0).standard_normal(references.shape)
    estimates = references + 0.1 * references[::-1] + 0.01 * noise
    ours = metrics.bss_eval(references, estimates, sts.RATE)
    theirs = museval_metrics().bss_eval(references, estimates, window=sts.RATE, hop=sts.RATE)
    for mine, other in zip((ours.sdr, ours.isr, ours.sir, ours.sar), theirs[:4], strict=True):
        np.testing.assert_allclose(mine, other, atol=1e-3)


@pytest.mark.filterwarnings("ignore::FutureWarning")
def test_bss_eval_of_one_window_equals_mir_eval_images():
    references, estimates = (x[:, 0] for x in coloured(1))
    ours = metrics.bss_eval(references, estimates, references.shape[1])
    theirs = mir_eval.separation.bss_eval_images(references, estimates, compute_permutation=False)
    for mine, other in zip((ours.sdr, ours.isr, ours.sir, ours.sar), theirs[:4], strict=True):
        np.testing.assert_allclose(mine[:, 0], other, atol=1e-6)


def test_bss_eval_forgives_a_filter_in_all_but_sdr_and_isr():
    references = coloured(1)[0][:, 0]
    references[:, -300:] = 0   # nothing of the echo is cut off
    filtered = 0.5 * references + 0.3 * np.roll(references, 300, axis=1)
    found = metrics.bss_eval(references, filtered, references.shape[1])
    assert np.all(found.sir > 80)
    assert np.all(found.sar > 80)
    np.testing.assert_allclose(found.sdr[:, 0], metrics.sdr(references, filtered), atol=1e-6)
    np.testing.assert_allclose(found.isr, found.sdr, atol=1e-3)


def test_bss_eval_takes_the_median_or_the_mean_over_seconds():
    references, estimates = (x[:, 0] for x in coloured(1))
    estimates[0, :4000] = references[0, :4000] + 10 * references[1, :4000]
    found = metrics.bss_eval(references, estimates, 4000)
    assert found.sdr.shape == (2, 5)
    assert found.sdr[0, 0] < -15
    np.testing.assert_array_equal(found.median()["sdr"], np.median(found.sdr, axis=1))
    np.testing.assert_array_equal(found.mean()["sir"], found.sir.mean(axis=1))
    assert found.median()["sdr"][0] > found.mean()["sdr"][0] + 3


def test_bss_eval_leaves_silence_out():
    references, estimates = (0.1 * x[:, 0] for x in coloured(1))
    whole = metrics.bss_eval(references, estimates, 4000)
    references[0, :4000] *= 10 ** (-45 / 20)   # -65 dBFS
    estimates[1, 4000:8000] = 0
    found = metrics.bss_eval(references, estimates, 4000)
    silent = np.zeros((2, 5), bool)
    silent[0, 0] = True
    np.testing.assert_array_equal(np.isnan(found.sdr), silent)
    np.testing.assert_array_equal(np.isnan(found.isr), silent)
    silent[1, 1] = True
    np.testing.assert_array_equal(np.isnan(found.sir), silent)
    np.testing.assert_array_equal(np.isnan(found.sar), silent)
    assert found.sdr[1, 1] == pytest.approx(0.0, abs=1e-9)
    for name, values in (found.median() | {"mean " + k: v for k, v in found.mean().items()}).items():
        assert np.isfinite(values).all(), name
    np.testing.assert_allclose(found.sdr[0, 1:], whole.sdr[0, 1:], atol=1e-6)
    nothing = metrics.bss_eval(np.stack((references[0], 0 * references[0])), estimates, 4000)
    assert np.isnan(nothing.median()["sdr"]).tolist() == [False, True]
    estimates[0, 7] = np.nan
    assert np.isnan(metrics.bss_eval(references, estimates, 4000).median()["sar"]).all()


def test_two_quiet_channels_are_as_silent_as_one():
    references, estimates = coloured(2)
    for level, silent in ((10 ** (-61.5 / 20), True), (10 ** (-58.5 / 20), False)):
        found = metrics.bss_eval(level * references, level * estimates, 20500)
        assert np.isnan(found.sdr).all() == silent


def test_bss_eval_bears_equal_references_and_any_level():
    references, estimates = (x[:, 0] for x in coloured(1))
    expected = metrics.bss_eval(references, estimates, 4000)
    twice = metrics.bss_eval(np.vstack((references, references[1:])), np.vstack((estimates, estimates[1:])), 4000)
    quiet = metrics.bss_eval(0.01 * references, 0.01 * estimates, 4000)
    for name in ("sdr", "isr", "sir", "sar"):
        np.testing.assert_allclose(getattr(twice, name)[:2], getattr(expected, name), atol=1e-4)
        np.testing.assert_allclose(getattr(quiet, name), getattr(expected, name), atol=1e-6)
    perfect = metrics.bss_eval(references, references, 4000)
    assert np.all(perfect.sdr == metrics.LIMIT_DB)
    assert np.all(perfect.sir > 100)


def test_a_duplicate_or_silent_reference_changes_nothing():
    references, estimates = noisy()
    expected = metrics.si_sir_sar(references, estimates[0], 0)
    more = np.vstack([references, references[1], np.zeros(FRAMES)])
    np.testing.assert_allclose(metrics.si_sir_sar(more, estimates[0], 0), expected, atol=1e-6)


@pytest.mark.parametrize("measure", [metrics.sdr, metrics.si_sdr, metrics.harm, metrics.bleed_removed])
def test_silence_and_perfection_are_safe(measure):
    s = orthogonal(1)[0]
    assert np.isnan(measure(np.zeros(FRAMES), s))
    if measure is metrics.bleed_removed:
        assert float(measure(s, 0 * s)) == metrics.LIMIT_DB
    else:
        assert float(measure(s, s)) == metrics.LIMIT_DB
    broken = s.copy()
    broken[5] = np.nan
    assert np.isnan(measure(s, broken))


def test_silent_estimates_and_constant_references():
    s = orthogonal(1)[0]
    assert float(metrics.sdr(s, 0 * s)) == 0.0
    assert float(metrics.si_sdr(s, 0 * s)) == -metrics.LIMIT_DB
    assert np.isnan(metrics.si_sdr(np.full(FRAMES, 0.1), s))
    assert np.isnan(metrics.si_sir_sar(np.stack([0 * s, s]), s, 0)).all()


def test_improvement_is_the_gain_in_si_sdr():
    s, other = orthogonal(2)
    assert float(metrics.improvement(s, s + 0.3 * other, s + 0.03 * other)) == pytest.approx(20.0, abs=1e-6)
    assert float(metrics.improvement(s, s + 0.03 * other, s + 0.3 * other)) == pytest.approx(-20.0, abs=1e-6)


def test_phase_inversion_tells_wanted_sound_from_bleed():
    s, b = orthogonal(2)
    gain = np.hanning(FRAMES)
    wanted, bleed = metrics.phase_inversion_split(gain * s + 0.1 * b, gain * s - 0.1 * b)
    np.testing.assert_allclose(wanted, gain * s, atol=1e-12)
    np.testing.assert_allclose(bleed, 0.1 * b, atol=1e-12)
    assert float(metrics.bleed_removed(b, bleed)) == pytest.approx(20.0, abs=1e-9)


def test_mixing_distance_forgives_levels_of_sources():
    true = np.array([[1.0, 0.2], [0.1, 1.0]])
    assert metrics.mixing_distance(true, true * [2.0, 0.5]) == pytest.approx(0.0, abs=1e-12)
    wrong = np.array([[1.0, 0.23], [0.14, 1.0]])
    assert metrics.mixing_distance(true, wrong) == pytest.approx(0.05, abs=1e-12)
    assert np.isnan(metrics.mixing_distance(true, [[0.0, 1.0], [1.0, 1.0]]))


def test_percentiles_of_block_times():
    expected = {"p50": 500, "p99": 990, "p999": 999, "max": 1000}
    assert metrics.percentiles(np.arange(1001)) == pytest.approx(expected)
    assert np.isnan(list(metrics.percentiles([]).values())).all()


def test_inputs_are_left_alone():
    references, estimates = noisy()
    kept = references.copy(), estimates.copy()
    metrics.si_sdr(references, estimates)
    metrics.si_sir_sar(references, estimates[0], 0)
    metrics.bss_eval(references, estimates, FRAMES)
    np.testing.assert_array_equal(references, kept[0])
    np.testing.assert_array_equal(estimates, kept[1])


@pytest.mark.parametrize(
    ("call", "place"),
    [
        (lambda x: metrics.sdr(x, x[0]), "estimate"),
        (lambda x: metrics.si_sdr(x, 1.0), "estimate"),
        (lambda x: metrics.harm(x * 1j, x), "reference"),
        (lambda x: metrics.bleed_removed(x, x[:, 1:]), "after"),
        (lambda x: metrics.phase_inversion_split(x, x[0]), "minus"),
        (lambda x: metrics.si_sir_sar(x, x[0, 1:], 0), "estimate"),
        (lambda x: metrics.si_sir_sar(x, x[0], 2), "target"),
        (lambda x: metrics.si_sir_sar(x, x[0], -1), "target"),
        (lambda x: metrics.mixing_distance(x, x), "true"),
        (lambda x: metrics.bss_eval(x, x[:1], 100), "estimates"),
        (lambda x: metrics.bss_eval(x[0], x[0], 100), "references"),
        (lambda x: metrics.bss_eval(x, 1j * x, 100), "estimates"),
        (lambda x: metrics.bss_eval(x, x, 0), "window"),
    ],
)
def test_shapes_that_do_not_match_are_refused(call, place):
    with pytest.raises(InputError) as refusal:
        call(orthogonal(2))
    assert refusal.value.place == place
