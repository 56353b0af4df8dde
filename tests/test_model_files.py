"""Model files of strangers: nothing in them may touch another file, and each refusal is one line."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import ModelProto, TensorProto, helper, numpy_helper, parser

from rtsep import cli
from rtsep.bench.toymodels import FREE, GAINS, MAGNITUDES, SPECTRA, WAVES, delayed, gain, model, save
from rtsep.errors import InputError
from rtsep.models import file
from rtsep.models.file import open_model


def refused(made: ModelProto | bytes, tmp_path: Path, match: str) -> None:
    path = tmp_path / "m.onnx"
    path.write_bytes(made if isinstance(made, bytes) else made.SerializeToString())
    with pytest.raises(InputError, match=match) as caught:
        open_model(path)
    assert "\n" not in str(caught.value)


def test_a_good_file_is_taken(tmp_path: Path) -> None:
    made = delayed(3)
    made.metadata_props.add(key="ort_config", value='{"session_options": {"optimized_model_filepath": "/tmp/x"}}')
    found = open_model(save(made, tmp_path / "m.onnx"))
    assert found.card.states == (("past", "next"),)
    assert found.inputs == {"x": ("batch", "channels", "frames"), "past": ("batch", "channels", 3)}
    kept = onnx.load_model_from_string(found.content)
    assert {entry.key for entry in kept.metadata_props} == {e.key for e in made.metadata_props} - {"ort_config"}


def secret(name: str = "w") -> TensorProto:
    """Return a tensor whose numbers are in another file."""
    tensor = TensorProto(name=name, data_type=TensorProto.FLOAT, dims=[1])
    tensor.data_location = TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value="../../../../etc/passwd")
    return tensor


def branch(*tensors: TensorProto, nodes: list[Any] | None = None) -> Any:
    out = helper.make_tensor_value_info("b", TensorProto.FLOAT, None)
    inner = nodes or [helper.make_node("Identity", ["x"], ["b"])]
    return helper.make_graph(inner, "inner", [], [out], initializer=tensors)


def in_initializer(made: ModelProto) -> None:
    made.graph.initializer.append(secret())


def without_the_flag(made: ModelProto) -> None:
    made.graph.initializer.append(secret())
    made.graph.initializer[0].data_location = TensorProto.DEFAULT


def in_sparse_initializer(made: ModelProto) -> None:
    made.graph.sparse_initializer.add(values=secret(), indices=numpy_helper.from_array(np.zeros(1, np.int64)), dims=[4])


def in_constant(made: ModelProto) -> None:
    made.graph.node.append(helper.make_node("Constant", [], ["c"], value=secret()))


def in_list_of_tensors(made: ModelProto) -> None:
    made.graph.node[0].attribute.append(helper.make_attribute("many", [secret()]))


def in_branches_of_branches(made: ModelProto) -> None:
    deep = branch(nodes=[helper.make_node("If", ["c"], ["b"], then_branch=branch(secret()), else_branch=branch())])
    made.graph.node.append(helper.make_node("If", ["c"], ["z"], then_branch=branch(), else_branch=deep))


def in_loop(made: ModelProto) -> None:
    made.graph.node.append(helper.make_node("Loop", ["n", "c"], ["z"], body=branch(secret())))


def in_scan_constant(made: ModelProto) -> None:
    inner = branch(nodes=[helper.make_node("Constant", [], ["b"], value=secret())])
    made.graph.node.append(helper.make_node("Scan", ["x"], ["z"], body=inner, num_scan_inputs=1))


@pytest.mark.parametrize("hide", [
    in_initializer, without_the_flag, in_sparse_initializer, in_constant, in_list_of_tensors, in_branches_of_branches,
    in_loop, in_scan_constant,
])  # fmt: skip
def test_data_in_other_files_are_refused(hide: Callable[[ModelProto], None], tmp_path: Path) -> None:
    made = gain(1.0)
    hide(made)
    refused(made, tmp_path, "in another file; allowed are models in one file")


def test_strange_operators_functions_and_training_are_refused(tmp_path: Path) -> None:
    made = gain(1.0)
    made.graph.node.append(helper.make_node("EPContext", [], ["e"], domain="com.microsoft", ep_cache_context="/etc"))
    refused(made, tmp_path, r"'EPContext' of 'com\.microsoft'")
    made = gain(1.0)
    made.graph.node.append(helper.make_node("If", ["c"], ["z"], then_branch=branch(), else_branch=branch(
        nodes=[helper.make_node("Read", [], ["b"], domain="evil")])))
    refused(made, tmp_path, "'Read' of 'evil'")
    made = gain(1.0)
    made.opset_import.add(domain="com.microsoft", version=1)
    refused(made, tmp_path, "uses operators of")
    made = gain(1.0)
    body = [helper.make_node("Constant", [], ["y"], value=secret())]
    made.functions.append(helper.make_function("own", "f", [], ["y"], body, [helper.make_opsetid("", 20)]))
    refused(made, tmp_path, "functions of its own")
    made = gain(1.0)
    made.training_info.add().initialization.initializer.append(secret())
    refused(made, tmp_path, "training graph")


def test_what_onnx_does_not_know_is_not_handed_on(tmp_path: Path) -> None:
    made = gain(1.0).SerializeToString()
    unknown = b"\xfa\x7f\x04evil"   # field 2047, four bytes: of a newer ONNX, perhaps
    (tmp_path / "m.onnx").write_bytes(made + unknown)
    assert b"evil" not in open_model(tmp_path / "m.onnx").content


def test_the_card_must_be_there_and_right(tmp_path: Path) -> None:
    bare = parser.parse_model(f'<ir_version: 10, opset_import: ["" : 20]> m ({FREE} x) => ({FREE} y) {{ y = Abs(x) }}')
    refused(bare, tmp_path, r"its metadata lack rtsep\.system, rtsep\.kind, .*; allowed are models that")
    identity = "y = Identity(x)"
    for text, card, match in (
        (f"m ({FREE} z) => ({FREE} y) {{ y = Identity(z) }}", WAVES, "its inputs are z; allowed are x"),
        (f"m ({FREE} x, {FREE} z) => ({FREE} y) {{ y = Add(x, z) }}", WAVES, "its inputs are x, z; allowed are x"),
        (f"m (double[a,b,c] x) => (double[a,b,c] y) {{ {identity} }}", WAVES, "no tensor of float32"),
        (f"m (float[a,b] x) => (float[a,b] y) {{ {identity} }}", WAVES, r"x has shape \[a, b\]; its card allows"),
        (f"m ({SPECTRA} x) => ({SPECTRA} y) {{ {identity} }}", {**MAGNITUDES, "window": 1024},
         r"x has shape .* 257\]; its card allows .* 513\]"),
        (f"m ({FREE} x, float[n] a) => ({FREE} y, float[n] b) {{ {identity} b = Identity(a) }}",
         {**WAVES, "states": (("a", "b"),)}, r"state 'a' has shape \[n\]; allowed are sizes that x has"),
        ("m (float[1,4,4800] x) => (float[1,4,3] y) { y = Slice(x, x, x) }", {**GAINS, "channels": 4},
         r"y has shape \[1, 4, 3\]"),
    ):
        refused(model(text, card), tmp_path, match)


def test_no_file_a_folder_and_too_much_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(InputError, match="no such file"):
        open_model(tmp_path / "none.onnx")
    with pytest.raises(InputError, match="is no file"):
        open_model(tmp_path)
    with (tmp_path / "huge.onnx").open("wb") as sparse:
        sparse.truncate(file.MOST_BYTES + 1)
    with pytest.raises(InputError, match="holds 537 MB; allowed are models up to 537 MB"):
        open_model(tmp_path / "huge.onnx")
    monkeypatch.setattr("importlib.util.find_spec", lambda _: None)
    with pytest.raises(InputError, match=r"needs? onnx, which is not installed; pip install 'rtsep\[cpu\]'"):
        open_model(tmp_path / "none.onnx")


def test_damaged_files_are_refused_or_harmless(tmp_path: Path) -> None:
    whole = delayed(3).SerializeToString()
    draw = random.Random(14)
    path = tmp_path / "m.onnx"
    taken = 0
    for number in range(600):
        damaged = bytearray(whole)
        if number % 3 == 0:
            del damaged[draw.randrange(len(damaged)):]
        for _ in range(draw.randrange(4) if number % 3 == 0 else 1 + draw.randrange(8)):
            if damaged:
                damaged[draw.randrange(len(damaged))] = draw.randrange(256)
        path.write_bytes(damaged)
        told = ""
        try:
            open_model(path)
            taken += 1
        except InputError as error:
            told = str(error)
        assert "\n" not in told
    assert taken < 400, "most damage has to be seen"
    refused(b"", tmp_path, "is no ONNX model")
    refused(b"RIFF....WAVE", tmp_path, "is no ONNX model")
    refused(b"\x3a\xff\xff\xff\xff\x7f", tmp_path, "is no ONNX model")
    nested = b""
    for _ in range(2000):   # a graph in an attribute of a node of a graph …
        for tag in (b"\x32", b"\x2a", b"\x0a"):
            nested = tag + _length(len(nested)) + nested
    refused(b"\x3a" + _length(len(nested)) + nested, tmp_path, "is no ONNX model")


def _length(number: int) -> bytes:
    found = bytearray()
    while number > 127:
        found.append(number & 127 | 128)
        number >>= 7
    return bytes([*found, number])


def test_check_says_what_it_is(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = save(gain(0.5, SPECTRA, {**MAGNITUDES, "licence": "CC0-1.0", "figures": {"sdr": 6.5}}), tmp_path / "m.onnx")
    assert cli.main(["check", path]) == 0
    told = capsys.readouterr().out
    for part in (f"{path}: model custom is good: magnitude, 48000 Hz, window 512, hop 128 (hann)", "states: none",
                 "latency 0 samples, look-ahead 0: 0.0 ms", "licence CC0-1.0", "reached: sdr 6.5",
                 "it runs on the CPU: y [1, 1, 94, 257] from silence"):
        assert part in told
    assert cli.main(["check", path, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["kind"] == "magnitude"
    (tmp_path / "m.onnx").write_bytes(b"hello")
    assert cli.main(["check", path]) == 2
    assert capsys.readouterr().err.count("\n") == 1
