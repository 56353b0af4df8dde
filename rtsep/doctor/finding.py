"""Finding: what one check has found, and what can be done about it."""

from __future__ import annotations

from dataclasses import dataclass

GOOD, WARN, BAD = "good", "warning", "bad"
"""As it should be; a show can go on with it; do not start a show with it."""


@dataclass(frozen=True)
class Finding:
    """What one check has found.

    Parameters
    ----------
    check : str
        What was looked at, in a word or two.
    verdict : str
        `GOOD`, `WARN` or `BAD`.
    text : str
        What was found.
    advice : str
        What can be done; empty: nothing needs to be.
    """

    check: str
    verdict: str
    text: str
    advice: str = ""
