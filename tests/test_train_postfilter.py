"""Training of the own network: its sums against torch's own derivatives, its symmetry, its export, its restart."""

from __future__ import annotations

import pathlib

import numpy as np
import pytest

pytest.importorskip("torch")

import torch

from rtsep.cli import main
from rtsep.errors import InputError
from rtsep.models.file import open_model
from rtsep.stages.learned import BANDS
from rtsep.train import checkpoint
from rtsep.train.postfilter import store
from rtsep.train.postfilter.concerts import CleanedConcert
from rtsep.train.postfilter.evidence import Evidence, evidence, setting_of
from rtsep.train.postfilter.exporting import OneStep, Told, card_of, export
from rtsep.train.postfilter.fitting import Fitting, _Batches
from rtsep.train.postfilter.network import PostFilter
from rtsep.train.postfilter.store import Material
from rtsep.train.postfilter.sums import Rule, left
from rtsep.workers.gains import Gains
from rtsep_kernels.learned import EVIDENCES, VALUES, WEIGHTS

SETTING = setting_of("foh")
TOLD = Told("foh", "made up", 3, 4, "abc", {"mean_db": 0.5})


def concert(seed: int = 0, seconds: float = 6.2) -> CleanedConcert:
    """Noises that take turns, and leak; the canceller has done half."""
    rng = np.random.default_rng(seed)
    frames = round(seconds * 48000) // 512 * 512
    envelope = np.repeat(rng.random((3, frames // 4800 + 1)) < 0.5, 4800, axis=1)[:, :frames]
    truth = 0.1 * rng.standard_normal((3, frames)) * envelope
    bleed = 0.2 * (truth.sum(0) - truth)
    return CleanedConcert(*((a).astype(np.float32) for a in (truth + bleed, truth + bleed / 2, truth)),
                   np.ones((3, frames // 512), np.float32), "made")


@pytest.fixture(scope="module")
def seen() -> Evidence:
    return evidence(concert(), SETTING, 1.0, 1.0)


def plain(weights: torch.Tensor, given: Evidence, rule: Rule) -> tuple[torch.Tensor, ...]:
    """As `left`, by torch alone."""
    below, above, share = (torch.from_numpy(a) for a in (rule.below, rule.above, rule.share))
    spread = weights[..., below] + (weights[..., above] - weights[..., below]) * share
    weighed = torch.from_numpy(given.weighed).permute(0, 2, 1, 3)
    odds = torch.from_numpy(given.odds) + spread[:, :, 0] + (spread[:, :, 1:] * weighed).sum(2)
    wanted = rule.floor + (1 - rule.floor) * torch.sigmoid(odds.clamp(-30, 30) * np.log(2))
    gain, gains = torch.ones_like(wanted[:, 0]), []
    for t in range(wanted.shape[1]):
        gain = torch.where(wanted[:, t] > gain, wanted[:, t], gain + (wanted[:, t] - gain) * rule.release)
        gains.append(gain)
    g, counts = torch.stack(gains, 1)[:, 10:], torch.from_numpy(rule.counts)
    cleaned, both, truth = (torch.from_numpy(a)[:, 10:] for a in (given.cleaned, given.both, given.truth))
    return tuple((row * counts).sum((1, 2)) for row in (g * g * cleaned, g * both, (1 - g) ** 2 * truth))


def test_sums_and_their_slopes_are_those_of_torch(seen: Evidence) -> None:
    rule = Rule.of(SETTING)
    rng = np.random.default_rng(1)
    first = torch.tensor(rng.normal(0, 0.5, (3, seen.seen.shape[1], WEIGHTS, BANDS)), dtype=torch.float32)
    slopes = []
    for how in (left, plain):
        weights = first.clone().requires_grad_()
        sums = how(weights, seen, rule)
        (sums[0].sum() * 0.3 + sums[1].sum() - 0.7 * sums[2].sum()).backward()
        slopes.append((torch.stack(list(sums)).detach().numpy(), weights.grad.numpy()))
    np.testing.assert_allclose(slopes[0][0], slopes[1][0], rtol=1e-3)
    scale = np.abs(slopes[1][1]).max()
    assert np.abs(slopes[0][1] - slopes[1][1]).max() < 1e-3 * scale


def test_zeros_are_the_rule_and_mics_may_be_permuted(seen: Evidence) -> None:
    network = PostFilter(16)
    given = torch.from_numpy(seen.seen)[None]
    answer, _, _ = network(given, torch.ones(1, 3))
    assert not answer.any()
    torch.nn.init.normal_(network.weights.weight)
    order = [2, 0, 1]
    one, _, _ = network(given, torch.ones(1, 3))
    other, _, _ = network(given[:, order], torch.ones(1, 3))
    np.testing.assert_allclose(other.detach(), one[:, order].detach(), atol=1e-5)
    more = torch.cat([given, torch.randn(1, 2, *given.shape[2:])], 1)
    padded, _, _ = network(more, torch.tensor([[1.0, 1, 1, 0, 0]]))
    np.testing.assert_allclose(padded[:, :3].detach(), one.detach(), atol=1e-5)


def test_it_is_causal_and_one_step_is_the_same(seen: Evidence) -> None:
    network = PostFilter(16)
    torch.nn.init.normal_(network.weights.weight)
    given = torch.from_numpy(seen.seen)[None, :, :40]
    whole, _, _ = network(given, torch.ones(1, 3))
    changed = given.clone()
    changed[:, :, 30:] += 5
    after, _, _ = network(changed, torch.ones(1, 3))
    np.testing.assert_array_equal(after[:, :, :30].detach(), whole[:, :, :30].detach())
    step, own, every = OneStep(network, card_of(SETTING, TOLD)), torch.zeros(1, 3, 16), torch.zeros(1, 3, 16)
    for t in range(40):
        answer, own, every = step(given[:, :, t].reshape(1, 3, VALUES * BANDS), own, every)
        np.testing.assert_allclose(answer.reshape(3, WEIGHTS, BANDS).detach(), whole[0, :, t].detach(), atol=1e-5)


def test_evidence_does_not_look_ahead_and_weights_what_it_says() -> None:
    made = concert(1)
    one = evidence(made, SETTING, 1.0, 0.5)
    turned = (np.concatenate([a[:, :72000], -a[:, 72000:]], 1) for a in (made.heard, made.cleaned, made.truth))
    later = CleanedConcert(*turned, made.doubt, "made")
    other = evidence(later, SETTING, 1.0, 0.5)
    np.testing.assert_array_equal(one.seen, other.seen)
    assert one.weighed.shape[1] == EVIDENCES
    # Bleed of half the amplitude is gone in the mics' cleaned spectra: what was taken is known.
    assert one.weighed[:, 4].max() > -1


def test_the_file_says_what_the_network_says(tmp_path: pathlib.Path, seen: Evidence) -> None:
    pytest.importorskip("onnxruntime")
    network = PostFilter(16)
    torch.nn.init.normal_(network.weights.weight)
    path = tmp_path / "foh.onnx"
    export(network, SETTING, TOLD, path)
    model = open_model(path)
    assert (model.card.kind, model.card.window, model.card.hop, model.card.steps) == ("step", 1024, 128, 3)
    worker = Gains(48000, 3, VALUES * BANDS, str(path))
    given = torch.from_numpy(seen.seen)[None]
    whole, _, _ = network(given, torch.ones(1, 3))
    for t in range(30):
        answer = worker.work(np.ascontiguousarray(seen.seen[:, t].reshape(3, -1)))[:, : WEIGHTS * BANDS]
        np.testing.assert_allclose(answer.reshape(3, WEIGHTS, BANDS), whole[0, :, t].detach(), atol=1e-4)
    kept = worker.snapshot()
    one = worker.work(np.ascontiguousarray(seen.seen[:, 30].reshape(3, -1))).copy()
    worker.restore(kept)
    np.testing.assert_array_equal(worker.work(np.ascontiguousarray(seen.seen[:, 30].reshape(3, -1))), one)


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    """Seven short concerts where `rtsep train` looks for them."""
    folder = tmp_path_factory.mktemp("cache")
    (folder / "concerts" / "synth").mkdir(parents=True)
    for n in range(7):
        concert(n, 2.1).save(folder / "concerts" / "synth" / f"{n:05d}.npz")
    return folder


@pytest.fixture(scope="module")
def material(cache: pathlib.Path) -> Material:
    """Keep what is seen of them; one is held out."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(store, "_KEPT_SECONDS", 1.0)
        paths = sorted((cache / "concerts" / "synth").iterdir())
        return Material(paths, cache / "foh-synth", SETTING, lambda _: None)


@pytest.fixture(autouse=True)
def short_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store, "_PART_SECONDS", 0.6)
    monkeypatch.setattr(store, "_PARTS", 3)
    torch.set_num_threads(1)


def test_what_is_drawn_is_part_of_what_was_seen(material: Material, tmp_path: pathlib.Path) -> None:
    """And only once: evidence that is there is not made again, what is damaged is said."""
    parts = material.draw(np.random.default_rng(3))
    rng, steps = np.random.default_rng(3), round(600 / SETTING.step_ms)
    assert len(material.learnt) == len(material.paths) - 1 == 6
    for place, part in zip(rng.integers(6, size=3), parts, strict=True):
        whole = store.read(material.learnt[place])
        first = int(rng.integers(whole.seen.shape[1] - steps))
        for name, values in vars(whole.part(first, steps)).items():
            found = getattr(part, name)
            assert found.dtype == np.float32
            assert found.flags.c_contiguous
            np.testing.assert_array_equal(found, values)
    played = concert(0, 2.1)
    begin = np.random.default_rng([0, 5]).uniform(1, played.heard.shape[1] / 48000 - 1)
    made = evidence(played, SETTING, float(begin), 1.0)
    kept = store.read(material.paths[0])
    np.testing.assert_array_equal(kept.truth, made.truth)
    np.testing.assert_array_equal(kept.odds, made.odds.astype(np.float16))
    np.testing.assert_array_equal(store.read_seen(material.paths[0]), kept.seen)
    before = {path: path.stat().st_mtime_ns for path in material.paths[0].parent.rglob("*.npy")}
    again = Material([path.with_suffix(".npz") for path in material.paths], material.paths[0].parent, SETTING,
                     lambda _: None)   # no such concerts: nobody looks for them
    assert again.paths == material.paths
    assert {path: path.stat().st_mtime_ns for path in material.paths[0].parent.rglob("*.npy")} == before
    (tmp_path / "seen.npy").write_bytes(b"half")
    with pytest.raises(InputError, match="is damaged"):
        store.read(tmp_path)


def test_batches_that_are_read_ahead_are_those_of_their_numbers(material: Material) -> None:
    drawn: list[int] = []

    class Counted:
        def draw(self, rng: np.random.Generator) -> list[Evidence]:
            drawn.append(1)
            return material.draw(rng)

    batches = _Batches(Counted(), 7, 3)   # type: ignore[arg-type]
    for number in (1, 2, 0):   # goes on in the midst; nothing comes after the last; begins anew
        wanted = material.draw(np.random.default_rng([7, number]))
        for one, other in zip(batches.take(number), wanted, strict=True):
            np.testing.assert_array_equal(one.weighed, other.weighed)
    batches.take(1)
    batches.take(2)
    assert len(drawn) == 5   # 1, 2, 0, 1, 2: none twice


def test_a_fit_learns_and_goes_on_bit_for_bit(material: Material, tmp_path: pathlib.Path) -> None:
    whole = Fitting(material, tmp_path / "a", 12, width=16)
    gains = [whole.step() for _ in range(12)]
    assert np.mean(gains[-3:]) > np.mean(gains[:3]) + 0.01
    half = Fitting(material, tmp_path / "b", 12, width=16)
    for _ in range(6):
        half.step()
    figures = half.judge()
    assert half.best is not None
    assert (half.best.done, half.best.figures) == (6, figures)
    again = Fitting(material, tmp_path / "b", 12, width=16)
    assert (again.done, again.best) == (6, half.best)
    for _ in range(6):
        again.step()
    for one, other in zip(whole.network.state_dict().values(), again.network.state_dict().values(), strict=True):
        assert torch.equal(one, other)
    kept = PostFilter.of(checkpoint.read_weights(tmp_path / "b"))
    for one, other in zip(half.network.state_dict().values(), kept.state_dict().values(), strict=True):
        assert torch.equal(one, other)
    (tmp_path / "b" / checkpoint.STATE).unlink()
    with pytest.raises(InputError, match="holds weights of another training"):
        Fitting(material, tmp_path / "b", 12, width=16)


def test_from_concerts_to_a_file(
    material: Material, cache: pathlib.Path, tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The two verbs, with concerts that are there; the file is the best network's, with its figures."""
    pytest.importorskip("onnxruntime")
    folder, model = tmp_path / "run", tmp_path / "m.onnx"
    command = ["train", "--system", "postfilter-foh", "--data", "synth", "--scenes", "7", "--steps", "2", "-o",
               str(folder), "--cache", str(cache)]
    assert main(command) == 0
    assert "2 batches" in capsys.readouterr().out
    assert main([*command[:8], "3", *command[9:]]) == 0   # more batches: it goes on
    run, state = checkpoint.read_run(folder), checkpoint.read_state(folder)
    assert state is not None
    assert run["done"] == state["done"] == 3
    assert run["figures"] == state["best"]["figures"]
    assert main(["export", str(folder), "-o", str(model)]) == 0
    card = open_model(model).card
    assert (card.system, card.steps, card.figures["mean"]) == ("postfilter-foh", run["best"], run["figures"]["mean"])
    capsys.readouterr()
    assert main([*command, "--seed", "2"]) == 2
    assert "holds a training whose seed is 1, not 2" in capsys.readouterr().err
    (folder / checkpoint.BEST).unlink()
    assert main(["export", str(folder), "-o", str(model)]) == 2
    assert "has no weights.pt" in capsys.readouterr().err
    assert len(material.paths) == 7


@pytest.mark.slow
def test_from_nothing_to_a_file_that_runs(tmp_path: pathlib.Path) -> None:
    folder, model = tmp_path / "run", tmp_path / "m.onnx"
    command = ["train", "--system", "postfilter-foh", "--data", "synth", "--scenes", "7", "--steps", "2", "-o",
               str(folder), "--cache", str(tmp_path / "cache")]
    assert main(command) == 0
    assert main([*command[:8], "3", *command[9:]]) == 0, "more batches: it goes on"
    assert main(["export", str(folder), "-o", str(model)]) == 0
    assert open_model(model).card.system == "postfilter-foh"
    assert main(["train", "--system", "postfilter-foh", "--data", "musdb:x", "-o", str(tmp_path / "y")]) == 2
    assert main(["train", "--system", "postfilter-foh", "--data", "synth", "--seed", "2", "--scenes", "7", "-o",
                 str(folder)]) == 2
