"""Presets: what is right comes back equal, what is wrong is named with its line."""

from __future__ import annotations

import dataclasses
import pathlib
import random
import subprocess
import sys

import pytest

from rtsep import presets
from rtsep.catalogue import CLASS_LIMITS, OWN_PARAMS, STAGES, SYSTEMS
from rtsep.errors import InputError
from rtsep.params import Board

GOOD = """\
schema = 1
name = "club"
latency_class = "foh"
[host]
block = 128
[[chain]]
stage = "input"
max_delay_ms = 20
[[chain]]
stage = "matrix"
mixing = [
    [1, 0.25],  # not [1]
    [0.5, 1],
]
[[chain]]
stage = "canceller"
name = "drums"
taps = 4096
[[chain]]
stage = "canceller"
[[chain]]
stage = "spectral"
analysis = 1024
synthesis = 512
hop = 128
[params]
"spectral.range_db.vox 1" = -6
"spectral.range_db" = -12
"drums.amount" = 0.5
"output.gain_db" = 0
"""


def refused(text: str, line: int | None, *words: str) -> InputError:
    """Assert that `text` is refused on `line`, in one line that has all `words`."""
    with pytest.raises(InputError) as caught:
        presets.loads(text, "club.toml")
    message = str(caught.value)
    assert caught.value.place == ("club.toml" if line is None else f"club.toml:{line}"), message
    assert "\n" not in message
    assert all(word in message for word in words), message
    return caught.value


def changed(old: str, new: str) -> str:
    assert GOOD.count(old) == 1, old
    return GOOD.replace(old, new)


def line_of(text: str, part: str) -> int:
    return text[: text.index(part)].count("\n") + 1


def test_a_good_preset_is_read_whole() -> None:
    preset = presets.loads(GOOD, "club.toml")
    assert (preset.name, preset.latency_class, preset.host.block) == ("club", "foh", 128)
    assert [(c.stage, c.name) for c in preset.chain] == [
        ("input", "input"), ("matrix", "matrix"), ("canceller", "drums"), ("canceller", "canceller"),
        ("spectral", "spectral"),
    ]  # fmt: skip
    assert preset.chain[1].options == {"mixing": [[1, 0.25], [0.5, 1]], "ramp_ms": 40.0, "max_condition": 20.0}
    default = {option.name: option.default for option in STAGES["canceller"].options}
    assert preset.chain[2].options == {**default, "taps": 4096}
    assert preset.chain[3].options == default
    assert set(default) == {"taps", "refine", "pairs"}
    assert preset.params["spectral.range_db.vox 1"] == -6
    assert preset.params["drums.amount"] == 0.5


def test_more_microphones_than_pairs_can_be_held_are_told_of() -> None:
    preset = presets.load("live")
    assert presets.notes(preset, 16) == []
    (note,) = presets.notes(preset, 17)
    assert all(word in note for word in ("canceller", "272", "240"))


def test_without_quotes_a_path_means_the_same() -> None:
    bare = changed('"drums.amount" = 0.5', "drums.amount = 0.5").replace('"output.gain_db"', "output.gain_db")
    assert presets.loads(bare, "") == presets.loads(GOOD, "")


def test_one_microphone_is_not_overwritten_by_all() -> None:
    preset = presets.loads(GOOD, "club.toml")
    board = Board(("vox 1", "kick"), presets.layout(preset))
    for path, value in preset.params.items():
        board.set(path, value)
    assert board.get("spectral.range_db.vox 1") == -6
    assert board.get("spectral.range_db.kick") == -12


@pytest.mark.parametrize("name", sorted(CLASS_LIMITS))
def test_each_builtin_preset_is_consistent(name: str) -> None:
    preset = presets.load(name)
    assert preset.name == preset.latency_class == name
    assert preset.host.block <= 512
    stages = [config.stage for config in preset.chain]
    assert stages == (["input", "canceller"] if name == "live" else ["input", "canceller", "spectral"])
    if name != "live":
        windows = [preset.chain[2].options[key] for key in ("analysis", "synthesis", "hop")]
        assert windows == {"monitor": [1024, 128, 64], "foh": [1024, 512, 128], "record": [4096, 2048, 256]}[name]
        assert windows[1] / 48000 <= CLASS_LIMITS[name]
    board = Board(("a", "b"), presets.layout(preset))
    for path, value in preset.params.items():
        board.set(path, value)


def test_the_four_classes_come_first_then_a_preset_for_each_live_system() -> None:
    live = {system.live for system in SYSTEMS.values() if system.live}
    assert presets.names()[:4] == list(CLASS_LIMITS)
    assert presets.names()[4:] == sorted(live)
    for name in live:
        assert STAGES[name].hint, name
        assert [config.stage for config in presets.load(name).chain] == ["input", name]


# What the files said from which the catalogue's presets took over; options are as they were, defaults included.
WINDOWS = {"analysis": 2048, "synthesis": 2048, "hop": 256}
OF_SYSTEMS = {
    "adress": ("record", {**WINDOWS, "analysis": 4096, "steps": 100},
               {"adress.keep": 0, "adress.azimuth": 45, "adress.width": 0.2}),
    "altmin": (
        "live",
        {"mix": 0, "learn": False, "low": 0.001, "high": 0.5, "tolerance": 1e-7, "iterations": 1000, "memory_s": 10.0,
         "every_s": 0.5, "ramp_ms": 40.0, "max_condition": 20.0},
        {"altmin.adapt": 1},
    ),
    "auxiva": ("record", {**WINDOWS, "memory_s": 3.0}, {"auxiva.adapt": 1}),
    "hpss": ("record", {**WINDOWS, "harmonic_ms": 200.0, "percussive_hz": 500.0, "margin": 1.0, "mask": "soft"},
             {"hpss.keep": 0}),
    "masks": ("record", {**WINDOWS, "mask": "wiener", "alpha": 1.2, "logit": False},
              {"masks.range_db": -20, "masks.attack_ms": 5, "masks.release_ms": 50}),
    "matrix": ("live", {"mixing": [], "ramp_ms": 40.0, "max_condition": 20.0}, {}),
    "mira": ("record", {**WINDOWS, "first_leak": 0.5, "sparsity": 40.0, "steps": 3, "memory_s": 10.0},
             {"mira.range_db": -30}),
    "nmf": ("record", {**WINDOWS, "templates": "combs", "split": 60, "iterations": 20}, {"nmf.keep": 0}),
    "repet_sim": (
        "record",
        {"analysis": 2048, "synthesis": 1024, "hop": 512, "similar": 100, "apart_s": 1.0, "threshold": 0.0,
         "buffer_s": 10.0, "background_hz": 100.0},
        {"repet_sim.keep": 1, "repet_sim.range_db": -20},
    ),
    "yin": (
        "record",
        {**WINDOWS, "fmin": 98.0, "fmax": 400.0, "threshold": 0.15, "voiced": 0.8, "width_hz": 25.0},
        {"yin.keep": 0, "yin.range_db": -20, "yin.release_ms": 20},
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", OF_SYSTEMS)
def test_a_systems_preset_is_an_input_and_its_stage(name: str) -> None:
    latency_class, options, params = OF_SYSTEMS[name]
    chain = (
        presets.StageConfig("input", "input", {"max_delay_ms": 50.0}), presets.StageConfig(name, name, options)
    )
    assert presets.load(name) == presets.Preset(name, latency_class, presets.HostConfig(64), chain, params)


@pytest.mark.parametrize("name", presets.names())
def test_a_builtin_preset_can_be_had_as_a_file_with_comments(name: str) -> None:
    text = presets.text(name)
    assert text.startswith("# ")
    assert all(len(line) <= 120 for line in text.splitlines())
    assert presets.loads(text, name) == presets.load(name)


def test_the_text_of_no_preset_is_refused() -> None:
    with pytest.raises(InputError, match=r"loud.*live, monitor"):
        presets.text("loud")


def test_what_learns_and_how_large_blocks_may_be_is_asked_of_the_stages() -> None:
    preset = presets.loads(GOOD, "")
    assert presets.learning(preset) == ["drums.adapt", "canceller.adapt"]
    assert presets.most_block(preset) == 512
    assert presets.learning(presets.load("auxiva")) == ["auxiva.adapt"]
    assert presets.most_block(presets.load("auxiva")) is None
    assert presets.learning(presets.load("hpss")) == []


@pytest.mark.parametrize(
    ("rate", "latency_class", "expected"),
    [(48000, "foh", (512, 128)), (44100, "foh", (384, 128)), (48000, "monitor", (128, 64)), (32000, "foh", (256, 128)),
     (192000, "foh", (512, 128)), (48000, "live", (512, 128))],
)  # fmt: skip
def test_windows_are_shortened_to_what_a_class_promises(
    rate: int, latency_class: str, expected: tuple[int, int]
) -> None:
    spec = STAGES["spectral"]
    fitted = spec.fit(spec.defaults, rate, latency_class)
    assert (fitted["synthesis"], fitted["hop"]) == expected
    assert {**fitted, "synthesis": 512, "hop": 128} == spec.defaults
    if latency_class != "live":   # which no window fits: the engine refuses it
        assert spec.latency(fitted) <= CLASS_LIMITS[latency_class] * rate


def test_windows_and_bounds_that_do_not_fit_are_refused_with_any_stage() -> None:
    head = 'schema = 1\nname = "x"\nlatency_class = "record"\n[[chain]]\nstage = '
    refused(head + '"hpss"\nsynthesis = 4096\n', 6, "hpss.synthesis", "4096", "2048")
    refused(head + '"hpss"\nhop = 1536\n', 6, "hpss.hop", "1536")
    refused(head + '"altmin"\nlow = 0.6\n', 6, "altmin.low", "0.6", "0.5")
    refused(head + '"altmin"\nmix = 1\nhigh = 0.0005\n', 7, "altmin.high", "0.0005")


def test_the_layout_is_every_stage_by_its_name_and_last_what_is_always_there() -> None:
    layout = presets.layout(presets.loads(GOOD, ""))
    assert [name for name, _ in layout] == ["input", "matrix", "drums", "canceller", "spectral", "output", "ear"]
    assert layout[2][1] == STAGES["canceller"].params
    assert tuple(layout[-2:]) == OWN_PARAMS


@pytest.mark.parametrize("name", [*CLASS_LIMITS, "club"])
def test_what_is_written_reads_back_equal(name: str, tmp_path: pathlib.Path) -> None:
    preset = presets.loads(GOOD, "") if name == "club" else presets.load(name)
    assert presets.loads(presets.dumps(preset), "") == preset
    path = tmp_path / "mine.toml"
    presets.save(preset, str(path))
    assert presets.load(str(path)) == preset
    assert [p.name for p in tmp_path.iterdir()] == ["mine.toml"]


@pytest.mark.parametrize("seed", range(8))
def test_any_preset_that_is_made_reads_back_equal(seed: int) -> None:
    """Stages, options and params drawn from the catalogue's own ranges, matrices included."""
    rng = random.Random(seed)
    chain = []
    for number, spec in enumerate(rng.choices(list(STAGES.values()), k=rng.randint(1, 6))):
        options = {option.name: option.default for option in spec.options}
        if spec.name == "input":
            options["max_delay_ms"] = rng.uniform(0, 500)
        elif spec.name == "canceller":
            options["taps"] = 512 * rng.randint(2, 24)
        elif spec.name == "matrix":
            k = rng.randint(0, 4)
            options["mixing"] = [[rng.choice([1.0, -0.0, 1e-300, rng.gauss(0, 1)]) for _ in range(k)] for _ in range(k)]
        chain.append(presets.StageConfig(spec.name, f"{spec.name}_{number}", options))
    host = presets.HostConfig(rng.randint(1, presets.BLOCK.high))
    preset = presets.Preset(f"set {seed}", rng.choice(list(CLASS_LIMITS)), host, tuple(chain), {})
    params = {}
    for stage, group in presets.layout(preset):
        for param in group:
            params[f"{stage}.{param.name}" + rng.choice(["", ".2", ".vox 1"]) * param.per_mic] = rng.choice(
                [param.low, param.high, rng.uniform(param.low, param.high)]
            )
    preset = dataclasses.replace(preset, params=params)
    assert presets.loads(presets.dumps(preset), "") == preset
    assert presets.diff(preset, presets.loads(presets.dumps(preset), "")) == "nothing"


def test_strings_that_toml_must_escape_read_back_equal() -> None:
    preset = dataclasses.replace(
        presets.loads(GOOD, ""),
        name='a "quoted" \\ back é 😀',
        params={"output.gain_db.a \"b\" \\c'": -1.0, "output.gain_db": 0.1 + 0.2},
    )
    assert presets.loads(presets.dumps(preset), "") == preset


def test_the_most_disruptive_change_wins() -> None:
    old = presets.loads(GOOD, "")
    assert presets.diff(old, presets.loads(GOOD + "# a comment\n", "")) == "nothing"
    assert presets.diff(old, presets.loads(changed('"club"', '"pub"'), "")) == "nothing"
    params = changed('drums.amount" = 0.5', 'drums.amount" = 0.6')
    assert presets.diff(old, presets.loads(params, "")) == "params"
    chain = params.replace("taps = 4096", "taps = 8192")
    assert presets.diff(old, presets.loads(chain, "")) == "chain"
    assert presets.diff(old, presets.loads(changed("[0.5, 1]", "[0.5, 1.5]"), "")) == "chain"
    assert presets.diff(old, presets.loads(chain.replace("block = 128", "block = 64"), "")) == "host"


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("schema = 1", "schema = 2", "2 allowed 1"),
        ("schema = 1", "schema = true", "True"),
        ('name = "club"', "name = 3", "name 3"),
        ('name = "club"', 'name = ""', "name"),
        ('"foh"', '"fho"', "fho live monitor foh record"),
        ('"foh"', '["foh"]', "foh live"),
        ("block = 128", "blok = 128", "blok block"),
        ("block = 128", "block = 8193", "block 8193 1 8192"),
        ("block = 128", "block = 0", "block 0 8192"),
        ("block = 128", 'block = "128"', "block '128' integer"),
        ("block = 128", "block = true", "block True"),
        ('stage = "spectral"', 'stage = "spectrum"', "spectrum input matrix canceller spectral"),
        ('stage = "spectral"', "stage = []", "[] spectral"),
        ('name = "drums"', 'name = "canceller "', "canceller"),
        ('name = "drums"', 'name = "Drums"', "Drums a"),
        ('name = "drums"', 'name = "output"', "output"),
        ('name = "drums"', 'name = "ear"', "ear"),
        ('name = "drums"', 'name = "input"', "input name"),
        ("taps = 4096", "tabs = 4096", "tabs taps"),
        ("taps = 4096", "refine = -1", "refine -1 0 100000"),
        ("taps = 4096", "pairs = 0", "pairs 0 1 4032"),
        ("taps = 4096", "taps = 4097", "taps 4097 1024 24576 512"),
        ("taps = 4096", "taps = 4096.0", "taps 4096.0 integer"),
        ("taps = 4096", "taps = 99999999", "taps 24576"),
        ("max_delay_ms = 20", "max_delay_ms = nan", "max_delay_ms nan 500"),
        ("max_delay_ms = 20", "max_delay_ms = 1" + "0" * 400, "max_delay_ms"),
        ("synthesis = 512", "synthesis = 2048", "synthesis 2048 analysis 1024"),
        ("synthesis = 512", "synthesis = 576", "synthesis 576 hop 128"),
        ("synthesis = 512", "synthesis = 128", "synthesis 128 hop"),
        ("synthesis = 512", "synthesis = 500", "synthesis 500 64"),
        ('"drums.amount"', '"drum.amount"', "drum.amount drums.amount"),
        ('"drums.amount"', '"drums.amont"', "drums.amont drums.amount"),
        ('"drums.amount"', '"drums"', "drums.amount"),
        ('"drums.amount"', '"drums.amount."', "drums.amount."),
        ('"drums.amount"', '"drums.adapt.vox"', "drums.adapt.vox all"),
        ('"drums.amount" = 0.5', '"drums.amount" = 1.5', "drums.amount 1.5 0 1"),
        ('"drums.amount" = 0.5', '"drums.amount" = "loud"', "drums.amount loud"),
        ('"drums.amount" = 0.5', '"drums.amount" = inf', "drums.amount inf"),
        ('"drums.amount" = 0.5', '"drums.amount" = 1' + "0" * 400, "drums.amount"),
        ('"drums.amount" = 0.5', "drums.loudness = 0.5", "drums.loudness"),
        ('"drums.amount" = 0.5', 'output.gain_db = 0', "output.gain_db"),
    ],
)  # fmt: skip
def test_a_wrong_key_or_value_is_named_with_its_line(old: str, new: str, words: str) -> None:
    line = line_of(GOOD, old)
    # `output.gain_db` unquoted and quoted is one path, and the second one is what is too much.
    line += new.startswith("output.gain_db")
    refused(changed(old, new), line, *words.split())


@pytest.mark.parametrize(
    ("matrix", "words"),
    [
        ("[[1, 2]]", "mixing"),
        ("[[1, 2], [3]]", "mixing"),
        ("[1, 2]", "mixing"),
        ('[["a"]]', "mixing a"),
        ("[[true]]", "mixing"),
        ("[[nan]]", "mixing nan"),
        ("[[inf]]", "mixing inf"),
        ("[[1" + "0" * 400 + "]]", "mixing"),
        ("{}", "mixing list"),
    ],
)
def test_a_matrix_must_be_square_and_finite(matrix: str, words: str) -> None:
    start, end = GOOD.index("mixing = ["), GOOD.index('[[chain]]\nstage = "canceller"\nname')
    text = f"{GOOD[:start]}mixing = {matrix}\n{GOOD[end:]}"
    refused(text, line_of(GOOD, "mixing = ["), *words.split())


@pytest.mark.parametrize("key", ["schema", "name", "latency_class"])
def test_a_missing_key_is_named(key: str) -> None:
    lines = [line for line in GOOD.splitlines() if not line.startswith(f"{key} =")]
    if key == "name":
        lines.insert(lines.index("taps = 4096"), 'name = "drums"')
    with pytest.raises(InputError, match=key) as caught:
        presets.loads("\n".join(lines), "club.toml")
    assert caught.value.place.startswith("club.toml")


def test_a_missing_chain_or_stage_is_named() -> None:
    head = GOOD[: GOOD.index("[[chain]]")]
    with pytest.raises(InputError, match="chain"):
        presets.loads(head, "club.toml")
    refused("chain = []\n" + head, 1, "chain")
    refused("chain = 3\n" + head, 1, "chain", "[[chain]]")
    refused(head + '[chain]\nstage = "input"\n', 6, "chain", "[[chain]]")
    refused(changed('stage = "matrix"\n', ""), line_of(GOOD, 'stage = "matrix"'), "stage", "matrix")
    refused(head + "[[chain]]\n", 6, "stage", "input")


def test_unknown_tables_are_named() -> None:
    refused(GOOD + "[midi]\ncc = 1\n", line_of(GOOD + "[midi]", "[midi]"), "midi", "params")
    refused("hosts = 1\n" + GOOD, 1, "hosts", "host")
    refused(changed("[host]\nblock = 128", "host = 1"), 4, "host", "[host]")
    params = GOOD[: GOOD.index("[params]")]
    refused("params = 1\n" + params, 1, "params", "[params]")


def test_a_stage_name_may_be_there_only_once() -> None:
    text = changed('name = "drums"\n', "")
    second = text.rindex('stage = "canceller"')
    with pytest.raises(InputError, match="canceller") as caught:
        presets.loads(text, "club.toml")
    assert int(caught.value.place.split(":")[1]) in (line_of(text, text[second:]), line_of(text, text[second:]) - 1)


@pytest.mark.parametrize(
    ("text", "line"),
    [
        (changed("block = 128", "block = 128 frames"), 5),
        (changed("block = 128", "block 128"), 5),
        (changed('"foh"', "foh"), 3),
        (changed('"foh"', '"foh'), 3),
        (changed("block = 128", "block = 128\nblock = 64"), 6),
        (GOOD + "[params]\n", GOOD.count("\n") + 1),
    ],
)
def test_what_is_not_toml_is_refused_with_its_line(text: str, line: int) -> None:
    refused(text, line)


def test_what_never_ends_is_refused() -> None:
    for text in ("a = [\n1,\n", 'a = """\n', "a = " + "[" * 100_000, "a = 1" + "0" * 5000):
        with pytest.raises(InputError) as caught:
            presets.loads(text, "club.toml")
        assert caught.value.place.startswith("club.toml")


def test_lines_are_right_where_toml_is_not_plain() -> None:
    """What looks like a key or a header inside strings, arrays and comments is none."""
    head = 'schema = 1\nname = "x"\n"latency_class" = \'foh\'\n'
    refused(head + 'chain = [{stage = "input"}, {stage = "out"}]\n', 4, "out")
    decoy = '# [[chain]]\n# taps = 1\n[[ chain ]] # [[chain]]\nstage = "input"\n'
    refused(head + decoy + '[["chain"]]\n"stage" = "canceller"\n\n\'taps\' = 1\n', 11, "taps")
    refused(head.replace("\n", "\r\n") + '[[chain]]\r\nstage = "input"\r\n[host]\r\nblock = 0\r\n', 7, "block")
    nested = '[[chain]]\nstage = "matrix"\nmixing = [\n[1,\n2],\n\n[3, 4]\n]\nramp_ms = -1\n'
    refused(head + nested, 12, "ramp_ms")
    refused(head + '[[chain]]\nstage = "input"\n[params.output]\ngain_db = 99\n', 7, "output.gain_db", "99")
    refused(head + '[[chain]]\nstage = """\ninput"""\nname = "a"\nmax_delay_ms = 501\n', 8, "max_delay_ms")


def test_a_byte_order_mark_is_no_mistake() -> None:
    assert presets.loads("\ufeff" + GOOD, "") == presets.loads(GOOD, "")


def test_a_missing_preset_names_the_builtin_ones(tmp_path: pathlib.Path) -> None:
    for name in ("loud", str(tmp_path / "loud.toml"), "a\0b", ""):
        with pytest.raises(InputError, match=r"live, monitor, foh, record"):
            presets.load(name)


def test_what_cannot_be_read_is_refused(tmp_path: pathlib.Path) -> None:
    bad = tmp_path / "bad.toml"
    bad.write_bytes(b'schema = 1\nname = "caf\xe9"\n')
    with pytest.raises(InputError, match="UTF-8") as caught:
        presets.load(str(bad))
    assert caught.value.place == f"{bad}:2"
    folder = tmp_path / "folder.toml"
    folder.mkdir()
    with pytest.raises(InputError, match="directory"):
        presets.load(str(folder))
    huge = tmp_path / "huge.toml"
    huge.write_bytes(b"#" * 10_000_000)
    with pytest.raises(InputError, match="larger"):
        presets.load(str(huge))


def test_a_save_that_fails_leaves_the_old_preset(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "mine.toml"
    preset = presets.loads(GOOD, "")
    presets.save(preset, str(path))
    before = path.read_bytes()
    for error in (OSError(28, "No space left on device"), KeyboardInterrupt()):

        def fail(*_: object, error: BaseException = error) -> None:
            raise error

        with monkeypatch.context() as patch:
            patch.setattr("os.replace", fail)
            with pytest.raises((InputError, KeyboardInterrupt)):
                presets.save(dataclasses.replace(preset, name="other"), str(path))
        assert path.read_bytes() == before
        assert [p.name for p in tmp_path.iterdir()] == ["mine.toml"]
    with pytest.raises(InputError):
        presets.save(preset, str(tmp_path / "nowhere" / "mine.toml"))
    with pytest.raises(InputError):
        presets.save(dataclasses.replace(preset, latency_class="late"), str(path))
    assert path.read_bytes() == before


def test_a_save_through_a_link_keeps_the_link(tmp_path: pathlib.Path) -> None:
    (tmp_path / "real.toml").write_text(GOOD)
    (tmp_path / "link.toml").symlink_to("real.toml")
    presets.save(dataclasses.replace(presets.loads(GOOD, ""), name="other"), str(tmp_path / "link.toml"))
    assert (tmp_path / "link.toml").is_symlink()
    assert presets.load(str(tmp_path / "real.toml")).name == "other"


def test_defaults_of_lists_are_not_shared() -> None:
    text = changed("mixing = [\n    [1, 0.25],  # not [1]\n    [0.5, 1],\n]\n", "")
    presets.loads(text, "").chain[1].options["mixing"].append([1.0])
    assert presets.loads(text, "").chain[1].options["mixing"] == []


def test_presets_are_light_to_import() -> None:
    code = "import sys, rtsep.presets; sys.exit(bool({'numba', 'soundfile', 'scipy'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
