"""What the canceller's refinement is tuned to: in seconds, Hz and parts of what is named, each with its origin."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Refinement:
    """Least squares over the last seconds, and the watch over a soundcheck's paths.

    Where no other origin is named, a value is the round number that the simulated stages of `rtsep bench` were cleaned
    well with; half or twice as much changes little.

    Parameters
    ----------
    rate : float
        Hz, nearly: where paths are refined. Bleed is loudest below 5 kHz; a pass costs a sixteenth of the full rate's.
    lowpass_zeros, lowpass_edge : int, float
        Of the filter in front of it: zero crossings, and the cut-off as a part of the low rate's Nyquist frequency.
        Flat within 0.1 dB up to 0.77 of it, 55 dB down from 1.05 of it on.
    looked_at : float
        Seconds of sound that a round learns from. As long as rooms stay what they are, more is better; who walks
        has gone a few steps in ten seconds.
    first_round : float
        Seconds that are heard before the first round.
    fresh : tuple of float
        Least and most seconds, not learnt from, on which old and new paths are compared.
    kept : float
        Seconds that a mic at least keeps when it forgets its older half.
    edges, edge : tuple of float, float
        Hz: old or new is chosen in each band between these; half the width of each edge, which keeps what it rings
        within 10 ms.
    trust : float
        In the power of the wanted sound as the weights have it, which is a guess: how much the heard counts beside
        the prior.
    memory : float
        Seconds of the Kalman filter's memory where new paths came in; until then it is that of the blind start.
    left_doubt : float
        Part of the prior that a refinement at least leaves unknown.
    known_doubt : float
        Variance of a soundcheck's paths, beside the prior's.
    watched, soon : float
        Seconds over which a soundcheck's paths are held against what is heard; that a judgement needs.
    sure : float
        Doubt below which a path is expected to hold.
    plays : float
        Part of a mic's power that is left when it is cleaned if its own player does not rest.
    certain : float
        Cells that speak for a gain of 1 before any is heard.
    heard : float
        Cells in which a part must be the loudest: fewer say nothing of its path.
    moved : float
        How far the gains of what has moved are off 1: right paths stay below 0.11, a walk of 1.5 m reaches 0.5.
    turned, settled : float
        The same of a fader, and of one that was just moved: its first figure is of before and after.
    uniform : float
        The gains of a row that a fader makes differ less.
    smooth : float
        Hz to both sides: a path that has changed is as loud as it was, about there.
    """

    rate: float = 12000.0
    lowpass_zeros: int = 32
    lowpass_edge: float = 0.9
    looked_at: float = 10.24
    first_round: float = 1.0
    fresh: tuple[float, float] = (0.7, 1.4)
    kept: float = 3.0
    edges: tuple[float, float, float] = (400.0, 1200.0, 2600.0)
    edge: float = 60.0
    trust: float = 1.0
    memory: float = 21.328
    left_doubt: float = 0.01
    known_doubt: float = 1e-4
    watched: float = 1.0
    soon: float = 0.7
    sure: float = 0.1
    plays: float = 0.3
    certain: float = 0.5
    heard: float = 400.0
    moved: float = 0.25
    turned: float = 0.15
    settled: float = 0.03
    uniform: float = 0.1
    smooth: float = 750.0


REFINEMENT = Refinement()
