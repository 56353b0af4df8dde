"""The stage that hosts the mics' plug-ins."""

from __future__ import annotations

import base64
import binascii
import dataclasses
import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from rtsep.catalogue.spec import PASSED_OVER, Saving, StageSpec, check_delay
from rtsep.errors import InputError
from rtsep.params import Option, Param
from rtsep.plugins.slots import SlotConfig, chain_params, slot_habits

if TYPE_CHECKING:
    from rtsep.presetfile import Preset

_NAME, _NAMES = "[a-z][a-z0-9_]*", "allowed are a to z, 0 to 9 and _, a letter first"
_STRIP = ("mic", "mics", "name", "group", "plugins")
_LINKED = 2   # mics of a strip that takes several: what plug-ins know as stereo
_PLUGIN = ("name", "plugin", "path", "state")
_STATE = ("strip", "name", "state")
_MOST_PLUGINS = 32   # of a chain: four times what a desk's channel has


class StripsSpec(StageSpec):
    """Whose plug-ins, in how many processes, and how they are aligned."""

    def check(self, options: Mapping[str, Any], written: Collection[str] = ()) -> dict[str, Any]:
        """See `StageSpec.check`: chains are made of tables, which are checked here."""
        del written
        check_delay(options["unit"], options["delay"])
        checked = dict(options)
        checked["each"] = _plugins("each", options["each"])
        checked["strips"] = [_strip(number, entry) for number, entry in enumerate(options["strips"], 1)]
        mics = [mic for strip in checked["strips"] for mic in mics_of(strip)]
        for mic in mics:
            if mics.count(mic) > 1:
                raise InputError("strips", f"there are two strips for {mic!r}", "allowed is one for each microphone")
        for name in (strip["name"] for strip in checked["strips"] if "name" in strip):
            if [*mics, *map(name_of, checked["strips"])].count(name) > 1:
                raise InputError("strips", f"two things are called {name!r}", "give the strip another name")
        checked["states"] = [_state(number, entry) for number, entry in enumerate(options["states"], 1)]
        return checked

    def params_of(self, options: Mapping[str, Any]) -> Sequence[Param]:
        """See `StageSpec.params_of`: all that its plug-ins have; of `each`, for every microphone."""
        each = chain_params(slots(options["each"])) if options["each"] else ()
        shared = [dataclasses.replace(param, per_mic=True) for param in each]
        own = [
            dataclasses.replace(param, name=f"{name_of(strip)}.{param.name}")
            for strip in options["strips"] for param in chain_params(chain_of(strip))
        ]
        return (*shared, *own)

    def notes(self, options: Mapping[str, Any], mics: int) -> list[str]:
        """See `StageSpec.notes`: habits of plug-ins, as they are known since their parameters were asked for."""
        del mics
        chains = {"each": slots(options["each"]), **{name_of(strip): chain_of(strip) for strip in options["strips"]}}
        return [f"{name}: {slot.name} {habit}" for name, chain in chains.items() for slot in chain
                for habit in slot_habits(slot)]

    def latency(self, options: Mapping[str, Any]) -> int:
        """See `StageSpec.latency`: without what its plug-ins add, which shows when they are loaded."""
        delay: int = options["delay"]
        return delay if options["each"] or options["strips"] else 0


def name_of(strip: Mapping[str, Any]) -> str:
    """Return what a strip is called in paths: as its mic, or by its own name if it has two."""
    return str(strip.get("name") or strip["mic"])


def mics_of(strip: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the names of a strip's mics."""
    return tuple(strip["mics"]) if "mics" in strip else (strip["mic"],)


def chain_of(strip: Mapping[str, Any]) -> tuple[SlotConfig, ...]:
    """Return a strip's chain as the host of plug-ins wants it, with the states that the preset has."""
    return slots(strip["plugins"], width=len(mics_of(strip)))


def slots(
    plugins: Sequence[Mapping[str, str]], states: Mapping[str, str] | None = None, width: int = 1
) -> tuple[SlotConfig, ...]:
    """Return a chain of plug-ins as an option has it, as the host of plug-ins wants it.

    Parameters
    ----------
    plugins : sequence of mapping
    states : mapping of str to str, optional
        What some begin with instead of their own `state`, by name, base64.
    width : int
        Mics of the strip.
    """
    given = states or {}
    return tuple(
        SlotConfig(entry["name"], entry["plugin"], entry["path"],
                   base64.b64decode(given.get(entry["name"], entry["state"])), width)
        for entry in plugins
    )


@dataclasses.dataclass(frozen=True)
class Kept:
    """A plug-in of a file, which keeps a state beside its parameters.

    Parameters
    ----------
    stage, strip : str
        Names: of the stage; of the strip, or of the microphone if it has none of its own.
    slot : SlotConfig
        As the preset has it.
    unit : int
        Samples that it takes at a time.
    """

    stage: str
    strip: str
    slot: SlotConfig
    unit: int


def kept(preset: Preset, mics: Sequence[str]) -> dict[str, Kept]:
    """Return the plug-ins of a preset that keep states, by path.

    Such a path is that of the plug-in's parameters without their names: `strips.vox.comp` of a strip of its own,
    `strips.comp.vox` of what every microphone has.
    """
    found: dict[str, Kept] = {}
    for config in (one for one in preset.chain if one.stage == STRIPS.name):
        options, own = config.options, {name_of(strip): chain_of(strip) for strip in config.options["strips"]}
        taken = {mic for strip in options["strips"] for mic in mics_of(strip)}
        chains = {**{mic: slots(options["each"]) for mic in mics if mic not in taken}, **own}
        found |= {
            state_path(config.name, own, strip, slot.name): Kept(config.name, strip, slot, options["unit"])
            for strip, chain in chains.items() for slot in chain if not slot.builtin
        }
    return found


def with_states(preset: Preset, states: Mapping[str, str], loads: int = 0) -> Preset:
    """Return a preset whose plug-ins begin with these states, and all others with their own.

    Parameters
    ----------
    preset : Preset
    states : mapping of str to str
        By path, see `kept`; base64. What the preset has no place for is left out.
    loads : int
        How often states were loaded: another number is another chain, even if the states are those of before, as
        plug-ins may have learnt since.
    """
    chain = []
    for config in preset.chain:
        if config.stage == STRIPS.name:
            told = [{**place, "state": state} for path, state in sorted(states.items())
                    if (place := _placed(path, config.name, config.options))]
            config = dataclasses.replace(config, options={**config.options, "states": told, "loads": loads})
        chain.append(config)
    return dataclasses.replace(preset, chain=tuple(chain))


def states_of(preset: Preset) -> dict[str, str]:
    """Return the states that `with_states` has given a preset."""
    return {
        state_path(config.name, _own(config.options), one["strip"], one["name"]): one["state"]
        for config in preset.chain if config.stage == STRIPS.name for one in config.options["states"]
    }


def _own(options: Mapping[str, Any]) -> dict[str, Any]:
    return {name_of(strip): strip["plugins"] for strip in options["strips"]}


def state_path(stage: str, own: Collection[str], strip: str, name: str) -> str:
    """Return at which path a plug-in's state stands, see `kept`; `own` are the strips of their own."""
    return f"{stage}.{strip}.{name}" if strip in own else f"{stage}.{name}.{strip}"


def _placed(path: str, stage: str, options: Mapping[str, Any]) -> dict[str, str]:
    """Return whose state stands at a path; nothing: nobody's."""
    own = _own(options)
    for strip, plugins in own.items():
        for entry in plugins:
            if path == state_path(stage, own, strip, entry["name"]):
                return {"strip": strip, "name": entry["name"]}
    for entry in options["each"]:
        strip = path.removeprefix(f"{stage}.{entry['name']}.")
        if strip not in (path, *own):
            return {"strip": strip, "name": entry["name"]}
    return {}


def _state(number: int, entry: Any) -> dict[str, str]:
    where = f"state {number}"
    _table("states", where, entry, _STATE)
    for key in _STATE:
        if not isinstance(entry.get(key), str) or not entry[key].isprintable():
            raise InputError("states", f"{where}: {key} is {entry.get(key)!r}"[:120], "allowed is a string")
    _decoded("states", where, entry["state"])
    return dict(entry)


def _strip(number: int, entry: Any) -> dict[str, Any]:
    where = f"strip {number}"
    _table("strips", where, entry, _STRIP)
    if ("mics" in entry) == ("mic" in entry) or ("mics" in entry) != ("name" in entry):
        raise InputError("strips", f"{where} has no mic", "allowed are mic, or mics and name")
    mics, group = entry.get("mics", [entry.get("mic")]), entry.get("group", "")
    if "mics" in entry and (not isinstance(mics, list) or len(mics) != _LINKED):
        raise InputError("strips", f"{where}: mics is {mics!r}"[:120], f"allowed are the names of {_LINKED}")
    for key, value in (*(("mic", mic) for mic in mics), ("group", group)):
        if not isinstance(value, str) or not value.isprintable() or (key == "mic" and not value):
            raise InputError("strips", f"{where}: {key} is {value!r}", "allowed is a name")
    if "name" in entry and not (isinstance(entry["name"], str) and re.fullmatch(_NAME, entry["name"])):
        raise InputError("strips", f"{where}: name is {entry['name']!r}", _NAMES)
    who = {"name": entry["name"], "mics": mics} if "mics" in entry else {"mic": mics[0]}
    found = _plugins("strips", entry.get("plugins", []), f"{where} ({', '.join(mics)}): ", len(mics))
    return {**who, "group": group, "plugins": found}


def _plugins(option: str, entries: Any, where: str = "", width: int = 1) -> list[dict[str, str]]:
    if not isinstance(entries, list) or len(entries) > _MOST_PLUGINS:
        allowed = f"allowed is a list of up to {_MOST_PLUGINS} tables"
        raise InputError(option, f"{where}plugins is {entries!r}"[:120], allowed)
    found = list(_checked(option, entries, where))
    names = [entry["name"] for entry in found]
    for name in names:
        if names.count(name) > 1:
            raise InputError(option, f"{where}there are two plug-ins {name!r}", 'give one of them another name = "…"')
    try:
        chain_params(slots(found, width=width))
    except InputError as error:
        raise InputError(option, f"{where}{error.place}: {error.problem}", error.allowed) from None
    return found


def _checked(option: str, entries: Sequence[Any], where: str) -> Iterator[dict[str, str]]:
    for number, entry in enumerate(entries, 1):
        here = f"{where}plug-in {number}"
        _table(option, here, entry, _PLUGIN)
        for key, value in entry.items():
            if not isinstance(value, str) or not value.isprintable():
                raise InputError(option, f"{here}: {key} is {value!r}"[:120], "allowed is a string")
        plugin = entry.get("plugin", "")
        if not plugin and not entry.get("path"):
            raise InputError(option, f"{here}: plugin is missing", 'allowed is a name such as "Compressor"')
        name = entry.get("name", _snake(plugin))
        if not re.fullmatch(_NAME, name):
            raise InputError(option, f"{here}: {name!r} is not a plug-in's name in paths", _NAMES)
        state = entry.get("state", "")
        _decoded(option, here, state)
        yield {"name": name, "plugin": plugin, "path": entry.get("path", ""), "state": state}


def _decoded(option: str, where: str, state: str) -> None:
    try:
        base64.b64decode(state, validate=True)
    except (binascii.Error, ValueError):
        raise InputError(option, f"{where}: state is no base64", "leave it out, or copy it whole") from None


def _table(option: str, where: str, entry: Any, known: Sequence[str]) -> None:
    if not isinstance(entry, dict):
        raise InputError(option, f"{where} is {entry!r}"[:120], "allowed is a table: {" + ", ".join(known) + "}")
    for key in entry:
        if key not in known:
            raise InputError(option, f"{where}: unknown key {key!r}", "known: " + ", ".join(known))


def _snake(name: str) -> str:
    """Return a class's name as it stands in paths."""
    return re.sub(r"[^a-z0-9]+", "_", re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name).lower()).strip("_")


STRIPS = StripsSpec(
    "Strips", "runs each microphone's plug-ins in other processes; dry whenever one is late or fails", (),
    (
        Option("strips", list, [], "Chains: tables of mic (or mics and name), group and plugins (name, plugin)."),
        Option("each", list, [], "Plug-ins of every microphone that has no strip of its own."),
        Option("isolation", str, "chain", "What has a process of its own.", choices=("chain", "group", "one")),
        Option("align", str, "all", "Whose latencies are made equal.", choices=("all", "group", "off")),
        Option("unit", int, 64, "Samples that plug-ins take at a time.", 64, 4096, 64),
        Option("delay", int, 128, "Latency beside that of the plug-ins; they have this less one unit.", 128, 16384, 64),
        Option("states", list, [], "What a snapshot has plug-ins begin with: tables of strip, name and state."),
        Option("loads", int, 0, "How often snapshots have loaded states.", 0, 2**31),
    ),
    "strips", "rtsep.stages.strips",
    savings=(Saving("models", PASSED_OVER),),
    relief="longer `unit`s, or fewer plug-ins",
)
