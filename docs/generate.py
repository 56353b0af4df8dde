"""Writes docs/reference/ from the program's own tables: `python docs/generate.py`; with `check` it only compares.

Nobody edits those pages. Each function returns one; what it says stands in the program, where it is checked, too.
`python docs/generate.py FILE.png` makes the picture of the pages from one that `rtsep demo` has written.
"""

from __future__ import annotations

import argparse
import importlib
import pathlib
import sys
from collections.abc import Callable, Iterable, Sequence

from rtsep import commands, presets
from rtsep.catalogue import CLASS_LIMITS, OWN_PARAMS, STAGES, SYSTEMS, StageSpec, latency_ms
from rtsep.commands.osc import HEADS, cells
from rtsep.control.midi import actions, mapping
from rtsep.control.osc.addresses import listing
from rtsep.params import Option, Param
from rtsep.plugins.builtins import BUILTINS, LEFT_OUT
from rtsep.presetfile import toml

FOLDER = pathlib.Path(__file__).parent / "reference"
PICTURE = FOLDER.parent / "pictures" / "demo.png"
_WIDTH = 936   # pixels: at 256 colours below 300 kB
_MADE = "<!-- Made by `python docs/generate.py`; do not edit. -->\n"
_PLUGINS = """
[[chain]]
stage = "strips"
each = [{plugin = "PeakFilter", name = "eq"}]
"""


def table(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return a table in Markdown."""
    lines = [heads, ["---"] * len(heads), *rows]
    return "\n".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines) + "\n"


def verbs() -> str:
    """Return the page of the command line."""
    parts = [
        "# Commands\n",
        "`rtsep VERB --help` says the same. Exit codes: 0 done, 2 bad usage or bad input (one line says what and "
        "where), 3 device, 4 worker.\n",
    ]
    for words, told, parser in _leaves(commands.find(), ("rtsep",)):
        parts.append(f"## {' '.join(words)}\n\n{told}\n")
        rows = [(_flags(action), (action.help or "").replace("%%", "%")) for action in parser._actions
                if not isinstance(action, argparse._HelpAction)]
        if rows:
            parts.append(table(("takes", "meaning"), rows))
    return "\n".join(parts)


def _leaves(
    found: Iterable[commands.Verb], words: tuple[str, ...]
) -> Iterable[tuple[tuple[str, ...], str, argparse.ArgumentParser]]:
    for verb in found:
        if verb.verbs:
            yield from _leaves(verb.verbs, (*words, verb.name))
        else:
            parser = argparse.ArgumentParser()
            importlib.import_module(verb.module).arguments(parser)
            yield (*words, verb.name), verb.help, parser


def _flags(action: argparse.Action) -> str:
    name = action.metavar if isinstance(action.metavar, str) else action.dest.upper()
    if action.choices and not action.metavar:
        name = "\\|".join(str(choice) for choice in action.choices)
    takes = "" if action.nargs == 0 else f" {name}"
    return f"`{', '.join(action.option_strings)}{takes}`" if action.option_strings else f"`{name}`"


def preset_page() -> str:
    """Return the page of the presets."""
    classes = table(("class", "adds at most", "preset"),
                    [(name, f"{1000 * most:g} ms", f"`{name}`") for name, most in CLASS_LIMITS.items()])
    rows = []
    for name in presets.names():
        preset = presets.load(name)
        hint = "" if name in CLASS_LIMITS else STAGES[name].hint
        added = sum(STAGES[c.stage].latency(c.options) for c in preset.chain)
        rows.append((f"`{name}`", preset.latency_class, f"{added} samples, {added / 48:.1f} ms",
                     " → ".join(c.stage for c in preset.chain), hint))
    texts = "\n".join(f"### {name}\n\n```toml\n{presets.text(name)}```\n" for name in CLASS_LIMITS)
    return (
        "# Presets\n\nA preset is a TOML file: a chain of [stages](stages.md), their options, and values of "
        "parameters. Its class promises how much latency it adds at most.\n\n" + classes +
        "\n`rtsep presets NAME` prints one to begin your own with. Latency at 48 kHz, beside the device's:\n\n"
        + table(("preset", "class", "adds", "chain", "what to know"), rows) + "\n## The four in full\n\n" + texts
    )


def stage_page() -> str:
    """Return the page of the stages."""
    parts = [
        "# Stages\n",
        "What a preset's `[[chain]]` may have. Options are fixed when the chain is made; parameters are turned while "
        "it runs, as `stage.parameter` or `stage.parameter.mic`, and ramp.\n",
    ]
    parts += [_stage(name, spec) for name, spec in STAGES.items()]
    parts.append("## Always there\n\nBehind every chain, whatever it is.\n")
    parts += [_params(params, f"{name}.") for name, params in OWN_PARAMS]
    return "\n".join(parts)


def _stage(name: str, spec: StageSpec) -> str:
    late = spec.latency(spec.defaults)
    said = [f"## {name}\n\n{_sentence(spec.help)} Adds {late} samples ({late / 48:.1f} ms at 48 kHz) by default.\n"]
    if spec.most_block is not None:
        said.append(f"For blocks of the device up to {spec.most_block} frames.\n")
    if spec.options:
        said.append(_options(spec.options))
    if spec.params:
        said.append(_params(spec.params, f"{name}."))
    if spec.savings:
        steps = "; ".join(dict.fromkeys(saving.told for saving in spec.savings))
        said.append(f"Where the machine is too slow: {steps}. Cheaper for good: {spec.relief}.\n")
    return "\n".join(said)


def _options(options: Iterable[Option]) -> str:
    return table(("option", "default", "allowed", "meaning"),
                 [(f"`{o.name}`", f"`{toml(o.default)}`", o.allowed(), o.help) for o in options])


def _params(params: Iterable[Param], before: str) -> str:
    rows = [(f"`{before}{p.name}`", f"{p.default:g}", f"{p.low:g} to {p.high:g} {_unit(p.unit)}".rstrip(),
             "yes" if p.per_mic else "", p.help) for p in params]
    return table(("parameter", "default", "range", "each mic", "meaning"), rows)


def _unit(unit: str) -> str:
    return "(0 off, 1 on)" if unit == "on" else unit


def _sentence(text: str) -> str:
    return f"{text[0].upper()}{text[1:]}" + ("" if text.endswith(".") else ".")


def system_page() -> str:
    """Return the page of the systems of separation."""
    rows = []
    for s in SYSTEMS.values():
        late = latency_ms(s)
        live = "no" if late is None else f"`{s.live}`, {late:.1f} ms"
        rows.append((f"[{s.name}](#{s.name})", s.task, s.inputs, live))
    parts = [
        "# Systems of separation\n",
        "`rtsep separate IN -o DIR --method NAME`; options by `--set option=value`. *Live*: the preset of that name, "
        "and what it adds at 48 kHz.\n",
        table(("system", "what it separates", "needs", "live"), rows),
    ]
    for s in SYSTEMS.values():
        parts.append(f"## {s.name}\n\n{_sentence(s.task)} Needs {s.inputs}. Live: {s.role}.\n\nSource: {s.source}.\n")
        if s.stage and s.stage.hint:
            parts.append(f"{s.stage.hint}\n")
        parts.append(_options(s.options))
    return "\n".join(parts)


def plugin_page() -> str:
    """Return the page of pedalboard's effects."""
    parts = [
        "# Built-in effects\n",
        "Effects of pedalboard that stage `strips` takes by name, beside VST3 files. Each has a `state`, too: 2 on, "
        "1 bypassed (as late), 0 off.\n",
    ]
    for one in BUILTINS.values():
        parts.append(f"## {one.name}\n\n{_sentence(one.help)}\n")
        if one.params:
            parts.append(table(("parameter", "default", "range", "meaning"), [
                (f"`{p.name}`", f"{p.default:g}", f"{p.low:g} to {p.high:g} {_unit(p.unit)}".rstrip(), p.help)
                for p in one.params]))
    parts.append("## Left out\n")
    parts.append(table(("effect", "why"), [(f"`{name}`", why) for name, why in LEFT_OUT.items()]))
    return "\n".join(parts)


def osc_page() -> str:
    """Return the page of OSC addresses: of a preset with everything, and two mics."""
    preset = presets.loads(presets.text("monitor").replace("\n[params]", f"{_PLUGINS}\n[params]"), "monitor")
    found = listing(preset, ("vox", "kick"))
    heads = {
        "Program": ("/info", "/xinfo", "/status", "/xremote", "/unsubscribe", "/pin", "/error", "/stat/", "/meters"),
        "Panic, learning, undo": ("/panic/", "/bleed/", "/undo", "/redo"), "Snapshots": ("/scene/",),
        "Channels, as an X32 has them": ("/ch/",), "Every parameter": ("/p/",),
    }
    parts = [
        "# OSC addresses\n",
        "As `rtsep osc --list` prints them: here of preset `monitor` with a `PeakFilter` named `eq` in stage `strips`, "
        "and two mics, `vox` and `kick`. Yours: `rtsep osc --preset mine.toml --mics vox,kick --list`.\n",
        "Types are OSC's: `f` float, `i` integer, `s` string, `b` blob; access: `r` is told, or can be asked for by "
        "the address alone, `w` can be said.\n",
    ]
    left = dict(found)
    for head, beginnings in heads.items():
        rows = [cells(left.pop(a)) for a in list(left) if a.startswith(beginnings)]
        parts.append(f"## {head}\n")
        parts.append(table(HEADS, [(f"`{first}`", *others) for first, *others in rows]))
    assert not left, left
    return "\n".join(parts)


def midi_page() -> str:
    """Return the page of what a mapping may say."""
    rows = [(f"`{o.name}`", o.allowed(), o.help) for o in mapping.OPTIONS.values()]
    does = [(f"`{key}`", said) for key, said in (
        ("to", "a path, or a list of paths: what it turns"), *((key, told) for key, told in actions.MEANT.items()))]
    panics = " and ".join(str(number) for number in mapping.PANICS)
    return (
        "# MIDI mapping\n\nA TOML file for `rtsep run --midi`, made by `rtsep midi learn`, checked by `rtsep midi "
        f"check`. It begins with `schema = {mapping.SCHEMA}`. Controllers {panics} on any channel make all mics dry, "
        "whatever is mapped.\n\n## A control\n\n`[[control]]` has one of these:\n\n" + table(("key", "meaning"), does) +
        "\nand of these, `message` and `channel` always:\n\n" + table(("key", "allowed", "meaning"), rows) +
        "\n## Ports, programs\n\n" + table(("key", "meaning"), [
            ("`[[port]]` with `input`, `output`", "Open these ports only, by a part of their names; changes go back to "
             "`output`, by default the same name."),
            ("`[program]` with `channel`, `offset`, `port`",
             "Program Change recalls the snapshot of number bank × 128 + program + offset (1)."),
            ("`api`", "Of MIDI: " + ", ".join(mapping.APIS) + "; without it what the system has."),
        ]) + "\n## An example\n\n```toml\n" + (FOLDER.parent.parent / "examples" / "midi.toml").read_text() + "```\n"
    )


PAGES: dict[str, Callable[[], str]] = {
    "commands.md": verbs, "presets.md": preset_page, "stages.md": stage_page, "systems.md": system_page,
    "effects.md": plugin_page, "osc.md": osc_page, "midi.md": midi_page,
}


def pages() -> dict[pathlib.Path, str]:
    """Return every page's text by its file."""
    return {FOLDER / name: f"{_MADE}\n{make()}" for name, make in PAGES.items()}


def shrink(picture: str, into: pathlib.Path) -> None:
    """Write a picture small enough for a page."""
    from PIL import Image

    with Image.open(picture) as large:
        size = (_WIDTH, round(large.height * _WIDTH / large.width))
        small = large.convert("RGB").resize(size, Image.Resampling.LANCZOS)
    small.quantize(256, method=Image.Quantize.MEDIANCUT, dither=Image.Dither.NONE).save(into, optimize=True)


def main(arguments: Sequence[str]) -> int:
    """Write the pages or the picture, or name the pages that are not as they would be written."""
    if arguments and arguments[0].endswith(".png"):
        shrink(arguments[0], PICTURE)
        return 0
    stale = [path for path, text in pages().items() if not path.is_file() or path.read_text() != text]
    if list(arguments) == ["check"]:
        for path in stale:
            print(f"{path.name} is not what the program says: run python docs/generate.py")
        return 1 if stale else 0
    for path, text in pages().items():
        path.write_text(text)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
