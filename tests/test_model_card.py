"""What a model file says of itself: there and back, and what is refused."""

from __future__ import annotations

import dataclasses
import json
from typing import Any

import pytest

from rtsep.errors import InputError
from rtsep.models.card import REQUIRED, Card, check, from_metadata, metadata

GOOD = Card(
    system="cae", kind="magnitude", rate=22050, window=2048, hop=512, channels=1, sources=(), frames=3,
    look_ahead=None, latency=0, states=(("h", "h_next"),), licence="CC0-1.0", figures={"sdr": 6.5, "seconds": 2},
)


def test_a_card_comes_back_as_it_was_written() -> None:
    written = metadata(GOOD)
    assert set(written) == {f"rtsep.{f.name}" for f in dataclasses.fields(Card)}
    assert from_metadata({**written, "author": "somebody"}, "m.onnx") == GOOD


@pytest.mark.parametrize("name", REQUIRED)
def test_what_is_missing_is_named(name: str) -> None:
    written = metadata(GOOD)
    del written[f"rtsep.{name}"]
    with pytest.raises(InputError, match=rf"m\.onnx: its metadata lack rtsep\.{name};"):
        from_metadata(written, "m.onnx")


WRONG: list[tuple[str, Any]] = [
    ("kind", "sound"), ("rate", 0), ("rate", "48000"), ("rate", True), ("rate", 1e300), ("window", 0), ("window", 2047),
    ("hop", 4096), ("hop", 2048), ("hop", 500),
    ("channels", -1), ("frames", 1 << 40), ("multiple", 0), ("look_ahead", -1), ("look_ahead", 0.5),
    ("latency", None), ("sources", ["a", "a"]), ("sources", "ab"), ("sources", [1]), ("states", [["a"]]),
    ("states", [["a", "b"], ["a", "c"]]), ("states", [1]), ("taper", "blackman"), ("figures", {"sdr": "6"}),
    ("figures", [1]), ("licence", 3), ("system", ""), ("data", "two\nlines"),
    ("sources", ["\x1b[2J"]),
]


@pytest.mark.parametrize(("name", "value"), WRONG)
def test_a_wrong_field_is_refused_in_one_line(name: str, value: Any) -> None:
    with pytest.raises(InputError, match=rf"m\.onnx: rtsep\.{name} is .*; allowed is ") as caught:
        from_metadata({**metadata(GOOD), f"rtsep.{name}": json.dumps(value)}, "m.onnx")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("text", ["{", "nan nan", "[" * 100000, '"' + "a" * 100000 + '"'])
def test_no_text_of_a_stranger_breaks_it(text: str) -> None:
    with pytest.raises(InputError, match=r"rtsep\.licence"):
        from_metadata({**metadata(GOOD), "rtsep.licence": text}, "m.onnx")


def test_infinite_figures_and_windows_without_spectra_are_refused() -> None:
    with pytest.raises(InputError, match="figures"):
        check(dataclasses.replace(GOOD, figures={"sdr": float("nan")}), "card")
    with pytest.raises(InputError, match=r"window.*0 for kind wave"):
        metadata(dataclasses.replace(GOOD, kind="wave"))
