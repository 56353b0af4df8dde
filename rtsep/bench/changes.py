"""Does anything click that changes: filters, modes, matrices, chains. Steps in sustained voices, change by change.

A step is counted where filters change, at multiples of 512 samples, and half a block later, where there is none: what
is found there is chance. Voices themselves have no steps, see the first row.
"""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from rtsep.bench import clicks
from rtsep.bench.history import LESS, Reading, exact
from rtsep.bench.voices import Choir, choir, room
from rtsep.calibration import Calibration
from rtsep.engine import Engine
from rtsep.errors import InputError
from rtsep.learning import learn
from rtsep.presets import Preset, load
from rtsep.runner import process
from rtsep.session import Session
from rtsep.stage import Block
from rtsep_kernels.canceller.record import BLOCK

RATE = 48000
SOLO = 3.0                 # seconds that each voice sings alone in the soundcheck
FADER_DB = -4.0
EDGE_SECONDS = 0.05        # of what changes at the input: no step of its own
BURST = 0.3                # RMS of the noise of a broken cable
_NOISE_DB = 0.5            # of a largest step: other versions of libraries make other voices' last bits
INSTANT = 0.3              # how much of each voice an instantaneous mixture has in the others' mics

Action = Callable[[Engine], None]


@dataclass(frozen=True, eq=False)
class Change:
    """What happens in a show.

    Parameters
    ----------
    name : str
    mics : float32[mics, frames]
    known : Calibration, optional
        What it begins with.
    actions : mapping of int to callable
        What is done to the engine, by the sample before which it is done.
    hides : int, optional
        A mic whose own sound would hide steps: it is not judged.
    """

    name: str
    mics: Block
    known: Calibration | None = None
    actions: Mapping[int, Action] = field(default_factory=dict)
    hides: int | None = None


@dataclass(frozen=True)
class Found:
    """What was heard of a change, over all mics.

    Parameters
    ----------
    name : str
    steps, chance, elsewhere : int
        Steps at multiples of 512 samples, half a block later, and at all other samples.
    worst_db, chance_db : float
        Largest step at a multiple of 512 and half a block later, dBFS, counted or not; -75 is the mics' noise.
    high_db : float
        By how much the most energy above 8 kHz within 5 ms of multiples of 512 exceeds that half a block later, in the
        mic where it does most.
    """

    name: str
    steps: int
    chance: int
    elsewhere: int
    worst_db: float
    chance_db: float
    high_db: float


def changes(preset: Preset, mics: int, seconds: float, seed: int, only: Collection[str] = ()) -> Iterator[Change]:
    """Make each show, or those named.

    Raises
    ------
    InputError
        If there is none of a name.
    """
    for name in only:
        if name not in SHOWS:
            raise InputError("--only", f"there is no change {name!r}", f"allowed are {', '.join(SHOWS)}")
    singing = choir(mics, seconds, RATE, seed)
    known = soundcheck(singing)
    for name, make in SHOWS.items():
        if not only or name in only:
            yield make(singing, known, preset)


def soundcheck(singing: Choir) -> Calibration:
    """Let each voice sing alone, and learn."""
    mics, length = len(singing.voices), round(SOLO * RATE)
    check = choir(mics, SOLO * mics, RATE, 1000)
    alone = np.repeat(np.eye(mics), length, axis=1)
    solos = [(f"mic{n + 1}", n * SOLO, (n + 1) * SOLO) for n in range(mics)]
    return learn(check.heard(alone, singing.paths), RATE, solos, [f"mic{n + 1}" for n in range(mics)])


def _edge(frames: int, at: float, until: float = 1.0) -> Block:
    """Return 0 until a share of the frames, 1 until another one, and 0 again, without corners."""
    time, edge = np.arange(frames), EDGE_SECONDS * RATE
    rise, fall = (np.clip((time - share * frames) / edge, 0, 1) for share in (at, until))
    return np.asarray((1 - np.cos(np.pi * rise)) / 2 * (1 + np.cos(np.pi * fall)) / 2, np.float32)


def _cold(c: Choir, known: Calibration, preset: Preset) -> Change:
    """Begin with nothing, and learn."""
    del known, preset
    return Change("cold", c.heard())


def _calibrated(c: Choir, known: Calibration, preset: Preset) -> Change:
    """Begin with a soundcheck."""
    del preset
    return Change("calibrated", c.heard(), known)


def _fader(c: Choir, known: Calibration, preset: Preset) -> Change:
    """Turn one mic down, which was learnt louder."""
    del preset
    mics = c.heard()
    mics[0] *= 10 ** (FADER_DB / 20 * _edge(mics.shape[1], 0.4))
    return Change("fader", mics, known)


def _move(c: Choir, known: Calibration, preset: Preset) -> Change:
    """Have one voice walk elsewhere: all paths from it change, but to its own mic."""
    del preset
    moved = c.paths.copy()
    others = np.arange(len(moved)) != 1
    moved[others, 1] = np.roll(room(len(moved), c.rate, np.random.default_rng(5))[others, 1], 60, axis=-1)
    gone = _edge(c.voices.shape[1], 0.4)
    return Change("move", c.heard() * (1 - gone) + c.heard(paths=moved) * gone, known)


def _reload(c: Choir, known: Calibration, preset: Preset) -> Change:
    """Go over to filters of half the length, and back."""
    def with_taps(share: int) -> Action:
        chain = tuple(
            dataclasses.replace(stage, options={**stage.options, "taps": stage.options["taps"] // share})
            if "taps" in stage.options else stage for stage in preset.chain
        )
        return lambda engine: _go_over(engine, dataclasses.replace(preset, chain=chain))

    mics = c.heard()
    third = mics.shape[1] // 3
    return Change("reload", mics, known, {third: with_taps(2), 2 * third + 100: with_taps(1)})


def _go_over(engine: Engine, preset: Preset) -> None:
    engine.reload(preset)


def _instant(c: Choir, known: Calibration, preset: Preset) -> Change:
    """Come from an instantaneous mixture, whose mode begins, into the room, where it ends."""
    del known, preset
    k = len(c.voices)
    plain = (np.full((k, k), INSTANT) + (1 - INSTANT) * np.eye(k))[..., None]
    there = _edge(c.voices.shape[1], 0.6)
    return Change("instant", c.heard(paths=plain) * (1 - there) + c.heard() * there)


def _mute(c: Choir, known: Calibration, preset: Preset) -> Change:
    """Mute a mic for a while: exact zeros."""
    del preset
    mics = c.heard()
    mics[1] *= 1 - _edge(mics.shape[1], 0.4, 0.6)
    return Change("mute", mics, known)


def _gate(c: Choir, known: Calibration, preset: Preset) -> Change:
    """Close a gate again and again."""
    del preset
    mics = c.heard()
    for n in range(4, 16):
        mics[1] *= 1 - _edge(mics.shape[1], n / 20, (n + 0.5) / 20)
    return Change("gate", mics, known)


def _burst(c: Choir, known: Calibration, preset: Preset) -> Change:
    """Have a mic hear what nobody else does, so that it is shut out; its own steps are hidden."""
    del preset
    mics = c.heard()
    noise = np.random.default_rng(3).standard_normal(mics.shape[1])
    mics[1] += (BURST * noise * _edge(mics.shape[1], 0.4, 0.6)).astype(np.float32)
    return Change("burst", mics, known, hides=1)


def _polarity(c: Choir, known: Calibration, preset: Preset) -> Change:
    """Flip a mic's polarity."""
    del preset
    mics = c.heard()
    mics[1] *= 1 - 2 * _edge(mics.shape[1], 0.4)
    return Change("polarity", mics, known)


def _governor(c: Choir, known: Calibration, preset: Preset) -> Change:
    """Give up all that can be given up, rung by rung, and take it back."""
    del preset
    mics = c.heard()
    frames = mics.shape[1]

    def shed(share: float) -> Action:
        return lambda engine: engine.shed(range(round(share * len(engine.ladder))))

    steps = [n / 8 for n in range(9)] + [1 - n / 8 for n in range(1, 9)]
    times = np.linspace(0.3, 0.9, len(steps)) * frames
    return Change("governor", mics, known, {round(at): shed(share) for at, share in zip(times, steps, strict=True)})


def _frozen(c: Choir, known: Calibration, preset: Preset) -> Change:
    """Turn what can be turned: adaptation off and on, the amount to nothing and back."""
    del preset
    mics = c.heard()
    frames = mics.shape[1]

    def turn(name: str, value: float) -> Action:
        def do(engine: Engine) -> None:
            for path in engine.board.paths():
                if path.split(".")[1] == name:
                    engine.board.set(path, value)
        return do

    turns = ((0.3, "adapt", 0.0), (0.5, "adapt", 1.0), (0.6, "amount", 0.0), (0.7, "amount", 1.0))
    return Change("frozen", mics, known, {round(at * frames): turn(name, value) for at, name, value in turns})


SHOWS: dict[str, Callable[[Choir, Calibration, Preset], Change]] = {
    "cold": _cold, "calibrated": _calibrated, "fader": _fader, "move": _move, "reload": _reload, "instant": _instant,
    "mute": _mute, "gate": _gate, "burst": _burst, "polarity": _polarity, "governor": _governor, "frozen": _frozen,
}


def play(change: Change, preset: Preset, block: int = BLOCK) -> tuple[Block, int]:
    """Play a show; returns what is heard, float32[mics, frames], and how late it is, samples."""
    names = [f"mic{n + 1}" for n in range(len(change.mics))]
    with Session.open(preset, RATE, names, change.known) as session:
        cuts = [0, *sorted(change.actions), change.mics.shape[1]]
        pieces = []
        for first, last in itertools.pairwise(cuts):
            if first in change.actions:
                change.actions[first](session.engine)
            pieces.append(process(session.engine, np.ascontiguousarray(change.mics[:, first:last]), block))
        return np.concatenate(pieces, axis=1), session.engine.latency


def judge(name: str, sound: Block, latency: int) -> Found:
    """Look for steps in what was heard.

    Parameters
    ----------
    name : str
    sound : float32[mics, frames]
    latency : int
        Samples by which it is late: filters change so much later.
    """
    heard = sound[:, latency:]
    starts = np.arange(2 * BLOCK, heard.shape[1] - 2 * BLOCK, BLOCK)
    halves = starts + BLOCK // 2
    found, sizes = clicks.steps(heard), clicks.sizes(heard)
    at, chance = int(found[:, starts].sum()), int(found[:, halves].sum())
    energies = [clicks.high_energy(heard, list(places), RATE).max(axis=1) for places in (starts, halves)]
    high = 10 * np.log10((energies[0] + clicks.silence(RATE)) / (energies[1] + clicks.silence(RATE)))
    worst, by_chance = (20 * np.log10(sizes[:, places].max() + clicks.SMALLEST) for places in (starts, halves))
    return Found(name, at, chance, int(found.sum()) - at - chance, float(worst), float(by_chance), float(high.max()))


def table(rows: Sequence[Found]) -> tuple[tuple[str, ...], list[list[str]]]:
    """Return what was found as heads and cells."""
    heads = ("change", "steps", "by chance", "elsewhere", "worst dBFS", "by chance", "above 8 kHz dB")
    return heads, [
        [row.name, str(row.steps), str(row.chance), str(row.elsewhere), f"{row.worst_db:.1f}", f"{row.chance_db:.1f}",
         f"{row.high_db:+.1f}"]
        for row in rows
    ]


def readings(rows: Sequence[Found]) -> list[Reading]:
    """Return what the history keeps: steps of each change, and the worst."""
    counts = [exact(f"{row.name.replace(' ', '_')}.steps", "steps", LESS, row.steps) for row in rows]
    return counts + [Reading(f"{row.name.replace(' ', '_')}.worst", row.worst_db, "dBFS", LESS, _NOISE_DB)
                     for row in rows]


def measure(source: str, mics: int, seconds: float, seed: int, only: Sequence[str] = ()) -> Iterator[Found]:
    """Play every change, or those named, through a preset, and look for steps; what comes in first.

    Parameters
    ----------
    source : str
        The preset's name or file.
    mics : int
    seconds : float
        Of each show.
    seed : int
    only : sequence of str
    """
    preset = load(source)
    told = False
    for change in changes(preset, mics, seconds, seed, only):
        if not told:
            yield judge("as it comes in", change.mics, 0)
            told = True
        heard, latency = play(change, preset)
        yield judge(change.name, heard if change.hides is None else np.delete(heard, change.hides, axis=0), latency)
