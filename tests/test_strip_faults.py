"""A plug-in that crashes, hangs, answers NaN or is slow takes its own strip to dry, and nobody else's."""

from __future__ import annotations

import pytest
from strip_faults import ENDS, heard


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["crash", "hang", "nonumber", "slow", "good"])
def test_only_the_strip_of_a_plug_in_that_fails_is_dry_until_it_is_back(kind: str) -> None:
    found = heard(kind)
    assert found.others == 0
    assert found.wet_again
    assert found.loudest < 1
    if kind in ENDS:
        assert found.first_dry in (0, 1)      # one fade of 64 samples
        assert found.between <= 2 * 64
        assert found.restarts >= 1
    else:
        assert found.restarts == 0
    if kind in ("good", "slow"):              # 5 ms now and then are less than this delay
        assert found.away == 0
