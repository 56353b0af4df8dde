"""Make the records of what the canceller decides by: instantaneous mode, guard, choice of pairs, refinement.

Each gets its tuning from `settings`, in blocks and bins of the rate; the records' tables stand beside their kernels.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rtsep import fftw
from rtsep.stages.canceller import settings
from rtsep.stages.canceller.settings import LEARNING, REFINEMENT
from rtsep.stages.canceller.soundcheck import Told
from rtsep_kernels.canceller.choice import CHOICE
from rtsep_kernels.canceller.guard import record as guard
from rtsep_kernels.canceller.guard.evidence import EVIDENCE, HOPS
from rtsep_kernels.canceller.guard.evidence import LINES as EVIDENCE_LINES
from rtsep_kernels.canceller.instant.record import INSTANT, STEP
from rtsep_kernels.canceller.polarity import POLARITY
from rtsep_kernels.canceller.quarantine import QUARANTINE
from rtsep_kernels.canceller.record import BINS, BLOCK, SIZE
from rtsep_kernels.canceller.refine import record as refinement
from rtsep_kernels.canceller.refine.adopt import FADE_BINS
from rtsep_kernels.maths.vectors import LANES
from rtsep_kernels.plane.record import State

_LOWEST_LINE = 2   # bins below hold an offset, which the window spreads over them


def in_place(learnt: NDArray[np.float32], places: Sequence[int]) -> NDArray[np.float32]:
    """Return what was learnt of pairs, [k, k, …], with the mics of now; 0 where one is new (see `Stage.start_from`)."""
    now = [mic for mic, place in enumerate(places) if place >= 0]
    then = [places[mic] for mic in now]
    placed = np.zeros((len(places), len(places), *learnt.shape[2:]), learnt.dtype)
    placed[np.ix_(now, now)] = learnt[np.ix_(then, then)]
    return placed


def make_instant(k: int, rate: int, first_paths: NDArray[np.float32] | None) -> State:
    """Make INSTANT for `k` mics; with first paths it begins with what they say."""
    tuned = settings.INSTANT
    hertz = rate / SIZE
    span = min(LANES * round(tuned.highest / hertz / LANES), BLOCK)
    edges = STEP * np.round(np.array(tuned.edges) / hertz / STEP)
    return INSTANT.make(
        channels=k, span=span, edges=np.minimum([*edges, span], span), window=np.hanning(SIZE + 1)[:-1],
        **settings.numbers(tuned, INSTANT, rate), **first_mixture(k, rate, first_paths),
    )


def first_mixture(k: int, rate: int, first_paths: NDArray[np.float32] | None) -> dict[str, NDArray[Any]]:
    """Return what is known at the start: nothing, or what the first paths say where nearly all of them is one tap."""
    tuned = settings.INSTANT
    mixing = np.eye(k)
    first: dict[str, NDArray[Any]] = {}
    if first_paths is not None:
        tap = first_paths[..., 0].astype(float)
        np.fill_diagonal(tap, 0)
        others = ~np.eye(k, dtype=bool)
        power = np.sum(first_paths.astype(float) ** 2, axis=-1, where=others[..., None]).sum(axis=-1)
        one = (tap**2).sum(axis=-1) > np.maximum(tuned.one_tap * power, tuned.weakest)
        mixing[one] += tap[one]
        if abs(np.linalg.det(mixing)) > tuned.pivot and np.abs(tap[one]).max(initial=0) < tuned.largest:
            moving = settings.numbers(tuned, INSTANT, rate)["moving_blocks"]
            moments = np.zeros((3, k, k, k))
            moments[:2, one] = tuned.calibrated_bins * mixing @ mixing.T
            first = {"instant": one.astype(np.int64), "moving": np.where(one, int(moving), 0), "moments": moments}
        else:
            mixing = np.eye(k)
    first |= {"mixing": mixing, "unmixing": np.linalg.inv(mixing)}
    return {**first, "determinant": np.full(3, np.linalg.slogdet(mixing)[1])}


def make_guard(
    k: int, rate: int, shares: NDArray[np.float32], instant: State, known: NDArray[np.float32],
    anchored: NDArray[np.bool_], told: Told | None,
) -> State:
    """Make GUARD and, behind it, EVIDENCE.

    Parameters
    ----------
    k, rate : int
    shares : float32[HISTORY, k]
        Where it decides how much of the subtraction each mic gets.
    instant : State
        Which learns from it who is a twin.
    known : float32[k]
        1 for each mic of which there are first paths, a soundcheck's or another canceller's.
    anchored : bool[k]
        Mics to which a soundcheck's paths are believed.
    told : Told, optional
        What the soundcheck says of pairs.
    """
    tuned = settings.GUARD
    hertz = rate / SIZE
    lowest = max(_LOWEST_LINE, round(tuned.compared[0] / hertz))
    highest = min(round(tuned.compared[1] / hertz), BINS - 1)
    lines = np.arange(lowest, highest, -(-(highest - lowest) // guard.LINES))
    edges = np.geomspace(lowest, highest, guard.BANDS + 1)
    bands = np.unique(np.searchsorted(edges, lines, "right") - 1, return_inverse=True)[1]
    turned = np.exp(2j * np.pi * hertz * lines * np.linspace(-tuned.close, tuned.close, guard.LAGS)[:, None])
    rest = guard.LINES - len(lines)
    pairs = {} if told is None else {"freed": ~told.twins, "twin": told.twins, "parted": guard.TOLD * told.parted}
    made = guard.GUARD.make(
        channels=k, lines=len(lines), line=np.pad(lines, (0, rest)), band=np.pad(bands, (0, rest)),
        lag_re=np.pad(turned.real, ((0, 0), (0, rest))), lag_im=np.pad(turned.imag, ((0, 0), (0, rest))),
        share=shares, evidence=_make_evidence(k, rate, known), known=known.any(), anchored=anchored,
        mode_before=instant["instant"], **settings.numbers(tuned, guard.GUARD, rate), **pairs,
    )
    instant.put("pure_twin", made["pure_twin"])
    return made


def _make_evidence(k: int, rate: int, known: NDArray[np.float32]) -> State:
    tuned = settings.EVIDENCE
    blocks = tuned.blocks(rate)
    size = HOPS * blocks * BLOCK
    lowest, highest = (round(hertz * size / rate) for hertz in tuned.band)
    believed = tuned.trusted * known.astype(float)
    return EVIDENCE.make(
        channels=k, blocks=blocks, size=size, first=lowest,
        lines=min(highest - lowest, EVIDENCE_LINES, size // 2 + 1 - lowest), window=np.hanning(size + 1)[:-1],
        agree=believed, own=believed, plan=fftw.plan(size, True), forward=fftw.execute_addresses()[0],
        **settings.numbers(tuned, EVIDENCE, rate, blocks, tuned.blocks(settings.RATE)),
    )


def make_quarantine(k: int, rate: int, paths: State, guard: State, instant: State) -> State:
    """Make QUARANTINE, which takes the guard back."""
    return QUARANTINE.make(
        channels=k, paths=paths.address, guard=guard.address, instant=instant.address,
        **settings.numbers(settings.QUARANTINE, QUARANTINE, rate),
    )


def make_polarity(k: int, rate: int, paths: State, instant: State) -> State:
    """Make POLARITY."""
    return POLARITY.make(
        channels=k, paths=paths.address, instant=instant.address, **settings.numbers(settings.POLARITY, POLARITY, rate)
    )


def make_choice(k: int, rate: int, pairs: int, highest: int, paths: State, active: NDArray[np.int64]) -> State:
    """Make CHOICE, for at most `pairs` pairs; bins up to `highest` are looked at."""
    return CHOICE.make(
        channels=k, budget=pairs, highest=highest, active=active, held=paths["held"], leaving=paths["leaving"],
        **settings.numbers(settings.CHOICE, CHOICE, rate),
    )


def make_refinement(k: int, rate: int, taps: int, budget: int, paths: State, instant: State, watching: State) -> State:
    """Make REFINE; `watching` is the guard."""
    r, tuned = refinement, REFINEMENT
    factor = 2 ** max(round(np.log2(rate / tuned.rate)), 0)
    low_rate = rate / factor
    lowpass = np.ones(1)
    if factor > 1:
        lowpass = low_pass(tuned.lowpass_zeros * factor + 1, tuned.lowpass_edge / factor)
    most = min(taps, factor * r.TAPS)
    # The same prior as the Kalman filter's: variance of one tap at the low rate.
    decay = np.repeat(LEARNING.priors(rate) / BLOCK * factor, BLOCK // factor)[: r.TAPS]
    plans = {}
    for name, size in {"": r.SIZE, "_frame": r.FRAME, "_wide": factor * r.SIZE, "_part": SIZE}.items():
        plans[f"plan{name}"], plans[f"inverse{name}"] = fftw.plan(size, True), fftw.plan(size, False)
    forward, backward = fftw.execute_addresses()
    memory, drift = LEARNING.per_block(False, rate)

    def chunks(seconds: float) -> int:
        return int(max(1, round(seconds * low_rate / r.CHUNK)))

    return r.REFINE.make(
        channels=k, factor=factor, partitions=paths["partitions"], taps=most, reach=most // factor, rate=low_rate,
        budget=budget, lowpass_taps=len(lowpass), lowpass=lowpass,
        window=np.sin(np.pi * (np.arange(r.FRAME) + 0.5) / r.FRAME),
        prior_variance=np.pad(decay, (0, r.TAPS - len(decay)), mode="edge"),
        memory=chunks(tuned.looked_at), least=chunks(tuned.first_round), span=chunks(tuned.watched),
        soon=chunks(tuned.soon), fresh_least=chunks(tuned.fresh[0]), fresh_most=chunks(tuned.fresh[1]),
        keeps=int(tuned.kept * low_rate), edges=tuned.edges, edge=tuned.edge, trust=tuned.trust,
        slow=settings.kept(tuned.memory, rate), left_doubt=tuned.left_doubt, blind_memory=memory,
        blind_drift=drift, sure=tuned.sure, plays=tuned.plays, certain=tuned.certain, heard=tuned.heard,
        off_moved=tuned.moved, off_turned=tuned.turned, off_settled=tuned.settled, off_uniform=tuned.uniform,
        smooth=round(tuned.smooth * SIZE / rate), instant=instant["instant"], freed=watching["freed"],
        anchored=watching["anchored"], paths=paths.address, forward=forward, backward=backward, **plans,
    )


def low_pass(taps: int, edge: float) -> NDArray[np.float64]:
    """Return a low-pass filter as `scipy.signal.firwin(taps, edge)`, bit for bit.

    To import scipy.signal takes longer than all else before the first sound.

    Parameters
    ----------
    taps : int
    edge : float
        Part of the Nyquist frequency.
    """
    m = np.arange(taps) - 0.5 * (taps - 1)
    turn = np.linspace(-np.pi, np.pi, taps)
    hamming = 0.54 * np.cos(0 * turn) + (1 - 0.54) * np.cos(turn)
    taper = edge * np.sinc(edge * m) * hamming
    filtered: NDArray[np.float64] = taper / np.sum(taper)
    return filtered


def low_rate(made: State, paths: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return paths as the refinement holds them: band-limited, at the low rate, float32[k, k, TAPS]."""
    r = refinement
    factor = made["factor"]
    spectra = np.fft.rfft(paths[..., : factor * r.TAPS], factor * r.SIZE)[..., : r.BINS]
    fade = np.minimum(1, np.arange(r.BINS)[::-1] / FADE_BINS)
    low = np.fft.irfft(spectra * fade, r.SIZE)[..., : r.TAPS]
    low[..., made["reach"] :] = 0
    return low.astype(np.float32)
