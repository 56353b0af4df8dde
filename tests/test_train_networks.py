"""Networks of the sources: exact numbers of parameters, shapes, learning, and who looks ahead how far."""

from __future__ import annotations

import pytest

torch = pytest.importorskip("torch")

from rtsep.errors import InputError  # noqa: E402
from rtsep.train.networks.densenet import MDenseNet  # noqa: E402
from rtsep.train.networks.dfunet import Attention, DfUNet  # noqa: E402
from rtsep.train.networks.network import Network, Past, count  # noqa: E402
from rtsep.train.networks.openunmix import OpenUnmix  # noqa: E402
from rtsep.train.networks.tunet import TUNet  # noqa: E402
from rtsep.train.networks.wavenet import Wavenet  # noqa: E402
from rtsep.train.networks.waveunet import WaveUNet  # noqa: E402
from rtsep.train.recipe import RECIPES  # noqa: E402

torch.set_num_threads(1)

# SYSTEMS.md 1.8 to 1.11 and 5.1 to 5.6; what is counted from a layer table there has a tolerance.
COUNTS = {
    "cae": 39_540_137, "t-unet": 3_528_736, "f-unet": 3_839_025, "df-unet": 3_839_025,
    "df-unet-gat": 3_839_025 + 16_768, "wavenet": 3_277_763, "deepconvsep": 357_482, "mask-inference": 210_359,
    "open-unmix": 8_893_348,
}
ABOUT = {"mdensenet": 0.29e6, "mmdensenet": 0.64e6, "wave-u-net": 10.26e6}


@pytest.mark.parametrize("name", RECIPES)
def test_parameters(name: str) -> None:
    recipe = RECIPES[name]
    found = count(recipe.build(**recipe.published), recipe.statistics)
    assert found == recipe.parameters
    assert found == COUNTS[name] if name in COUNTS else found == pytest.approx(ABOUT[name], rel=0.01)


def test_parameters_of_variants() -> None:
    assert count(Wavenet(sources=2)) == 3_277_249
    assert count(OpenUnmix(causal=True)) == 10_466_212
    assert count(Attention(128, "mics")) == 16_768
    assert count(MDenseNet(hands_on="last")) == pytest.approx(0.12e6, rel=0.01)
    assert count(MDenseNet(hands_on="last", multi=True)) == pytest.approx(0.27e6, rel=0.03)
    # The report's 30 filters; the public code has 50.
    assert count(RECIPES["deepconvsep"].build(filters=(50, 50))) > 357_482


def test_sizes_of_the_sources() -> None:
    """Time axes and fields of view as printed."""
    assert WaveUNet.lengths(12, 16384) == (147443, 16389)
    assert WaveUNet().context == (65527, 65527)
    assert Wavenet().context == (4092, 4092)   # 8185 samples, and 1601 of 9785 are left
    assert TUNet(frames=220500).dense[0].in_features == 6144
    x, sizes = torch.zeros(1, 1, 1, 220500), []
    for layer in TUNet(filters=(1,) * 5).encode:
        x = layer(x)
        sizes.append(x.shape[-1])
    assert sizes[2::3] == [24499, 2721, 302, 33, 3]
    mics, network = torch.zeros(1, 1, 220448), DfUNet(width=1, graph="mics").eval()
    y, sizes = mics[:, None], []
    for level in network.down:
        y = level(y, Past())
        sizes.append(y.shape[-1])
    assert sizes == [110224, 55112, 27556, 13778]
    with torch.no_grad():
        assert network(mics).shape == mics.shape
        assert WaveUNet(width=1)(torch.zeros(1, 2, 147443)).shape == (1, 4, 2, 16389)
        assert Wavenet(width=2, last=(2, 2))(torch.zeros(1, 1, 9785)).shape == (1, 4, 1601)
        assert OpenUnmix()(torch.zeros(1, 2, 3, 2049)).shape == (1, 2, 3, 2049)
        for frames, bins in ((8, 64), (24, 128), (16, 1025)):   # any multiple of 8
            network = MDenseNet(multi=True, **SMALL["mmdensenet"])
            assert network(torch.zeros(1, 2, frames, bins)).shape == (1, 2, frames, bins)


SMALL = {
    "cae": {"bins": 33, "width": 40, "filters": (4, 8)},
    "t-unet": {"frames": 12000, "filters": (4, 8, 8, 16), "dense": (32,)},
    "f-unet": {"width": 6, "dilations": (1, 1)}, "df-unet": {"width": 6, "dilations": (1, 2)},
    "df-unet-gat": {"width": 6, "dilations": (1, 2)},
    "mdensenet": {"blocks": ((4, 2),) * 7, "first": 8},
    "mmdensenet": {"low": ((4, 1),) * 7, "high": ((3, 1),) * 7, "full": ((2, 1),) * 7, "first": 8},
    "wavenet": {"stacks": 1, "layers": 4, "width": 16, "last": (32, 16)}, "deepconvsep": {"bins": 33},
    "wave-u-net": {"levels": 3, "width": 8}, "mask-inference": {"bins": 33}, "open-unmix": {"bins": 33, "kept": 25,
                                                                                          "width": 64},
}
"""Widths with which a batch is learnt in a second; the published ones are learnt in the slow test."""

CAUSAL = ("df-unet", "df-unet-gat", "mdensenet", "mmdensenet", "wavenet", "wave-u-net", "mask-inference", "open-unmix")
BINS = 33


def batch_of(name: str, network: Network, frames: int, bins: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Return an input, and a target that the network's form can reach."""
    recipe, draw = RECIPES[name], torch.Generator().manual_seed(1)
    if recipe.kind == "magnitude":
        x = torch.rand(2, 1, frames, bins, generator=draw)
        slope = torch.linspace(0.1, 0.9, bins)
        if name.endswith("densenet"):
            slope[bins - bins % 8 :] = 0.0   # which they leave out
        if recipe.task == "sources":
            return x, torch.stack([x * slope / 2, x * (1 - slope) / 2, x * slope / 2, x * (1 - slope) / 2], 1)
        return x, x * slope
    mics = 1 if recipe.task == "sources" else 4
    x = 0.3 * torch.randn(2, mics, frames, generator=draw)
    if recipe.task == "gains":
        return x, 0.3 * torch.rand(2, 4, 4, generator=draw) + 0.7 * torch.eye(4)
    if recipe.task == "mics":
        mixing = 0.7 * torch.eye(4) + 0.3
        return mixing @ x, x
    before, after = network.context
    part = torch.cat((x, x.roll(1, -1), x.roll(2, -1), x.roll(3, -1)), 1)[..., before : frames - after]
    return x, torch.cat((part[:, :3] * 0.3, x[..., before : frames - after] - 0.3 * part[:, :3].sum(1, True)), 1)


def learn(name: str, network: Network, frames: int, bins: int, steps: int, rate: float) -> float:
    """Return by what the loss of one batch is divided."""
    x, target = batch_of(name, network, frames, bins)
    if not isinstance(network, Wavenet | WaveUNet):
        network.apply(lambda m: setattr(m, "p", 0.0) if isinstance(m, torch.nn.Dropout) else None)
    optimiser = torch.optim.Adam(network.parameters(), rate)
    first = 0.0
    for _ in range(steps):
        loss = RECIPES[name].criterion(("a", "b", "c", "d"))(network(x), target, x)
        first = first or loss.item()
        if loss.item() < first / 10:
            break
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    return first / max(loss.item(), 1e-12)   # of DeepConvSep's loss parts are taken away: it may be below 0


LENGTHS = {"cae": 3, "t-unet": 12000, "deepconvsep": 30, "wave-u-net": WaveUNet.lengths(3, 100)[0], "wavenet": 300}


# Causal ones are made of the same parts; those that are small in themselves are tried here, too.
@pytest.mark.parametrize(("name", "causal"), [
    *((n, False) for n in RECIPES),
    *(pytest.param(n, True, marks=[pytest.mark.slow] if n.startswith(("df-unet", "md", "mm")) else []) for n in CAUSAL),
])
def test_each_learns_one_batch(name: str, causal: bool) -> None:
    torch.manual_seed(3)
    network = RECIPES[name].build(causal, **SMALL[name])
    frames = 16 if causal else LENGTHS.get(name, 32 if RECIPES[name].kind == "wave" else 16)
    rate = 5e-3 if RECIPES[name].task == "mics" else 2e-2 if name == "cae" else 1e-2
    assert learn(name, network, frames, BINS, 200, rate) > 10


@pytest.mark.slow
@pytest.mark.parametrize("name", RECIPES)
def test_each_learns_one_batch_at_its_published_width(name: str) -> None:
    """With shorter passages where the published length would take minutes a step, and six of Wave-U-Net's levels."""
    torch.manual_seed(3)
    recipe = RECIPES[name]
    network = recipe.build(**({"levels": 6} if name == "wave-u-net" else {}))
    frames = {"f-unet": 256, "df-unet": 256, "df-unet-gat": 256, "mdensenet": 32, "mmdensenet": 32,
              "wavenet": 8184 + 64, "mask-inference": 64, "open-unmix": 32,
              "wave-u-net": WaveUNet.lengths(6, 500)[0]}.get(name, recipe.frames)
    bins = 64 if name.endswith("densenet") else recipe.window // 2 + 1
    assert learn(name, network, frames, bins, 400, 1e-3) > 10


def shortened(name: str, causal: bool = True) -> Network:
    torch.manual_seed(5)
    network = RECIPES[name].build(causal, **SMALL[name])
    return network.eval()


@pytest.mark.parametrize("name", CAUSAL)
def test_the_future_changes_nothing_before_it(name: str) -> None:
    network = shortened(name)
    ahead, axis = network.look_ahead, 2
    assert ahead is not None
    x, _ = batch_of(name, network, 128, BINS)
    other = x.clone()
    turn = 64 + network.multiple - 1   # the last of its block
    other.narrow(axis, turn, 128 - turn).mul_(-8.0)
    with torch.no_grad():
        before, after = network(x), network(other)
    frames = -2 if RECIPES[name].kind == "magnitude" else -1
    early = turn - ahead
    assert float((before - after).narrow(frames, 0, early).abs().max()) <= 1e-6
    assert float((before - after).narrow(frames, early, 128 - early).abs().max()) > 1e-4   # it does look at its input


@pytest.mark.parametrize("name", CAUSAL)
def test_blocks_with_a_past_are_the_whole(name: str) -> None:
    network = shortened(name)
    x, _ = batch_of(name, network, 128, BINS)
    axis = -2 if RECIPES[name].kind == "magnitude" else -1
    with torch.no_grad():
        whole = network(x)
        found, states = [], []
        for block in x.split(max(16, network.multiple), 2):
            past = Past(states)
            found.append(network(block, past))
            states = past.kept
    assert states
    assert float((torch.cat(found, axis) - whole).abs().max()) <= 1e-5


def test_every_level_of_a_df_unet_hears() -> None:
    """As published the level dilated by 16 hears nothing of four mics."""
    network = DfUNet(width=2).eval()
    x = torch.randn(1, 1, 4, 512)
    with torch.no_grad():
        for level in network.down:
            x = level(x, Past())
            assert float(x.std((2, 3)).min()) > 1e-3


def test_published_ones_look_ahead() -> None:
    for name in CAUSAL:
        assert RECIPES[name].build(**SMALL[name]).look_ahead is None
    for name in set(RECIPES) - set(CAUSAL) - {"f-unet"}:
        with pytest.raises(InputError, match="no causal variant"):
            RECIPES[name].build(causal=True)
    with pytest.raises(InputError, match="has no option height"):
        RECIPES["cae"].build(height=3)


def test_softplus_learns_where_relu_is_dead() -> None:
    """SYSTEMS.md 1.10: a gain that starts below 0 stays there; and what is louder has the same matrix."""
    x = torch.randn(2, 4, 12000, generator=torch.Generator().manual_seed(1))
    for output, alive in (("relu", False), ("softplus", True)):
        torch.manual_seed(0)
        network = TUNet(output=output, **SMALL["t-unet"])
        with torch.no_grad():
            network.dense[-1].bias.fill_(-5.0)
        network(x).sum().backward()
        assert (float(network.dense[0].weight.grad.abs().max()) > 0) == alive
    network.eval()
    assert torch.allclose(network(x), network(0.1 * x), atol=1e-5)
    published = TUNet(level=False, **SMALL["t-unet"])
    assert not torch.allclose(published(x), published(0.1 * x), atol=1e-5)


def test_graph_of_mics_is_attention_at_each_time() -> None:
    """Against the formula, node by node; as published every mic and time is a node, and its own is none of them."""
    torch.manual_seed(1)
    x = torch.randn(1, 8, 3, 5)
    attention = Attention(8, "mics").eval()
    found = attention(x)
    w, a = attention.weight.weight, attention.score
    for time in range(5):
        h = x[0, :, :, time].T @ w.T
        e = torch.nn.functional.leaky_relu(h @ a[0][:, None] + (h @ a[1])[None], 0.2)
        want = torch.nn.functional.leaky_relu(e.softmax(1) @ h + attention.bias, 0.3)
        assert torch.allclose(found[0, :, :, time].T, want, atol=1e-5)
    cells = Attention(8, "cells").eval()
    moved = x.clone()
    moved[..., 4] += 1.0
    assert not torch.allclose(cells(x)[..., 0], cells(moved)[..., 0])   # other times are heard
    assert torch.allclose(attention(x)[..., 0], attention(moved)[..., 0])
    assert DfUNet(graph="cells", width=2)(torch.zeros(1, 4, 32)).shape == (1, 4, 32)
