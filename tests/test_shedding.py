"""What is given up where a machine is too slow: bypassed stages, pairs left out, dry; and how all of it comes back."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from rtsep.bench import clicks
from rtsep.catalogue import STAGES
from rtsep.catalogue.canceller import SHARES
from rtsep.catalogue.spec import SHED_ORDER
from rtsep.chain import Chain
from rtsep.engine import Engine
from rtsep.hosts.overload import Overload
from rtsep.presets import loads
from rtsep.runner import process
from rtsep.session import Session
from rtsep.stage import RAMP_SECONDS, Block, Format, Stage
from rtsep.stages.canceller import Canceller
from rtsep.stages.mix import Input
from rtsep.stages.spectral import Spectral
from rtsep_kernels.canceller import record, sparing
from rtsep_kernels.plane.bypass import PERIOD, UNHEARD

RATE, MICS = 48000, 3
RAMP = Format(RATE, MICS).segments(RAMP_SECONDS) * 64
BACK = PERIOD + UNHEARD + RAMP + 2 * 64   # samples from the word until a stage is itself again, at most
GAIN = np.float32(0.25)
CUT, LONG = 20480, 9064   # when something is given up, and for how long: no multiple of a hop
PRESET = """
schema = 1
name = "test"
latency_class = "foh"
[[chain]]
stage = "input"
[[chain]]
stage = "canceller"
taps = 1024
[[chain]]
stage = "spectral"
analysis = 512
synthesis = 256
hop = 128
estimator = "unity"
[[chain]]
stage = "remote"
delay = 192
"""


def tones(mics: int, frames: int) -> Block:
    """Make sounds without a step in them, so that one that is made shows."""
    t = np.arange(frames) / RATE
    return np.stack([0.2 * np.sin(2 * np.pi * (300 + 170 * c) * t + c) for c in range(mics)]).astype(np.float32)


def noise(mics: int, frames: int) -> Block:
    return (0.1 * np.random.default_rng(3).standard_normal((mics, frames))).astype(np.float32)


def halved() -> tuple[Chain, Stage]:
    """Return a chain whose spectrum turns everything down: linear, with a latency, and told from its input."""
    spectral = Spectral("spectral", 512, 256, 128, "unity")
    chain = Chain([Input("input"), spectral])
    chain.prepare(Format(RATE, MICS))
    spectral.gains[:] = GAIN
    return chain, spectral


def play(x: Block, stage: Stage, turns: list[tuple[int, Callable[[], None]]], block: int = 480) -> Block:
    """Process, and do something at each of some samples."""
    pieces, last = [], 0
    for at, turn in [*turns, (x.shape[1], lambda: None)]:
        pieces.append(process(stage, np.ascontiguousarray(x[:, last:at]), block))
        turn()
        last = at
    return np.concatenate(pieces, axis=1)


def passed(chain: Chain, stage: Stage, over: int) -> Callable[[], None]:
    def turn() -> None:
        chain.bypasses[stage]["wanted"] = over
    return turn


def steepest(y: Block) -> float:
    """Return the largest bend of a signal: of a tone it is small, of a step large."""
    return float(np.abs(np.diff(y, 2, axis=1)).max())


def shed_and_back(x: Block, block: int = 480) -> Block:
    chain, spectral = halved()
    return play(x, chain, [(CUT, passed(chain, spectral, 1)), (CUT + LONG, passed(chain, spectral, 0))], block)


def test_a_stage_that_is_passed_over_gives_its_input_as_late_as_itself() -> None:
    x = noise(MICS, CUT + LONG)
    chain, spectral = halved()
    y = play(x, chain, [(CUT, passed(chain, spectral, 1))])
    settled = CUT + RAMP + 2 * 64
    late = spectral.latency
    np.testing.assert_array_equal(y[:, settled:], x[:, settled - late : x.shape[1] - late])
    assert chain.bypasses[spectral]["asleep"] == 1
    assert spectral.record["position"] < settled   # it is not called any more


def test_a_stage_that_comes_back_is_what_it_would_have_been() -> None:
    """Bit for bit, after the time that is stated; and unheard until then it is not."""
    x = noise(MICS, CUT + LONG + BACK + 4800)
    chain, _ = halved()
    whole, y = process(chain, x, 480), shed_and_back(x)
    np.testing.assert_array_equal(y[:, :CUT], whole[:, :CUT])
    back = CUT + LONG + BACK
    np.testing.assert_array_equal(y[:, back:], whole[:, back:])
    assert np.abs(y - whole)[:, back - RAMP - PERIOD : back].max() > 0


def test_going_and_coming_does_not_click() -> None:
    x = tones(MICS, CUT + LONG + BACK + 4800)
    y = shed_and_back(x)
    clean = steepest(x)   # the louder of what is faded between
    assert steepest(y[:, CUT // 2 :]) < 1.05 * clean
    hard = y.copy()
    hard[:, CUT + RAMP // 2 :] = x[:, CUT + RAMP // 2 :]
    assert steepest(hard) > 2 * clean   # the detector sees what a hard step would be


@pytest.mark.parametrize("block", [1, 37, 64, 2048])
def test_the_block_length_changes_no_bit_of_it(block: int) -> None:
    x = noise(MICS, 64 * 64 + 4000)
    def run(length: int) -> Block:
        chain, spectral = halved()
        turns = [(1280, passed(chain, spectral, 1)), (1280 + 64 * 20, passed(chain, spectral, 0))]
        return play(x, chain, turns, length)
    np.testing.assert_array_equal(run(block), run(480))


@pytest.mark.parametrize("cut", [CUT + 300, CUT + 5000, CUT + LONG + PERIOD + 3000])
def test_a_snapshot_in_between_goes_on_bit_for_bit(cut: int) -> None:
    """While it fades, while it sleeps, and while it runs unheard."""
    x = noise(MICS, CUT + LONG + BACK + 4800)
    chain, spectral = halved()
    word = cut < CUT + LONG
    turns = [(CUT, passed(chain, spectral, 1)), (CUT + LONG, passed(chain, spectral, 0))]
    play(x[:, :cut], chain, turns[: 1 if word else 2])
    kept = chain.snapshot()
    twin, other = halved()
    passed(twin, other, int(word))()
    twin.restore(kept)
    rest = np.ascontiguousarray(x[:, cut:])
    np.testing.assert_array_equal(process(twin, rest, 480), process(chain, rest, 480))


def engine(known: str = PRESET) -> Engine:
    made = Engine(loads(known, "test"))
    made.prepare(Format(RATE, MICS))
    return made


def test_the_ladder_is_in_order_of_class_and_ends_dry() -> None:
    made = engine()
    told = [rung.told for rung in made.ladder]
    assert told[0] == "canceller refines no more"
    assert told[1:3] == ["remote passed over", "spectral passed over"]
    assert told[3:-2] == [f"canceller without {n}/{SHARES} of its pairs" for n in range(1, SHARES)]
    assert told[-2:] == ["canceller passed over", "all mics dry"]
    made.close()


def test_every_saving_is_of_a_known_class_and_the_last_is_to_be_passed_over() -> None:
    for spec in STAGES.values():
        assert all(saving.order in SHED_ORDER for saving in spec.savings)
        assert not spec.savings or spec.savings[-1].told == "passed over"
    assert {name for name, spec in STAGES.items() if not spec.savings} == {"input"}


def test_dry_is_the_delayed_input_and_the_chain_sleeps() -> None:
    text = PRESET.replace('stage = "canceller"\ntaps = 1024\n', 'stage = "input"\nname = "second"\n')
    text = text[: text.index('[[chain]]\nstage = "remote"')]
    x = noise(MICS, CUT + LONG + 2 * BACK + 4800)
    whole = process(engine(text), x, 480)
    made = engine(text)
    positions = []

    def dry() -> None:
        made.shed(range(len(made.ladder)))

    def wet() -> None:
        positions.append(made.chain.stages[0].record["position"])
        made.shed(())

    y = play(x, made, [(CUT, dry), (CUT + LONG, wet)])
    late, settled = made.latency, CUT + RAMP + 2 * 64
    np.testing.assert_array_equal(y[:, settled : CUT + LONG], x[:, settled - late : CUT + LONG - late])
    assert positions[0] < settled
    np.testing.assert_array_equal(y[:, :CUT], whole[:, :CUT])
    # The chain comes back first, and the spectrum in it, which was passed over, too, only then.
    back = CUT + LONG + 2 * BACK
    np.testing.assert_array_equal(y[:, back:], whole[:, back:])


# The canceller's pairs

K = 4


def paths(frames: int = 1024) -> Block:
    rng = np.random.default_rng(5)
    made = rng.standard_normal((K, K, frames)) * 0.03 * np.exp(-np.arange(frames) / 150)
    made[..., 0] = 0   # of tap 0 all pairs are solved at once
    made *= np.linspace(0.3, 1.5, K * K).reshape(K, K, 1)
    made[np.arange(K), np.arange(K)] = 0
    return made.astype(np.float32)


def canceller(start: Block) -> Canceller:
    made = Canceller("canceller", 1024, refine=0, start=start, confidence=np.ones((K, K), np.float32))
    made.prepare(Format(RATE, K))
    made.board.set("canceller.adapt", 0)
    return made


def concert(frames: int) -> Block:
    sources = 0.1 * np.random.default_rng(1).standard_normal((K, frames))
    return (sources + 0.2 * np.roll(sources.sum(axis=0) - sources, 60, axis=1)).astype(np.float32)


def giving(stage: Canceller, shares: int) -> Callable[[], None]:
    return lambda: stage.shed(range(shares + 1) if shares else ())


def test_pairs_that_are_left_out_are_as_if_they_had_no_path() -> None:
    """And those that take least away go first."""
    x, start = concert(24000), paths()
    stage = canceller(start)
    y = play(x, stage, [(9600, giving(stage, 4))])
    out = stage._sparing["place"] == sparing.LEFT_OUT
    assert out.sum() == K * (K - 1) * 4 // SHARES
    energy = (start.astype(float) ** 2).sum(axis=-1)
    others = ~np.eye(K, dtype=bool)
    assert energy[out].max() < 2 * energy[others & ~out].min()
    fewer = np.where(out[..., None], np.float32(0), start)
    wanted = process(canceller(fewer), x, 480)
    np.testing.assert_allclose(y[:, 14400:], wanted[:, 14400:], atol=2e-6)
    assert np.abs(y - wanted)[:, :9600].max() > 1e-2


def test_reset_holds_and_sums_all_pairs() -> None:
    x, stage = concert(9600), canceller(paths())
    play(x, stage, [(2400, giving(stage, 4))])
    stage.reset()
    np.testing.assert_array_equal(process(stage, x), process(canceller(paths()), x))
    assert stage._paths["held"].sum() == K * (K - 1)
    giving(stage, 4)()
    assert stage._paths["held"].sum() == K * (K - 1) // 2


def test_pairs_come_back_as_if_they_had_never_left() -> None:
    x, start = concert(36000), paths()
    whole, stage = process(canceller(start), x, 480), canceller(start)
    y = play(x, stage, [(9600, giving(stage, 7)), (19200, giving(stage, 0))])
    np.testing.assert_array_equal(y[:, :9600], whole[:, :9600])
    np.testing.assert_allclose(y[:, 26000:], whole[:, 26000:], atol=2e-6)
    assert np.abs(y - whole)[:, 12000:19200].max() > 1e-2


def test_leaving_pairs_out_does_not_click() -> None:
    """Energy above 8 kHz around every step, against the runs with all pairs and with the fewest."""
    rng = np.random.default_rng(2)
    x = concert(48000)
    spectrum = np.fft.rfft(x, axis=1)
    spectrum[:, np.fft.rfftfreq(x.shape[1], 1 / RATE) > 4000] = 0   # so that a click stands out
    x = (np.fft.irfft(spectrum, x.shape[1]) + 1e-5 * rng.standard_normal(x.shape)).astype(np.float32)
    start, stage = paths(), canceller(paths())
    turns = [(9600 + 2400 * n, giving(stage, share)) for n, share in enumerate((1, 2, 4, 7, 5, 3, 0))]
    places = [at + 512 * n for at, _ in turns for n in range(5)]
    y = play(x, stage, turns)
    few = canceller(start)
    runs = [process(canceller(start), x), play(x, few, [(512, giving(few, 7))])]
    expected = np.max([clicks.high_energy(run, places, RATE) for run in runs], axis=0)
    assert (clicks.high_energy(y, places, RATE) < 2 * expected).all()
    y[1, 12000] += np.float32(0.003)   # a planted click is found
    assert clicks.high_energy(y, [12000], RATE)[1, 0] > 2 * expected[1].max()


@pytest.mark.parametrize("block", [1, 37, 64, 2048])
def test_the_block_length_changes_no_bit_of_that(block: int) -> None:
    x = concert(8192)
    def run(length: int) -> Block:
        stage = canceller(paths())
        return play(x, stage, [(1536, giving(stage, 3)), (4608, giving(stage, 1))], length)
    np.testing.assert_array_equal(run(block), run(480))


@pytest.mark.parametrize("cut", [9600 + 700, 9600 + 1700, 9600 + 5000])
def test_a_snapshot_goes_on_with_fewer_pairs(cut: int) -> None:
    x, stage = concert(19200), canceller(paths())
    play(x[:, :cut], stage, [(9600, giving(stage, 3))])
    twin = canceller(paths())
    for name in ("wanted", "asked"):
        twin._sparing[name] = stage._sparing[name]
    twin.restore(stage.snapshot())
    rest = np.ascontiguousarray(x[:, cut:])
    np.testing.assert_array_equal(process(twin, rest), process(stage, rest))


def test_pairs_learn_only_where_they_are_summed() -> None:
    """What is left of a pair that is left out must not teach it, or its path doubles."""
    x, stage = concert(60000), canceller(paths())
    stage.board.set("canceller.adapt", 1)
    held = stage._paths["held"]
    seen = []
    turns = [(9600, giving(stage, 4)), (9600 + 4 * 512, lambda: seen.append(held.copy()))]
    turns += [(28800, giving(stage, 0)), (28800 + 6 * 512, giving(stage, 0)), (40000, giving(stage, 0))]
    before = stage._paths["w_re"].copy()
    play(x[:, :9600], stage, [])
    still = stage._paths["w_re"].copy()
    stage.reset()
    play(x, stage, turns)
    assert seen[0].sum() == K * (K - 1) - K * (K - 1) * 4 // SHARES
    assert held.sum() == K * (K - 1)
    assert np.abs(still - before).max() > 0   # it does learn
    energy = [np.sum(w.astype(float) ** 2) for w in (before, stage._paths["w_re"])]
    assert energy[1] < 1.5 * energy[0]


def test_pairs_that_were_let_go_may_be_chosen_again() -> None:
    """Where pairs are chosen: nobody is taken for summed who is not, and no more are than there is room for."""
    stage = Canceller("canceller", 1024, refine=0, pairs=8, start=paths(), confidence=np.ones((K, K), np.float32))
    stage.prepare(Format(RATE, K))
    active, held, place = stage._applied["active"], stage._paths["held"], stage._sparing["place"]
    x = concert(48000)
    process(stage, x)
    chosen = int(active.sum())
    gone, out = 0, chosen * 4 // SHARES
    for n in range(100):   # as often as a host looks, for longer than a pair takes to be let go
        giving(stage, 4)()
        process(stage, np.ascontiguousarray(x[:, n % 20 * 2400 :][:, :2400]))
        gone = max(gone, chosen - int(active.sum()))
        assert not ((held == 1) & (place == sparing.LEFT_OUT)).any()
        assert n < 20 or int((active & (place == sparing.SUMMED)).sum()) <= 8 - out
    assert gone > 0
    assert not ((active == 0) & (place == sparing.LEFT_OUT)).any()
    for _ in range(20):
        giving(stage, 0)()
        process(stage, x[:, :2400].copy())
    assert not place.any()
    assert not ((held == 1) & (active == 0)).any()
    assert ((held == 1) | (stage._paths["leaving"] > 0) | (active == 0)).all()
    giving(stage, 4)()
    assert stage._choice["budget"] < 8
    stage.reset()
    assert stage._choice["budget"] == 8


def test_the_sizes_are_the_cancellers() -> None:
    assert (sparing._SEGMENT, sparing._BLOCK, sparing._ROW) == (record.SEGMENT, record.BLOCK, record.ROW)


# All together


def test_an_overloaded_engine_gives_up_its_classes_in_order_and_says_so() -> None:
    """A machine on which each stage of a chain takes its part of the deadline: told, not burnt."""
    made = engine()
    watch, said, order = Overload(made), [], []
    names = {stage.name: stage for stage in made.chain.stages}
    cost = {"remote": 0.25, "spectral": 0.3, "canceller": 0.8}
    x = noise(MICS, 2400)
    rng = np.random.default_rng(0)
    for n in range(140):
        process(made, x, 480)
        awake = [name for name in cost if not made.chain.bypasses[names[name]]["asleep"]]
        share = sum(cost[name] for name in awake)
        if "canceller" in awake:
            share -= cost["canceller"] * names["canceller"]._left_out / SHARES
        took = share * 64 / RATE * (1 + 0.02 * rng.standard_normal(37))
        watch.update(n * 0.05, took, 64, RATE, int(share > 1) * n)
        order += [name for name in cost if name not in awake and name not in order]
        if (line := watch.news()) is not None:
            said.append(line)
    assert order[:2] == ["remote", "spectral"]
    assert "canceller" not in order   # the two are enough
    assert watch.steps >= 2
    assert watch.seconds > 3
    assert "overload" in said[0]
    assert "fewer `pairs` or `taps`" in said[0]
    assert "spectral passed over" in said[-1]
    made.close()


def test_a_reload_goes_on_with_what_is_given_up() -> None:
    session = Session.open(loads(PRESET, "test"), RATE, ["a", "b", "c"])
    made = session.engine
    made.shed(range(4))
    made.reload(loads(PRESET.replace("hop = 128", "hop = 64"), "test"))
    names = {stage.name: made.chain.bypasses[stage]["wanted"] for stage in made.chain.stages}
    assert names == {"input": 0, "canceller": 0, "spectral": 1, "remote": 1}
    session.close()
