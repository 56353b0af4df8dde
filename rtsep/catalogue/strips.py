"""The stage that hosts the mics' plug-ins."""

from __future__ import annotations

import base64
import binascii
import dataclasses
import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any

from rtsep.catalogue.spec import GRID, PASSED_OVER, Saving, StageSpec
from rtsep.errors import InputError
from rtsep.params import Option, Param
from rtsep.plugins.slots import SlotConfig, chain_params

_NAME = "[a-z][a-z0-9_]*"
_STRIP = ("mic", "group", "plugins")
_PLUGIN = ("name", "plugin", "path", "state")
_MOST_PLUGINS = 32   # of a chain: four times what a desk's channel has


class StripsSpec(StageSpec):
    """Whose plug-ins, in how many processes, and how they are aligned."""

    def check(self, options: Mapping[str, Any], written: Collection[str] = ()) -> dict[str, Any]:
        """See `StageSpec.check`: chains are made of tables, which are checked here."""
        del written
        unit, delay = options["unit"], options["delay"]
        if delay < unit + GRID:
            raise InputError("delay", f"{delay} is not allowed", f"with unit {unit} allowed is a multiple of {GRID} "
                                                                 f"from {unit + GRID}")
        checked = dict(options)
        checked["each"] = _plugins("each", options["each"])
        checked["strips"] = [_strip(number, entry) for number, entry in enumerate(options["strips"], 1)]
        mics = [strip["mic"] for strip in checked["strips"]]
        for mic in mics:
            if mics.count(mic) > 1:
                raise InputError("strips", f"there are two strips for {mic!r}", "allowed is one for each microphone")
        return checked

    def params_of(self, options: Mapping[str, Any]) -> Sequence[Param]:
        """See `StageSpec.params_of`: all that its plug-ins have; of `each`, for every microphone."""
        each = chain_params(slots(options["each"])) if options["each"] else ()
        shared = [dataclasses.replace(param, per_mic=True) for param in each]
        own = [
            dataclasses.replace(param, name=f"{strip['mic']}.{param.name}")
            for strip in options["strips"] for param in chain_params(slots(strip["plugins"]))
        ]
        return (*shared, *own)

    def latency(self, options: Mapping[str, Any]) -> int:
        """See `StageSpec.latency`: without what its plug-ins add, which shows when they are loaded."""
        delay: int = options["delay"]
        return delay if options["each"] or options["strips"] else 0


def slots(plugins: Sequence[Mapping[str, str]]) -> tuple[SlotConfig, ...]:
    """Return a chain of plug-ins as an option has it, as the host of plug-ins wants it."""
    return tuple(
        SlotConfig(entry["name"], entry["plugin"], entry["path"], base64.b64decode(entry["state"]))
        for entry in plugins
    )


def _strip(number: int, entry: Any) -> dict[str, Any]:
    where = f"strip {number}"
    _table("strips", where, entry, _STRIP)
    mic, group = entry.get("mic"), entry.get("group", "")
    for key, value in (("mic", mic), ("group", group)):
        if not isinstance(value, str) or not value.isprintable() or (key == "mic" and not value):
            raise InputError("strips", f"{where}: {key} is {value!r}", "allowed is a name")
    found = _plugins("strips", entry.get("plugins", []), f"{where} ({mic}): ")
    return {"mic": mic, "group": group, "plugins": found}


def _plugins(option: str, entries: Any, where: str = "") -> list[dict[str, str]]:
    if not isinstance(entries, list) or len(entries) > _MOST_PLUGINS:
        allowed = f"allowed is a list of up to {_MOST_PLUGINS} tables"
        raise InputError(option, f"{where}plugins is {entries!r}"[:120], allowed)
    found = list(_checked(option, entries, where))
    names = [entry["name"] for entry in found]
    for name in names:
        if names.count(name) > 1:
            raise InputError(option, f"{where}there are two plug-ins {name!r}", 'give one of them another name = "…"')
    try:
        chain_params(slots(found))
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
            allowed = "allowed are a to z, 0 to 9 and _, a letter first"
            raise InputError(option, f"{here}: {name!r} is not a plug-in's name in paths", allowed)
        state = entry.get("state", "")
        try:
            base64.b64decode(state, validate=True)
        except (binascii.Error, ValueError):
            raise InputError(option, f"{here}: state is no base64", "leave it out, or copy it whole") from None
        yield {"name": name, "plugin": plugin, "path": entry.get("path", ""), "state": state}


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
        Option("strips", list, [], "Chains: tables of mic, group and plugins, which are tables of name and plugin."),
        Option("each", list, [], "Plug-ins of every microphone that has no strip of its own."),
        Option("isolation", str, "chain", "What has a process of its own.", choices=("chain", "group", "one")),
        Option("align", str, "all", "Whose latencies are made equal.", choices=("all", "group", "off")),
        Option("unit", int, 64, "Samples that plug-ins take at a time.", 64, 4096, 64),
        Option("delay", int, 128, "Latency beside that of the plug-ins; they have this less one unit.", 128, 16384, 64),
    ),
    "strips", "rtsep.stages.strips",
    savings=(Saving("models", PASSED_OVER),),
    relief="longer `unit`s, or fewer plug-ins",
)
