"""What a plug-in of a file is like, as a child process finds out step by step: a crash tells how far it came."""

from __future__ import annotations

import base64
import os
import re
import threading
import time
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

Block = NDArray[np.float32]

INIT_SECONDS = 1.0        # that pedalboard waits for an instrument to sound: it is refused afterwards
_POINTS = 65              # of a parameter's curve
_MOST_CHOICES = 64        # steps up to which a parameter is a list
_SKIPPED = re.compile(r"MIDI CC |P\d\d\d$")   # some plug-ins have thousands; pedalboard leaves them out as well
_OWN = ("state", "place")  # parameters of a slot: see `rtsep.plugins.slots.OWN`
_LEVELS = (0.5, 0.1, 0.02)  # of impulses: gates let the loud ones through, and compressors the soft ones
_WINDOW_SECONDS = 0.25    # in which an impulse has to come; what is later is an echo
_SETTLE_SECONDS = 0.5
_TIMED = 400              # units
_TURN_SECONDS = 5.0       # for all parameters that are turned, and for one that hangs
_SHORT = 16               # units of silence before an impulse when parameters are turned


def load(file: str, plugin: str) -> Any:
    """Return a plug-in of a file, by name where there are several.

    pedalboard would ask for the text of every parameter at a thousand places first, which takes seconds with hundreds
    of parameters; nobody here looks at what it makes of them.

    Raises
    ------
    ImportError, ValueError
        If it cannot be loaded.
    """
    import pedalboard

    board: Any = pedalboard
    kinds = [kind for kind in (getattr(board, "VST3Plugin", None), getattr(board, "AudioUnitPlugin", None)) if kind]
    for kind in kinds:
        kind.__set_initial_parameter_values__ = lambda _self, _values: None
    return board.load_plugin(file, plugin_name=plugin, initialization_timeout=INIT_SECONDS)


def give(plugin: Any, state: bytes) -> None:
    """Give a plug-in a `raw_state`; as an attribute it would be looked for among the parameters, see `load`."""
    type(plugin).raw_state.fset(plugin, state)


def run(plugin: Any, block: Block, rate: int, channels: int) -> Block:
    """Return what a plug-in makes of float32[channels, unit]; a mono unit goes into both of two, and is their mean.

    pedalboard leaves out as many samples at the beginning as the plug-in says it is late; they come as zeros here, so
    that nothing depends on what it says.
    """
    doubled = channels > len(block)
    given = np.repeat(block, 2, axis=0) if doubled else block
    out: Block = plugin.process(given, rate, buffer_size=block.shape[1], reset=False)
    if doubled:
        out = (0.5 * (out[:1] + out[1:])).astype(np.float32)
    missing = block.shape[1] - out.shape[1]
    return np.pad(out, ((0, 0), (missing, 0))) if missing else out


def look(told: Mapping[str, Any], say: Callable[..., None]) -> None:
    """Load a plug-in, and say all that `rtsep.plugins.probing.Probe` has."""
    file, name, rate, unit = told["file"], told["plugin"], told["rate"], told["unit"]
    say(doing="being loaded")
    names = names_in(file)
    if len(names) > 1 and name not in names:
        say(problem=f"has several plug-ins, and none is {name!r}", allowed=f"allowed are {', '.join(names)}")
        return
    plugin = load(file, name if name in names else names[0] if names else name)
    if plugin.is_instrument or not plugin.is_effect:
        say(problem="is an instrument", allowed="allowed are effects")
        return
    say(doing="being given its state")
    state, kept = base64.b64decode(told["state"]), True
    if state:
        give(plugin, state)
        kept = bytes(plugin.raw_state) == state
    else:
        before = bytes(plugin.raw_state)
        give(plugin, before)
        kept = bytes(plugin.raw_state) == before
    say(doing="telling its parameters")
    knobs = _knobs(plugin)
    say(doing="working")
    channels = channels_of(plugin, rate, unit, told["width"])
    if not channels:
        say(problem="takes neither one channel nor two" if told["width"] == 1 else "does not take two channels",
            allowed="" if told["width"] == 1 else "it can be in a strip of one mic only")
        return
    timed = _timed(plugin, rate, unit, channels)
    measured = None if timed["nan"] else latency(plugin, rate, unit, channels)
    say(
        name=plugin.name, manufacturer=plugin.manufacturer_name, version=plugin.version, uid=plugin.identifier,
        channels=channels, declared=int(plugin.reported_latency_samples), measured=measured, knobs=knobs, **timed,
        state_kept=kept, late_params=False if timed["nan"] else _late(plugin, knobs, rate, unit, channels),
    )
    say(latency_knobs=[] if timed["nan"] else _moving(plugin, knobs, rate, unit, channels, say))
    say(doing="being loaded by another thread")
    say(main_thread=_needs_main_thread(file, plugin.name))


def names_in(file: str) -> list[str]:
    """Return the names of the plug-ins in a file."""
    import pedalboard

    kinds = [getattr(pedalboard, kind, None) for kind in ("VST3Plugin", "AudioUnitPlugin")]
    kind = kinds[0] if file.lower().endswith(".vst3") else kinds[1]
    return list(kind.get_plugin_names_for_file(file)) if kind else []


def channels_of(plugin: Any, rate: int, unit: int, width: int) -> int:
    """Return how many channels it takes of so many mics, as it says itself when it is given a unit of them; 0: none."""
    for channels in range(width, 3):
        try:
            run(plugin, np.zeros((1, unit), np.float32), rate, channels)
            return channels
        except ValueError:   # it names what it takes instead
            continue
    return 0


def _timed(plugin: Any, rate: int, unit: int, channels: int) -> dict[str, Any]:
    noise = np.random.default_rng(0)
    times, bad = [], False
    for _ in range(_TIMED):
        block = (0.1 * noise.standard_normal((1, unit))).astype(np.float32)
        began = time.perf_counter()
        out = run(plugin, block, rate, channels)
        times.append(1000 * (time.perf_counter() - began))
        bad = bad or not bool(np.isfinite(out).all())
    slow = sum(one > 1000 * unit / rate for one in times[1:])   # the first one may load
    return {"p50_ms": float(np.median(times)), "max_ms": max(times[1:]), "slow": slow, "nan": bad}


def latency(plugin: Any, rate: int, unit: int, channels: int) -> int | None:
    """Return after how many samples impulses of several levels come out; None: they do not, or not all alike."""
    declared = int(plugin.reported_latency_samples)
    settle = -(-round(_SETTLE_SECONDS * rate) // unit)
    found = {
        _impulse(plugin, level * sign, rate, unit, channels, declared, settle) for level in _LEVELS for sign in (1, -1)
    }
    found.discard(None)
    return found.pop() if len(found) == 1 else None


def _impulse(plugin: Any, level: float, rate: int, unit: int, channels: int, declared: int,
             settle: int) -> int | None:
    units = -(-(declared + round(_WINDOW_SECONDS * rate)) // unit)
    silence = np.zeros((1, unit), np.float32)
    impulse = silence.copy()
    impulse[0, 0] = level
    before = [run(plugin, silence, rate, channels) for _ in range(settle)][-4:]
    after = [run(plugin, impulse if n == 0 else silence, rate, channels) for n in range(units)]
    heard, floor = np.abs(np.concatenate(after, axis=1)[0]), float(np.abs(before).max())
    peak = int(np.argmax(heard))
    if heard[peak] <= max(100 * floor, 1e-6):
        return None
    onset = int(np.argmax(heard > 1e-3 * heard[peak]))
    if onset <= declared <= peak:   # a filter's response has its length: what it says is as good
        return declared
    early, late = (float(np.sum(part**2)) for part in (heard[:peak], heard[peak + 1 :]))
    return peak if 0.5 * late < early < 2 * late else onset   # symmetric: a filter of linear phase


def _late(plugin: Any, knobs: list[dict[str, Any]], rate: int, unit: int, channels: int) -> bool:
    """Whether a parameter that is heard at all is heard only a block after it was set."""
    noise = (0.1 * np.random.default_rng(1).standard_normal((1, unit))).astype(np.float32)
    steady = [run(plugin, noise, rate, channels) for _ in range(200)][-2:]
    declared = int(plugin.reported_latency_samples)
    if not np.array_equal(steady[0], steady[1]) or declared >= unit:   # it moves by itself, or answers later anyhow
        return False
    for knob in knobs[:8]:
        parameter = plugin._parameters[knob["index"]]
        before = parameter.raw_value
        parameter.raw_value = 1.0 if before < 0.5 else 0.0
        first, second = (run(plugin, noise, rate, channels) for _ in range(2))
        parameter.raw_value = before
        for _ in range(20):
            run(plugin, noise, rate, channels)
        if not np.array_equal(second, steady[0]):
            return bool(np.array_equal(first, steady[0]))
    return False


def _moving(plugin: Any, knobs: list[dict[str, Any]], rate: int, unit: int, channels: int,
            say: Callable[..., None]) -> list[str]:
    """Return the parameters that move the latency, by what the plug-in says or by what an impulse takes.

    Each is turned to both ends, which some plug-ins do not survive: the parent knows then which one it was.
    """
    def both() -> tuple[int, int | None]:
        run(plugin, np.zeros((1, unit), np.float32), rate, channels)   # then it has taken it over
        declared = int(plugin.reported_latency_samples)
        return declared, _impulse(plugin, _LEVELS[0], rate, unit, channels, declared, _SHORT)

    found, began = [], time.monotonic()
    first = both()
    for knob in knobs:
        if time.monotonic() - began > _TURN_SECONDS:
            break
        say(doing=f"being turned at {knob['param']['name']}", turned=knob["param"]["name"])
        watch = threading.Timer(_TURN_SECONDS, os._exit, (1,))   # it may hang
        watch.start()
        parameter = plugin._parameters[knob["index"]]
        before = float(parameter.raw_value)
        for end in (0.0, 1.0):
            parameter.raw_value = end
            declared, measured = both()
            if declared != first[0] or (None not in (measured, first[1]) and measured != first[1]):
                found.append(knob["param"]["name"])
                break
        parameter.raw_value = before
        both()
        watch.cancel()
    return found


def _needs_main_thread(file: str, name: str) -> bool:
    failed = []

    def other() -> None:
        try:
            load(file, name)
        except Exception:   # pedalboard says so, or the plug-in does
            failed.append(True)

    thread = threading.Thread(target=other)
    thread.start()
    thread.join()
    return bool(failed)


def _knobs(plugin: Any) -> list[dict[str, Any]]:
    taken: set[str] = set()
    return [_knob(parameter, taken) for parameter in plugin._parameters
            if parameter.is_automatable and not _SKIPPED.match(parameter.name)]


def _knob(parameter: Any, taken: set[str]) -> dict[str, Any]:
    steps = parameter.num_steps if 2 <= parameter.num_steps <= _MOST_CHOICES else 0
    points = steps or _POINTS
    texts = [str(parameter.get_text_for_raw_value(n / (points - 1))) for n in range(points)]
    numbers = [_number(text) for text in texts]
    rises = np.diff([n for n in numbers if n is not None])
    raw, unit = float(parameter.raw_value), str(parameter.label)[:8]
    choices: tuple[str, ...] = ()
    if None not in numbers and (np.all(rises >= 0) or np.all(rises <= 0)) and numbers[0] != numbers[-1]:
        curve = [float(n) for n in numbers if n is not None]
    elif steps:
        curve, choices, unit = [float(n) for n in range(steps)], tuple(text.strip()[:32] for text in texts), ""
    else:
        curve, unit = [0.0, 1.0], ""
    default = float(np.interp(raw, np.linspace(0, 1, len(curve)), curve))
    told = ": " + ", ".join(f"{n} {text}" for n, text in enumerate(choices)) if choices else ""
    param = {"name": _path_name(parameter.name, parameter.index, taken), "unit": unit, "low": min(curve),
             "high": max(curve), "default": float(round(default)) if choices else default, "per_mic": False,
             "help": f"{parameter.name}{told}."}
    return {"param": param, "index": parameter.index, "label": parameter.name, "curve": curve, "choices": choices}


def _number(text: str) -> float | None:
    """Return what a plug-in shows as a number, a unit behind it left out; None: it is none."""
    found = re.match(r"\s*([-+]?\d+(?:\.\d+)?(?:[eE][-+]?\d+)?)\s*(k?)(?:[Hh]z)?", text)
    if not found:
        return None
    return float(found[1]) * (1000 if found[2] == "k" else 1)


def _path_name(name: str, index: int, taken: set[str]) -> str:
    """Return a name that is safe in paths, and not taken: it is from then on."""
    safe = re.sub(r"[^a-z0-9]+", "_", name.lower()).strip("_") or f"p{index}"
    if not safe[0].isalpha():
        safe = f"p_{safe}"
    unique, copy = safe, 2
    while unique in taken or unique in _OWN:
        unique, copy = f"{safe}_{copy}", copy + 1
    taken.add(unique)
    return unique


