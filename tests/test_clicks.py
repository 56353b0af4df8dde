"""Refined filters come in without a click, and a click would be found."""

from __future__ import annotations

import numpy as np

from rtsep.bench import clicks
from rtsep.scenes import make_scene

RATE = 48000


def test_a_handover_does_not_click_and_a_planted_click_is_found() -> None:
    mics = make_scene("room", 21, 2, 5.0, RATE).mics.copy()
    mics[0, 3 * RATE :] *= np.float32(10 ** (-4 / 20))   # somebody moves a fader
    found = list(clicks.handovers(mics, RATE, 4096))
    assert len(found) >= 3
    for over in found:
        n = over.switches[0]
        np.testing.assert_array_equal(over.cleaned[:, :n], over.without[:, :n])   # until then it is the same run
        assert np.abs(over.cleaned - over.without).max() > 1e-4                   # and then no longer
        assert clicks.loudest(over.cleaned, over.without, over.switches, RATE) < 3
        planted = over.cleaned.copy()
        planted[1, over.switches[len(over.switches) // 2] + 100] += np.float32(0.05)
        assert clicks.loudest(planted, over.without, over.switches, RATE) > 3


def test_what_is_far_from_a_switch_does_not_count() -> None:
    quiet = 1e-3 * np.random.default_rng(0).standard_normal((1, 4800)).astype(np.float32)
    planted = quiet.copy()
    planted[0, 3000] += np.float32(0.5)
    assert clicks.loudest(planted, quiet, (1000, 2000), RATE) < 1e-6
    assert clicks.loudest(planted, quiet, (1000, 2900), RATE) > 20
