"""Address patterns of OSC 1.0: `*`, `?`, `[a-z]`, `[!a-z]`, `{this,that}`, each inside one part between slashes.

Own code, as python-osc makes regular expressions of them: a row of `*` that a stranger sends takes those minutes. Here
the work is bounded by pattern times text.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

_LONGEST = 256      # characters; the longest address that a stage and a microphone can make
_MOST_CHOICES = 64  # in braces: as many as there are microphones
_ITEM = re.compile(r"\*|\?|\[(!?)([^\[\]{}/]+)\]|\{([^\[\]{}*?/]*)\}|([^*?\[\]{}/])")


def is_pattern(address: str) -> bool:
    """Return whether an address means several, and how can be read."""
    readable = len(address) <= _LONGEST and all(_readable(part) for part in address.split("/"))
    return readable and any(sign in address for sign in "*?[{")


def matching(pattern: str, addresses: Iterable[str]) -> list[str]:
    """Return the addresses that a pattern means, in their order; see `is_pattern`."""
    parts = pattern.split("/")
    known: dict[tuple[int, str], bool] = {}   # few parts differ among thousands of addresses

    def fits(place: int, text: str) -> bool:
        if (place, text) not in known:
            known[place, text] = _matches(parts[place], text)
        return known[place, text]

    found = []
    for address in addresses:
        texts = address.split("/")
        if len(texts) == len(parts) and all(fits(n, text) for n, text in enumerate(texts)):
            found.append(address)
    return found


def _readable(part: str) -> bool:
    return "".join(item[0] for item in _ITEM.finditer(part)) == part and part.count(",") < _MOST_CHOICES


def _matches(part: str, text: str) -> bool:
    """Follow all places of the text that the pattern may have come to, item by item."""
    places = {0}
    for item in _ITEM.finditer(part):
        if item[0] == "*":
            places = set(range(min(places), len(text) + 1)) if places else places
        elif item[3] is not None:
            choices = item[3].split(",")
            places = {at + len(one) for at in places for one in choices if text.startswith(one, at)}
        else:
            places = {at + 1 for at in places if at < len(text) and _one(item, text[at])}
    return len(text) in places


def _one(item: re.Match[str], sign: str) -> bool:
    if item[0] == "?":
        return True
    if item[2] is None:
        return item[4] == sign
    return _among(item[2], sign) != (item[1] == "!")


def _among(signs: str, sign: str) -> bool:
    at = 0
    while at < len(signs):
        if signs[at + 1 : at + 2] == "-" and at + 2 < len(signs):
            if signs[at] <= sign <= signs[at + 2]:
                return True
            at += 3
        else:
            if signs[at] == sign:
                return True
            at += 1
    return False
