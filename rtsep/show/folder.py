"""The folder of a show: `show.toml`, `snapshots/`, `patch.csv`, and what else lies there; read and checked whole."""

from __future__ import annotations

import contextlib
import dataclasses
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from rtsep import presets
from rtsep.atomic import new_folder, replacing
from rtsep.catalogue.strips import kept
from rtsep.errors import InputError
from rtsep.hosts.devices import Mic, read_map
from rtsep.names import listed
from rtsep.params import Option
from rtsep.presetfile import BLOCK, toml
from rtsep.show import cue as cues
from rtsep.show import statefiles
from rtsep.show.cue import Cue
from rtsep.show.placing import Placed, place
from rtsep.show.reading import SCHEMA, Reader
from rtsep.show.scope import apart
from rtsep.show.statefiles import OF_PRESET

FILE, PATCH, SNAPSHOTS, HISTORY, STATE = "show.toml", "patch.csv", "snapshots", "history", "state.toml"
_FOLDERS = (SNAPSHOTS, "calibrations", statefiles.FOLDER, HISTORY)
MOST_CUES = 1000   # of a show; an evening of theatre has 200, and each is read at the start

_PRESET = Option("preset", str, "live", "Name, or file in the folder.")
_KEYS = ("name", "preset", "block", "input_device", "output_device", "calibration", "midi", "snapshots", "safe")
_TEXTS = ("input_device", "output_device", "calibration", "midi")


@dataclass(frozen=True)
class Show:
    """A show as its folder has it.

    Parameters
    ----------
    folder : Path
    name : str
    preset : str
        Name, or file in the folder.
    block : int or None
        Frames; None: the preset's.
    input_device, output_device : str
        As `rtsep run` takes them; empty: not said.
    calibration : str
        File in the folder; empty: none.
    midi : str
        File in the folder, a mapping as `rtsep midi learn` writes it; empty: none.
    safe : tuple of str
        Patterns of paths that no recall turns, see `rtsep.show.scope`.
    cues : tuple of Cue
        Its snapshots, in the order of the evening.
    mics : tuple of Mic
        Of `patch.csv`; empty: there is none.
    """

    folder: Path
    name: str
    preset: str = "live"
    block: int | None = None
    input_device: str = ""
    output_device: str = ""
    calibration: str = ""
    midi: str = ""
    safe: tuple[str, ...] = ()
    cues: tuple[Cue, ...] = ()
    mics: tuple[Mic, ...] = ()

    def source(self, preset: str) -> str:
        """Return what `presets.load` takes for a preset that a file of the show names."""
        return preset if preset in presets.names() else str(self.folder / preset)

    def find(self, which: int | str) -> Cue:
        """Return a snapshot by its number or name.

        Raises
        ------
        InputError
            If there is none.
        """
        number = int(which) if isinstance(which, int) or which.isdecimal() else None
        for cue in self.cues:
            if cue.number == number or (number is None and cue.name.casefold() == str(which).casefold()):
                return cue
        known = ", ".join(f"{cue.number} {cue.name}" for cue in self.cues) or "none yet"
        raise InputError(f"snapshot {which!r}", "there is none in the show", f"there are: {known}"[:300])

    def place(self, cue: Cue) -> Placed:
        """Return what the show's own preset and microphones make of a snapshot's values."""
        names = tuple(mic.name for mic in self.mics)
        preset = presets.load(self.source(cue.preset or self.preset))
        return place(cue.values, presets.make_board(preset, names))


def load(folder: str | Path) -> Show:
    """Read a show.

    Raises
    ------
    InputError
        If anything in it is wrong; with file and line.
    """
    folder = Path(folder)
    if not (folder / FILE).is_file():
        raise InputError(str(folder), f"is not a show: there is no {FILE} in it", "`rtsep show new FOLDER` makes one")
    reader = Reader(folder / FILE, "show", _KEYS, ("name",))
    texts = {key: reader.take(Option(key, str, "", "")) for key in _TEXTS}
    block = reader.take(dataclasses.replace(BLOCK, default=0, low=0)) or None
    order = reader.strings("snapshots")
    files = sorted(path.stem for path in (folder / SNAPSHOTS).glob("*.toml") if not path.name.startswith("."))
    for number, stem in enumerate(order):
        if stem not in files:
            raise reader.error(("snapshots", number), f"there is no {SNAPSHOTS}/{stem}.toml", f"there are: {files}")
        if stem in order[:number]:
            raise reader.error(("snapshots", number), f"{stem!r} is there twice", "allowed is once")
    if len(files) > MOST_CUES:
        raise InputError(str(folder / SNAPSHOTS), f"{len(files)} files", f"allowed are up to {MOST_CUES}")
    found = [cues.load(folder / SNAPSHOTS / f"{stem}.toml") for stem in files]
    _check_different(folder, found)
    place_of = {stem: n for n, stem in enumerate(order)}
    found.sort(key=lambda cue: (place_of.get(cue.file, len(order)), cue.number))   # new files come last
    patch = folder / PATCH
    show = Show(
        folder, reader.name("name"), reader.take(_PRESET), block, **texts, safe=reader.strings("safe"),
        cues=tuple(found), mics=read_map(patch) if patch.exists() else (),
    )
    _check_files(show, reader)
    return show


def _check_different(folder: Path, found: Sequence[Cue]) -> None:
    for n, cue in enumerate(found):
        for before in found[:n]:
            for what, ours, theirs in (("number", cue.number, before.number),
                                       ("name", cue.name.casefold(), before.name.casefold())):
                if ours == theirs:
                    place = str(folder / SNAPSHOTS / f"{cue.file}.toml")
                    raise InputError(place, f"its {what} {ours!r} is also that of {before.file}.toml",
                                     f"each snapshot has a {what} of its own")


def _check_files(show: Show, reader: Reader) -> None:
    """Read the presets, the states and the mapping that are named, and look for the calibration."""
    try:
        presets.load(show.source(show.preset))
    except InputError as error:
        if error.problem == "there is no such preset":
            raise reader.error(("preset",), f"{show.preset!r} is no preset", error.allowed) from None
        raise
    for cue in show.cues:
        if cue.preset:
            presets.load(show.source(cue.preset))
        for name in set(cue.states.values()) - {OF_PRESET}:
            statefiles.read(show.folder, name)
    if show.calibration and not (show.folder / show.calibration).is_file():
        raise reader.error(("calibration",), f"there is no file {show.calibration!r}", "a file in the show's folder")
    if show.midi:
        from rtsep.control.midi.mapping import load as load_mapping

        load_mapping(show.folder / show.midi)


def notes(show: Show) -> list[str]:
    """Return what of a show has no place in its own preset, or for its own microphones: a line for each reason."""
    if not show.mics:
        return [f"there is no {PATCH}: the microphones are those of the device"]
    found = []
    for cue in show.cues:
        what = f"snapshot {cue.number} {cue.name}"
        preset = presets.load(show.source(cue.preset or show.preset))
        placed, held = show.place(cue), apart(preset)
        plugins = kept(preset, tuple(mic.name for mic in show.mics))
        found += placed.lines(what)
        if lost := [path for path in cue.states if path not in plugins]:
            found.append(f"{what}: no plug-in takes the states of {listed(lost)}")
        outside = [path for path in placed.values if not cue.has(path, held)]
        if outside:
            found.append(f"{what}: outside of its scope: {listed(outside)}")
    return found


def dumps(show: Show) -> str:
    """Return `show.toml`."""
    lines = [f"schema = {SCHEMA}", f"name = {toml(show.name)}", f"preset = {toml(show.preset)}"]
    if show.block is not None:
        lines.append(f"block = {show.block}")
    lines += [f"{key} = {toml(getattr(show, key))}" for key in _TEXTS if getattr(show, key)]
    lines += ["# Which come in which order; those that are not named here come last, by number.",
              f"snapshots = {toml([cue.file for cue in show.cues])}",
              "# Paths that no recall turns: output.gain_db.vox, *.vox, strips",
              f"safe = {toml(show.safe)}"]
    return "\n".join(lines) + "\n"


def write(path: Path, text: str) -> None:
    """Write a file of a show, whole or not at all.

    Raises
    ------
    InputError
    """
    with replacing(path) as file:
        file.write(text.encode())


def create(folder: str | Path, name: str, preset: str, mics: Sequence[str]) -> Show:
    """Make a new show: device channel n is microphone n.

    Raises
    ------
    InputError
        If there is something at that place already, or the preset cannot be used.
    """
    folder = Path(folder)
    builtin = preset in presets.names()
    presets.load(preset)
    show = Show(folder, name, preset if builtin else f"presets/{Path(preset).name}")
    with _new(folder) as made:
        if not builtin:
            (made / "presets").mkdir()
            shutil.copyfile(preset, made / show.preset)
        (made / FILE).write_text(dumps(show), "utf-8")
        if mics:
            rows = (f"{mic},{n},{n},\n" for n, mic in enumerate(mics, 1))
            (made / PATCH).write_text("mic,in,out,colour\n" + "".join(rows), "utf-8")
            read_map(made / PATCH)
    return load(folder)


def copy_example(folder: str | Path) -> Show:
    """Make a new show of the one that comes with rtsep."""
    with _new(Path(folder)) as made:
        shutil.copytree(_example(), made, dirs_exist_ok=True)
    return load(folder)


@contextlib.contextmanager
def _new(folder: Path) -> Iterator[Path]:
    """Make the folder of a show, with those in it that every show has."""
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise InputError(str(folder), "there is something already", "a new folder, or an empty one")
    try:
        with new_folder(folder) as made:
            for name in _FOLDERS:
                (made / name).mkdir()
            yield made
    except InputError:
        raise
    except OSError as error:
        raise InputError(str(folder), f"cannot be made: {error.strerror}", "a new folder") from None


def _example() -> Path:
    here = Path(__file__).resolve().parent.parent
    wheel = here / "example_show"
    return wheel if wheel.is_dir() else here.parent / "examples" / "show"
