"""Training and export: material and its cache, resuming after a kill, early stop, verbs, cards, causality, parity."""

from __future__ import annotations

import dataclasses
import json
import os
import pathlib
import signal
import subprocess
import sys
import time
from collections.abc import Callable

import numpy as np
import pytest

torch = pytest.importorskip("torch")
onnxruntime = pytest.importorskip("onnxruntime")
onnx = pytest.importorskip("onnx")

from rtsep.cli import main  # noqa: E402
from rtsep.errors import InputError  # noqa: E402
from rtsep.models.card import LEVEL, Card, from_metadata  # noqa: E402
from rtsep.train import checkpoint, losses, store  # noqa: E402
from rtsep.train.examples import Examples, magnitudes, sources_of  # noqa: E402
from rtsep.train.export import Deployed, card_of, check_causal, check_parity, to_onnx, write  # noqa: E402
from rtsep.train.loop import Progress, Settings, train  # noqa: E402
from rtsep.train.material import Material, make, plan  # noqa: E402
from rtsep.train.recipe import RECIPES, Recipe  # noqa: E402
from rtsep.train.store import Concert, collect  # noqa: E402

torch.set_num_threads(1)
STEMS = ("vocals", "bass", "drums", "other")


def noise(count: int = 4, frames: int = 24000, seed: int = 1, names: tuple[str, ...] = STEMS) -> Concert:
    """Return a concert of noise with linear bleed."""
    rng = np.random.default_rng(seed)
    sources = (0.1 * rng.standard_normal((count, frames))).astype(np.float32)
    mixing = np.round(0.9 * np.eye(count) + 0.1, 2)
    images = np.diag(mixing)[:, None].astype(np.float32) * sources
    return Concert(names[:count], (mixing @ sources).astype(np.float32), images, sources, mixing)


@pytest.fixture(scope="module")
def stems(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    """Return a folder of two songs of four stems, 2.2 s each; in the second the bass rests."""
    import soundfile

    folder = tmp_path_factory.mktemp("stems")
    rng = np.random.default_rng(1)
    for song in ("one", "two"):
        (folder / song).mkdir()
        for name in STEMS:
            sound = 0.0 if (song, name) == ("two", "bass") else 0.1 * rng.standard_normal(17600)
            soundfile.write(folder / song / f"{name}.wav", np.broadcast_to(sound, 17600), 8000)
    return folder


def test_material_of_a_folder_is_cut_mixed_and_cached(stems: pathlib.Path, tmp_path: pathlib.Path) -> None:
    material = Material(str(stems), "linear", 8000, 1.0, off=(0.1, 0.2), own=(0.7, 0.8))
    jobs = plan(material)
    assert [(j.track, j.start) for j in jobs] == [(0, 0.0), (0, 1.0), (1, 0.0), (1, 1.0)]
    shares: list[float] = []
    found = collect(material, tmp_path, 1, shares.append)
    assert len(found) == 2   # where the bass rests there is nothing to learn of it
    assert shares == [0.25, 0.5, 0.75, 1.0]
    for one in found:
        assert one.mixing is not None
        off = one.mixing[~np.eye(4, dtype=bool)]
        assert 0.099 < off.min() < off.max() < 0.201
        assert 0.699 < np.diag(one.mixing).min() < np.diag(one.mixing).max() < 0.801
        assert np.allclose(one.mics, one.mixing @ one.sources, atol=1e-5)
        assert np.allclose(one.images, np.diag(one.mixing)[:, None] * one.sources, atol=1e-5)
        assert np.sqrt(np.square(one.mics).mean()) == pytest.approx(LEVEL, rel=1e-3)
    again: list[float] = []
    assert np.array_equal(collect(material, tmp_path, 1, again.append)[0].mics, found[0].mics)
    assert again == []   # nothing is made twice
    keys = {job.key for job in jobs}
    assert not keys & {j.key for j in plan(dataclasses.replace(material, off=(0.1, 0.3)))}
    import soundfile

    soundfile.write(stems / "one" / "bass.wav", np.zeros(17600) + 0.1, 8000)
    assert len(keys & {j.key for j in plan(material)}) == 2   # the song whose file has changed is made anew


def test_material_of_rooms_synthesiser_and_cases(tmp_path: pathlib.Path) -> None:
    assert make(plan(Material("synth", "none", 8000, 1.0, 1))[0]).names == STEMS
    for bleed in ("none", "rooms"):
        scene = make(plan(Material("synth", bleed, 8000, 1.0, 3, mics=2))[2])
        assert scene is not None
        assert scene.names == ("drums", "bass")
        assert scene.mics.shape == (2, 8000)
        bleeding = np.abs(scene.mics - scene.images).max()
        assert (bleeding > 1e-3) == (bleed != "none")
    rng = np.random.default_rng(1)
    images = rng.standard_normal((3, 3, 48000)).astype(np.float32)
    np.savez(tmp_path / "kit.npz", mix=images.sum(1), images=images, fs=48000)
    scene = make(plan(Material(f"cases:{tmp_path}", rate=16000, seconds=0.5))[1])
    assert scene is not None
    assert scene.images.shape == (3, 8000)
    assert np.corrcoef(scene.images[1, 100:-100], images[1, 1, 24000:48000:3][100:-100])[0, 1] > 0.5
    with pytest.raises(InputError, match="4 places"):
        make(plan(Material("synth", "room", 8000, 1.0, 1, mics=5))[0])
    if not __import__("importlib.util").util.find_spec("mirdata"):
        with pytest.raises(InputError, match="pip install mirdata"):
            plan(Material("saraga"))


@pytest.mark.parametrize("workers", [1, pytest.param(2, marks=pytest.mark.slow)])
def test_after_a_kill_the_rest_of_the_concerts_are_made(workers: int, tmp_path: pathlib.Path) -> None:
    """Alone, and side by side: the same ones."""
    material = Material("synth", "linear", 8000, 1.0, 3)
    one = plan(material)[1]
    store._store(tmp_path, one)
    before = (tmp_path / f"{one.key}.npy").stat().st_mtime_ns
    (tmp_path / f"{plan(material)[2].key}.npy").write_bytes(b"half")   # killed while it wrote
    found = collect(material, tmp_path, workers)
    assert len(found) == 3
    assert (tmp_path / f"{one.key}.npy").stat().st_mtime_ns == before
    alone = collect(material, tmp_path / "alone", 1)
    assert all(np.array_equal(a.mics, b.mics) for a, b in zip(found, alone, strict=True))


@pytest.mark.parametrize("name", ["cae", "t-unet", "df-unet", "open-unmix", "wavenet"])
def test_examples_of_each_task(name: str) -> None:
    recipe = RECIPES[name]
    stem = "drums" if recipe.task in ("mic", "target") else ""
    concert = noise()
    context = (40, 40) if name == "wavenet" else (0, 0)
    examples = Examples(recipe, [concert], 16 if name == "open-unmix" else 3 if name == "cae" else 400, stem, context)
    x, y = examples.batch(2, 1, 5)
    assert np.array_equal(x, examples.batch(2, 1, 5)[0])
    assert not np.array_equal(x, examples.batch(2, 1, 6)[0])
    assert sources_of(recipe, [concert], stem) == {"open-unmix": ("drums",), "wavenet": STEMS}.get(name, ())
    if name == "cae":
        assert x.shape == y.shape == (2, 1, 3, 1025)
    elif name == "t-unet":
        assert x.shape == (2, 4, 400)
        assert np.allclose(y, concert.mixing, atol=1e-4)
    elif name == "df-unet":
        assert np.allclose(x, (concert.mixing / np.diag(concert.mixing)) @ y, atol=1e-5)
    elif name == "wavenet":
        assert x.shape == (2, 1, 400)
        assert np.allclose(y.sum(1), x[:, 0, 40:-40], atol=1e-5)
        assert np.sqrt(np.square(x).mean()) == pytest.approx(LEVEL, rel=0.1)   # where hosts bring a mixture, too
    else:
        assert x.shape == y.shape == (2, 1, 16, 2049)


def test_of_each_data_set_some_are_not_trained_on() -> None:
    concerts = [noise(seed=n, frames=8) for n in range(25)]
    trained, unseen = store.hold_out(concerts)
    assert trained == concerts[:23]
    assert unseen == concerts[23:]
    assert store.hold_out(concerts[:1]) == (concerts[:1], concerts[:1])


def test_stems_of_other_songs_and_gains_and_a_stem_that_sounds() -> None:
    """The stem that is looked for stays that of its song; where it rests examples are rare if that is asked for."""
    constant = [dataclasses.replace(noise(), mics=np.full((4, 24000), 0.01 * n, np.float32)) for n in (1, 2, 3)]
    recipe = dataclasses.replace(RECIPES["wavenet"], gains=(1.0, 1.0))
    plain = Examples(recipe, constant, 400).batch(40, 1)[1]
    varied = Examples(recipe, constant, 400, varied=True).batch(40, 1)[1]
    assert (plain.std(1) < 1e-6).all()
    assert (varied[..., 0].std(1) > 1e-3).any()
    loud = Examples(dataclasses.replace(recipe, remix=False, gains=(0.5, 2.0)), constant[:1], 400, varied=True)
    gains = loud.batch(40, 1)[1][..., 0] / plain[0, 0, 0]
    assert 0.5 <= gains.min() < 0.8
    assert 1.6 < gains.max() <= 2.0
    resting = noise()
    resting.mics[2, :20000] = 0
    for share, least, most in ((0.0, 0.6, 1.0), (1.0, 0.0, 0.1)):
        x, y = Examples(RECIPES["wavenet"], [resting], 400, "drums", sounding=share).batch(100, 1)
        assert least <= (np.abs(y[:, 0]).max(1) < 1e-9).mean() <= most
        assert np.allclose(y.sum(1), x[:, 0], atol=1e-5)
    with pytest.raises(InputError, match="together with --stem"):
        Examples(RECIPES["wavenet"], [resting], 400, sounding=0.5)


def test_gains_in_rooms_are_those_of_images() -> None:
    concert = noise()
    room = dataclasses.replace(concert, mixing=None)
    _, y = Examples(RECIPES["t-unet"], [room], 400).batch(1, 1)
    assert np.allclose(np.diag(y[0]), 1.0, atol=1e-4)


def test_magnitudes_are_those_of_each_frame() -> None:
    x = np.random.default_rng(1).standard_normal(64 + 3 * 16).astype(np.float32)
    taper = np.sin(np.pi * np.arange(64) / 64)
    want = [np.abs(np.fft.rfft(x[16 * n : 16 * n + 64] * taper)) for n in range(4)]
    assert np.allclose(magnitudes(x, 64, 16, "sqrt-hann"), want, atol=1e-4)
    assert np.allclose(magnitudes(x, 64, 16, "hann")[0], np.abs(np.fft.rfft(x[:64] * taper**2)), atol=1e-4)


def test_losses_of_the_sources() -> None:
    truth = torch.tensor([[[1.0], [0.0], [2.0]]])   # [batch, sources, frames]
    guess = torch.tensor([[[0.5], [1.0], [9.0]]])
    x = truth.sum(1)
    assert float(losses.estimated(guess, truth, x)) == pytest.approx((0.5 + 1.0) / 2)
    assert float(losses.dissimilar(guess, truth, x)) == pytest.approx(0.5 - 0.05 * 1.5)
    assert float(losses.squares(guess, truth, x)) == pytest.approx((0.25 + 1 + 49) / 3)
    assert float(losses.magnitudes(guess, truth, x)) == pytest.approx((0.5 + 1 + 7) / 3)
    found = float(losses.deep_conv_sep(("vocals", "drums", "other"))(guess, truth, x))
    pairs = 2 * (0.5**2 + 8.5**2 + 8.0**2)
    assert found == pytest.approx(0.25 + 1 + 49 - 0.001 * pairs - 0.03 * 1.5**2 - 0.01 * 1.0**2)
    wavenet = RECIPES["wavenet"]
    assert wavenet.criterion(("voice", "rest")) is losses.dissimilar
    assert wavenet.criterion(STEMS) is losses.estimated


SMALL: Recipe = dataclasses.replace(RECIPES["mask-inference"], frames=24, batch=4, steps=4)
SETTINGS = Settings(steps=12, batch=4, frames=24, every=3, stem="drums", options={"width": 6})

SCRIPT = """
import sys, pathlib
sys.path.insert(0, {tests!r})
from test_train_loop import SETTINGS, SMALL, noise
from rtsep.train.loop import train
train(SMALL, [noise(seed=n) for n in range(3)], pathlib.Path(sys.argv[1]), SETTINGS,
      tell=lambda p: print(p.step, flush=True))
"""


def interrupted(folder: pathlib.Path) -> None:
    """Train until a checkpoint has been written, and one step more."""

    def tell(progress: Progress) -> None:
        if progress.step == 7:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(SMALL, [noise(seed=n) for n in range(3)], folder, SETTINGS, tell=tell)


def killed(folder: pathlib.Path) -> None:
    """Do the same in a process that dies of it."""
    script = SCRIPT.format(tests=str(pathlib.Path(__file__).parent))
    process = subprocess.Popen([sys.executable, "-c", script, str(folder)], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    for line in process.stdout:
        if line.strip() == "7":
            process.send_signal(signal.SIGKILL)
            break
    assert process.wait() == -signal.SIGKILL


@pytest.mark.parametrize("end", [interrupted, pytest.param(killed, marks=pytest.mark.slow)])
def test_a_training_that_is_killed_ends_as_one_that_is_not(
    end: Callable[[pathlib.Path], None], tmp_path: pathlib.Path
) -> None:
    """Between two checkpoints; on a CPU the weights are the same bit for bit, dropout and all."""
    end(tmp_path / "killed")
    concerts = [noise(seed=n) for n in range(3)]
    state = checkpoint.read_state(tmp_path / "killed")
    assert state is not None
    assert state["step"] in (6, 9)
    for folder in ("killed", "whole"):
        steps: list[Progress] = []
        told = train(SMALL, concerts, tmp_path / folder, SETTINGS, tell=steps.append)
        assert steps[0].step == (state["step"] + 1 if folder == "killed" else 1)
        assert told["done"] == 12
    again, whole = (checkpoint.read_state(tmp_path / f) for f in ("killed", "whole"))
    assert again is not None
    assert whole is not None
    assert again["history"] == whole["history"]
    for name, weights in whole["network"].items():
        assert torch.equal(weights, again["network"][name]), name
    assert all(torch.equal(w, checkpoint.read_weights(tmp_path / "killed")[n])
               for n, w in checkpoint.read_weights(tmp_path / "whole").items())
    assert (tmp_path / "whole" / "curves.png").read_bytes()[:4] == b"\x89PNG"
    with pytest.raises(InputError, match="whose seed is 1, not 2"):
        train(SMALL, concerts, tmp_path / "whole", dataclasses.replace(SETTINGS, seed=2))


def test_early_stop_fine_tuning_and_what_is_refused(tmp_path: pathlib.Path) -> None:
    concerts = [noise(seed=n) for n in range(2)]
    still = dataclasses.replace(RECIPES["t-unet"], optimiser=lambda p: torch.optim.SGD(p, 0.0))
    settings = Settings(steps=100, every=1, patience=2, batch=1, frames=12000,
                        options={"filters": (2, 2, 2, 2), "dense": (4,)})
    told = train(still, concerts, tmp_path / "still", settings)
    assert told["stopped_early"]
    assert told["done"] == 3
    tuned = dataclasses.replace(settings, start=str(tmp_path / "still"), seed=7, steps=1)
    train(still, concerts, tmp_path / "tuned", tuned)
    one, two = (checkpoint.read_weights(tmp_path / f)["dense.0.weight"] for f in ("still", "tuned"))
    assert torch.equal(one, two)   # of another seed it would have begun elsewhere
    for changed, text in (
        ({"device": "gpu"}, "allowed are auto, cpu, cuda"),
        ({"precision": "mixed", "device": "cpu"}, "mixed is for CUDA"),
        ({"stem": "flute"}, "there is no flute"), ({"stem": ""}, "is for one stem"),
        ({"frames": 9999}, "longer --seconds"),
        ({"options": {"channels": 2}}, "mono"), ({"start": str(tmp_path)}, "has no weights.pt"),
        ({"start": str(tmp_path / "still")}, "another network"),
        *([] if torch.cuda.is_available() else [({"device": "cuda"}, "no CUDA device")]),
    ):
        with pytest.raises(InputError, match=text):
            train(SMALL, concerts, tmp_path / "refused", dataclasses.replace(SETTINGS, **changed))
    unknown = dataclasses.replace(concerts[0], images=concerts[0].images[:0], sources=concerts[0].sources[:0])
    with pytest.raises(InputError, match="nobody knows"):
        train(RECIPES["cae"], [unknown], tmp_path / "refused", dataclasses.replace(SETTINGS, options={}))


EXPORTED: dict[str, dict[str, object]] = {
    "cae": {"width": 2, "filters": (2, 2)}, "t-unet": {"frames": 12000, "filters": (2, 2, 2, 2), "dense": (4,)},
    "f-unet": {"width": 2}, "df-unet": {"width": 2}, "df-unet-gat": {"width": 2},
    "mdensenet": {"blocks": ((2, 1),) * 7, "first": 2},
    "mmdensenet": {"low": ((2, 1),) * 7, "high": ((3, 1),) * 7, "full": ((2, 1),) * 7, "first": 2},
    "wavenet": {"stacks": 1, "layers": 4, "width": 4, "last": (4, 4)}, "deepconvsep": {"filters": (4, 4), "width": 8},
    "wave-u-net": {"levels": 3, "width": 2}, "mask-inference": {"width": 8}, "open-unmix": {"width": 16},
}
CAUSAL = ("df-unet", "df-unet-gat", "mdensenet", "mmdensenet", "wavenet", "wave-u-net", "mask-inference", "open-unmix")


def deployed(name: str, causal: bool) -> Deployed:
    """Return an untrained network with the card that its training would have."""
    recipe = RECIPES[name]
    torch.manual_seed(1)
    network = recipe.build(causal, **EXPORTED[name])
    for part in network.modules():
        if isinstance(part, torch.nn.modules.batchnorm._BatchNorm):   # as after training: not 0 and 1
            part.running_mean.uniform_(-0.1, 0.1)
            part.running_var.uniform_(0.5, 2.0)
    sources = {"target": ["drums"], "sources": list(STEMS)}.get(recipe.task, [])
    with torch.no_grad():
        for weights in network.parameters():   # untrained, the deepest levels are hardly heard
            weights.mul_(2.5 if weights.ndim > 1 and recipe.task == "mics" else 1.0)
        if name == "cae" or name.endswith("densenet"):   # whose output would be cut at 0
            list(network.parameters())[-1].add_(0.5)
    run = {"sources": sources, "mics": 4, "frames": 12000 if name == "t-unet" else 0, "data": "", "done": 0, "seed": 1,
           "figures": {}}
    return Deployed(network, card_of(recipe, network, run)).eval()


REST = {("f-unet", False), ("df-unet", False), ("df-unet-gat", False), ("df-unet", True), ("mdensenet", False),
        ("mmdensenet", False), ("mmdensenet", True), ("open-unmix", False), ("wave-u-net", False)}
"""Whose parts are in others, too."""


@pytest.mark.parametrize(("name", "causal"), [
    pytest.param(n, c, marks=[pytest.mark.slow] if (n, c) in REST else [])
    for n, c in [*((n, False) for n in RECIPES), *((n, True) for n in CAUSAL)]
])
def test_torch_is_onnx_offline_and_in_a_stream(name: str, causal: bool) -> None:
    model = deployed(name, causal)
    check_causal(model, name)
    data = to_onnx(model)
    check_parity(model, data, name)
    card = model.card
    assert (card.look_ahead is not None) == (causal or name in ("cae", "deepconvsep", "t-unet"))
    assert bool(card.states) == causal
    with torch.no_grad():   # planted: a file of other weights
        for weights in model.network.parameters():
            weights.add_(0.5)
    with pytest.raises(InputError, match="differs from torch"):
        check_parity(model, data, name)


@pytest.mark.parametrize("name", ["wavenet", "mask-inference", "df-unet"])
def test_a_model_that_looks_ahead_is_refused(name: str, tmp_path: pathlib.Path) -> None:
    """Planted: a network that looks both ways, with a card that says it does not; and one that looks too far."""
    model = deployed(name, False)
    model.card = dataclasses.replace(model.card, look_ahead=0)
    with pytest.raises(InputError, match="is not causal: declares to look 0 samples ahead"):
        write(model, tmp_path / "x.onnx")
    assert not (tmp_path / "x.onnx").exists()
    if name == "df-unet":
        model = deployed(name, True)
        assert model.card.look_ahead == 15
        model.card = dataclasses.replace(model.card, look_ahead=8)
        with pytest.raises(InputError, match=r"declares to look 8 samples ahead, and looks (9|1\d) or more"):
            write(model, tmp_path / "x.onnx")


def test_from_material_to_a_file(
    stems: pathlib.Path, tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The two verbs; killed or not, the same command goes on."""
    command = ["train", "--system", "mask-inference", "--data", str(stems), "-o", str(tmp_path / "run"),
               "--stem", "drums", "--seconds", "1", "--causal", "--set", "width=6", "--frames", "16", "--batch", "2",
               "--steps", "4", "--every", "2", "--cache", str(tmp_path / "cache"), "--workers", "1", "--bleed", "none",
               "--threads", "1"]
    assert main(command) == 0
    said = capsys.readouterr()
    assert "4 steps" in said.out
    assert "step 4 of 4" in said.err
    assert main([*command, "--steps", "6", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["done"] == 6
    assert main(["export", str(tmp_path / "run"), "-o", str(tmp_path / "m.onnx"), "--licence", "CC0-1.0"]) == 0
    assert "looks 0 samples ahead, 2 states" in capsys.readouterr().out
    proto = onnx.load(tmp_path / "m.onnx")
    card = from_metadata({p.key: p.value for p in proto.metadata_props}, "m.onnx")
    assert isinstance(card, Card)
    assert (card.system, card.kind, card.rate) == ("mask-inference", "magnitude", 44100)
    assert (card.window, card.hop) == (512, 128)
    assert (card.channels, card.sources, card.look_ahead, card.latency, card.steps) == (0, ("drums",), 0, 0, 6)
    assert (card.licence, card.taper) == ("CC0-1.0", "sqrt-hann")
    assert set(card.figures) == {"loss", "validated"}
    assert card.commit
    assert "bleed none" in card.data
    session = onnxruntime.InferenceSession(str(tmp_path / "m.onnx"), providers=["CPUExecutionProvider"])
    x = np.abs(np.random.default_rng(1).standard_normal((1, 3, 7, 257))).astype(np.float32)
    zeros = {a: np.zeros((2, 3, 12), np.float32) for a, _ in card.states}
    assert session.run(["y"], {"x": x, **zeros})[0].shape == (1, 1, 3, 7, 257)   # any number of mics and frames
    for wrong, text in (
        (["train", "--system", "hum"], "it needs --system, --data and -o"),
        (["train", "--system", "hum", "--data", "synth", "-o", "x"], "there is no hum"),
        ([*command, "--set", "height=3"], "no option height"), ([*command, "--off", "0.5", "0.1"], "no range of gains"),
        ([*command[:3], "--data", str(tmp_path / "none"), *command[5:]], "no such folder"),
        ([*command, "--seed", "2"], "holds a training"), ([*command, "--every", "-1"], "too small"),
        (["export", str(tmp_path), "-o", str(tmp_path / "n.onnx")], "has no run.json"),
    ):
        assert main(wrong) == 2
        told = capsys.readouterr().err
        assert text in told
        assert told.count("\n") == 1
    assert main(["train", "--list"]) == 0
    assert "39 540 137" in capsys.readouterr().out


def test_without_torch_one_line_says_what_to_install(tmp_path: pathlib.Path) -> None:
    (tmp_path / "torch.py").write_text("raise ImportError")
    script = ("import importlib.util, sys\nreal = importlib.util.find_spec\n"
              "importlib.util.find_spec = lambda n, *a: None if n == 'torch' else real(n, *a)\n"
              "from rtsep.cli import main\nsys.exit(main(sys.argv[1:]))")
    for verb in (["train", "--list"], ["export", "x", "-o", "y"]):
        done = subprocess.run([sys.executable, "-c", script, *verb], capture_output=True, text=True, check=False)
        assert done.returncode == 2
        assert "torch is not installed; pip install 'rtsep[train,cpu]'" in done.stderr
        assert done.stderr.count("\n") == 1


@pytest.mark.slow
def test_ctrl_c_leaves_what_was_made(tmp_path: pathlib.Path) -> None:
    """Concerts that are there are not made again, and no process stays."""
    command = [sys.executable, "-m", "rtsep", "train", "--system", "cae", "--data", "synth", "--stem", "drums",
               "--scenes", "40", "--workers", "2", "--cache", str(tmp_path / "cache"), "-o", str(tmp_path / "run"),
               "--steps", "1"]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, start_new_session=True)
    until = time.monotonic() + 120
    while len(list((tmp_path / "cache").glob("*.json"))) < 2 and time.monotonic() < until:
        time.sleep(0.2)
    os.killpg(process.pid, signal.SIGINT)
    _, said = process.communicate(timeout=60)
    assert process.returncode == 130
    assert said.count("\n") == 1
    made = len(list((tmp_path / "cache").glob("*.json")))
    assert 2 <= made < 40
    assert len(list((tmp_path / "cache").glob("*.npy"))) <= made + 2
