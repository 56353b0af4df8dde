"""The pages of docs/: what they say of the program is so, what they link is there, and what they show can be typed."""

from __future__ import annotations

import argparse
import functools
import html.parser
import importlib
import importlib.util
import os
import pathlib
import re
import shlex
import subprocess
import sys
import urllib.parse
from collections.abc import Iterator, Sequence
from types import ModuleType

import numpy as np
import pytest
from jack_server import jack_server

from rtsep import cli, presets
from rtsep import commands as verbs_of_rtsep
from rtsep.catalogue import OWN_PARAMS, STAGES, SYSTEMS
from rtsep.control.midi import mapping
from rtsep.control.osc.addresses import listing

ROOT = pathlib.Path(__file__).parent.parent
DOCS = ROOT / "docs"
PAGES = {str(path.relative_to(DOCS)): path.read_text() for path in sorted(DOCS.rglob("*.md"))}
WRITTEN = {name: text for name, text in PAGES.items() if not name.startswith("reference/")}
_BLOCK = re.compile(r"^```(\w*)\n(.*?)^```", re.M | re.S)
VERBS = verbs_of_rtsep.find()
_MOST_BYTES = 300_000   # of a picture


def blocks(text: str, kind: str) -> list[str]:
    return [body for found, body in _BLOCK.findall(text) if found == kind]


def commands(text: str) -> Iterator[list[str]]:
    """Yield every command line of rtsep that a page shows."""
    lines = [line for kind in ("", "sh") for block in blocks(text, kind) for line in block.splitlines()]
    for line in lines:
        words = shlex.split(line.split("|")[0].split(">")[0], comments=True)
        if words[:1] == ["rtsep"]:
            yield words[1:]


def mentioned(text: str) -> Iterator[list[str]]:
    """Yield what sentences say of commands: a verb, maybe flags without what they take."""
    for line in re.findall(r"`rtsep ([a-z][^`]*)`", _BLOCK.sub("", text)):
        yield shlex.split(line)


@functools.cache
def parser(module: str) -> argparse.ArgumentParser:
    made = cli._Parser()
    importlib.import_module(module).arguments(made)
    return made


def wrong(words: Sequence[str], whole: bool = True) -> str:
    """Return what is wrong with a command line, or with a part of one: usage, or names that do not exist."""
    verbs, left, module = VERBS, list(words), ""
    while verbs and left:
        verb = next((v for v in verbs if v.name == left[0]), None)
        if verb is None:
            return f"verb {left[0]}"
        verbs, module = verb.verbs, verb.module
        left.pop(0)
    if verbs:   # only the name of some
        return " ".join(words) if whole or left else ""
    if not whole:
        flags = {word for word in left if word.startswith("-")}
        return ", ".join(sorted(flags - set(parser(module)._option_string_actions)))
    try:
        parsed = parser(module).parse_args(left)
    except SystemExit:
        return " ".join(words)
    named, method = getattr(parsed, "preset", None), getattr(parsed, "method", None)
    if named and not named.endswith((".toml", ".onnx")) and named not in presets.names():
        return f"preset {named}"
    return f"system {method}" if method and method not in SYSTEMS else ""


def paths() -> set[str]:
    """Return every parameter's path."""
    groups = [*((name, spec.params) for name, spec in STAGES.items()), *OWN_PARAMS]
    return {f"{name}.{param.name}" for name, params in groups for param in params}


def unknown_names(text: str) -> set[str]:
    """Find paths, flags and OSC addresses within sentences that the program does not have."""
    known, bad = paths(), set()
    heads = {path.split(".")[0] for path in known}
    osc = listing(presets.load("foh"), ("vox", "kick"))
    for code in re.findall(r"`([^`\n]+)`", _BLOCK.sub("", text)):
        name = code.split("=")[0].strip()
        if re.fullmatch(r"[a-z_]+(\.\w+)+", name) and name.split(".")[0] in heads:
            is_bad = ".".join(name.split(".")[:2]) not in known and not name.startswith("strips.")
        elif flag := re.match(r"--[a-z-]+", code):
            is_bad = not re.search(rf"{flag[0]}\b", PAGES["reference/commands.md"])
        else:
            is_bad = bool(re.fullmatch(r"/[a-z_/0-9]+", code)) and code not in osc
        if is_bad:
            bad.add(code)
    return bad


def anchors(text: str) -> set[str]:
    """Return where links into a page may lead, as Python-Markdown names headings."""
    heads = re.findall(r"^#+ (.*)$", _BLOCK.sub("", text), re.M)
    return {re.sub(r"[-\s]+", "-", re.sub(r"[^\w\s-]", "", head).strip().lower()) for head in heads}


def dead_links(name: str, text: str, pages: dict[str, str]) -> list[str]:
    dead = []
    for link in re.findall(r"\]\(([^)\s]+)\)", _BLOCK.sub("", text)):
        path, _, anchor = link.partition("#")
        if "://" in link:
            continue
        target = os.path.normpath(os.path.join(os.path.dirname(name), path)) if path else name
        there = target in pages or (DOCS / target).is_file()
        if not there or (anchor and anchor not in anchors(pages.get(target, ""))):
            dead.append(link)
    return dead


def generator() -> ModuleType:
    spec = importlib.util.spec_from_file_location("generate", DOCS / "generate.py")
    assert spec is not None
    assert spec.loader is not None
    made = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(made)
    return made


def test_the_reference_is_what_the_program_says() -> None:
    """Each page is made from the tables by which the program itself works."""
    generate = generator()
    stale = [path.name for path, text in generate.pages().items() if not path.is_file() or path.read_text() != text]
    assert stale == [], "run python docs/generate.py"
    assert {path.name for path in (DOCS / "reference").iterdir()} == set(generate.PAGES)


def test_links_lead_somewhere() -> None:
    assert {name: dead for name, text in PAGES.items() if (dead := dead_links(name, text, PAGES))} == {}
    nav = set(re.findall(r": ([\w/-]+\.md)$", (ROOT / "mkdocs.yml").read_text(), re.M))
    assert nav == set(PAGES)


def test_every_command_line_can_be_typed(capsys: pytest.CaptureFixture[str]) -> None:
    found = [words for text in PAGES.values() for words in commands(text)]
    assert len(found) > 40
    assert [bad for words in found if (bad := wrong(words))] == [], capsys.readouterr().err
    said = [words for text in PAGES.values() for words in mentioned(text)]
    assert len(said) > 20
    assert [bad for words in said if (bad := wrong(words, whole=False))] == []


def test_every_name_exists() -> None:
    assert {name: bad for name, text in WRITTEN.items() if (bad := unknown_names(text))} == {}


@pytest.mark.parametrize("text", [body for page in PAGES.values() for body in blocks(page, "toml")])
def test_files_that_are_shown_are_good(text: str) -> None:
    if "latency_class" in text:
        presets.loads(text, "shown")
    elif "[[control]]" in text:
        mapping.loads(text, "shown")
    else:
        assert "[values]" in text   # a snapshot: its paths
        assert set(re.findall(r'^"(\w+\.\w+)', text, re.M)) <= paths()


def test_planted_faults_are_found() -> None:
    assert wrong(["run", "--presto", "live"])
    assert wrong(["run", "--preset", "lively"]) == "preset lively"
    assert wrong(["separate", "in", "-o", "out", "--method", "hpsss"]) == "system hpsss"
    assert wrong(["hum"])
    assert wrong(["midi", "hum"], whole=False)
    assert wrong(["run", "--presto"], whole=False) == "--presto"
    assert not wrong(["midi", "learn"], whole=False)
    assert unknown_names("`output.gian_db` `--presto` `/ch/01/mux/on` `output.gain_db.vox`") == {
        "output.gian_db", "--presto", "/ch/01/mux/on"}
    pages = {"a.md": "# One thing\n", "b/c.md": ""}
    assert dead_links("b/c.md", "[x](../a.md#one-thing) [y](../a.md#two) [z](d.md)", pages) == ["../a.md#two", "d.md"]


def test_pictures_and_snippets_are_there_and_small() -> None:
    pictures = [path for path in DOCS.rglob("*") if path.suffix in (".png", ".jpg", ".svg", ".webp")]
    assert pictures
    for path in pictures:
        assert 1000 < path.stat().st_size <= _MOST_BYTES, path
        assert any(path.name in text for text in PAGES.values()), f"{path.name} is shown nowhere"
    for text in PAGES.values():
        for name in re.findall(r'^--8<-- "([^"]+)"', text, re.M):
            assert (ROOT / name).is_file(), name


def test_the_picture_of_the_demo_is_made_small(tmp_path: pathlib.Path) -> None:
    from PIL import Image

    Image.fromarray(np.zeros((990, 1170, 3), np.uint8)).save(tmp_path / "large.png")
    generator().shrink(str(tmp_path / "large.png"), tmp_path / "small.png")
    with Image.open(tmp_path / "small.png") as small:
        assert small.size == (936, 792)
        assert small.mode == "P"


class _Links(html.parser.HTMLParser):
    """Collects what a page links, and where it may be linked."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.links: list[str] = []
        self.loaded: list[str] = []   # as soon as the page is shown
        self.ids: set[str] = set()
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        for key, value in attrs:
            if key in ("href", "src") and value:
                self.links.append(value)
                self.loaded += [value] if tag != "a" else []
            elif key == "id" and value:
                self.ids.add(value)


@pytest.mark.slow
def test_the_site_is_built_strictly_and_needs_nothing_from_elsewhere(tmp_path: pathlib.Path) -> None:
    pytest.importorskip("material", reason="pip install 'rtsep[docs]'")
    done = subprocess.run([sys.executable, "-m", "mkdocs", "build", "--strict", "-q", "-d", tmp_path], cwd=ROOT,
                          capture_output=True, text=True, check=False, timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr
    pages = {path: _Links(path.read_text()) for path in tmp_path.rglob("*.html") if path.name != "404.html"}
    assert len(pages) >= len(PAGES)
    for page, found in pages.items():
        for link in found.links:
            parts = urllib.parse.urlsplit(link)
            if parts.scheme or parts.netloc:
                assert link not in found.loaded, f"{page}: {link}"
                continue
            target = (page.parent / urllib.parse.unquote(parts.path)).resolve() if parts.path else page
            target = target / "index.html" if target.is_dir() else target
            assert target.is_file(), f"{page}: {link}"
            if parts.fragment and target in pages and parts.fragment != "__skip":
                assert urllib.parse.unquote(parts.fragment) in pages[target].ids, f"{page}: {link}"


@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name, text in WRITTEN.items() if blocks(text, "sh")])
def test_what_is_shown_works(name: str, tmp_path: pathlib.Path) -> None:
    """Blocks that are marked as `sh`, one after the other in one folder, beside a JACK server."""
    path = f"{pathlib.Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    with jack_server(period=256, channels=4) as server:
        for block in blocks(PAGES[name], "sh"):
            done = subprocess.run(["sh", "-e", "-c", block], cwd=tmp_path, env={**server.environment, "PATH": path},
                                  capture_output=True, text=True, check=False, timeout=1200)
            assert done.returncode == 0, f"{block}\n{done.stdout}{done.stderr}"
