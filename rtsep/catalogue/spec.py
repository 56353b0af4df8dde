"""What an entry of the catalogue is made of: a stage's spec with its traits, a system's, and options marked by use.

What the rest of the program wants to know of a stage it asks its spec, so that nobody has to know a stage by name.
"""

from __future__ import annotations

import dataclasses
import importlib
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from rtsep.errors import InputError
from rtsep.params import Option, Param

if TYPE_CHECKING:
    from rtsep.stage import Stage

GRID = 64   # samples: what `rtsep_kernels.plane.grid` works in

CLASS_LIMITS = {"live": 0.0, "monitor": 0.003, "foh": 0.012, "record": 0.050}
"""Most latency that a preset of each class may add, seconds."""


SHED_ORDER = ("background", "models", "suppressor", "canceller")
"""What is given up first where a machine is too slow: work of which nothing is heard at once, then by class."""


@dataclass(frozen=True)
class Saving:
    """One step in which a stage may be given up.

    Parameters
    ----------
    order : str
        When it is its turn, see `SHED_ORDER`.
    told : str
        What is said of the stage then.
    """

    order: str
    told: str


PASSED_OVER = "passed over"


@dataclass(frozen=True)
class StageSpec:
    """What a preset may say of a stage, where its class is, and what it asks of those around it.

    Parameters
    ----------
    cls : str
        Its class, which takes the stage's name and every option as an argument.
    help : str
        One line.
    params : tuple of Param
        What may be turned while it runs.
    options : tuple of Option
        What is fixed when it is prepared; in this order they may be given to the class.
    name : str
        As presets have it. Of a system (`system`) it follows, as do `module` and `options`.
    module : str
        Where the class is.
    learns : str
        Parameter that stops its learning at 0; empty: none does.
    most_block : int, optional
        Frames that a device may hand over at once; None: any number.
    turned : mapping of str to float, optional
        Values in its own builtin preset, an input and this stage; None: there is none.
    hint : str
        What a user of that preset should know.
    savings : tuple of Saving
        The steps in which it is given up where the machine is too slow, from the first to the last, at which it is
        passed over; the others are its own, see `rtsep.stage.Stage.shed`. None: it never is.
    relief : str
        What would make it cheaper for good.
    """

    cls: str
    help: str
    params: tuple[Param, ...] = ()
    options: tuple[Option, ...] = ()
    name: str = ""
    module: str = ""
    learns: str = ""
    most_block: int | None = None
    turned: Mapping[str, float] | None = None
    hint: str = ""
    savings: tuple[Saving, ...] = ()
    relief: str = ""

    @property
    def defaults(self) -> dict[str, Any]:
        """Every option's default, the caller's to change."""
        return defaults(self.options)

    def complete(self, given: Sequence[Any], options: Mapping[str, Any]) -> dict[str, Any]:
        """Return every option: given in order, by name, or the default.

        Raises
        ------
        TypeError
            If one is too many or unknown, as with any call.
        """
        known = [option.name for option in self.options]
        named = dict(zip(known, given, strict=False))
        if len(given) > len(known) or set(options) - set(known) or set(options) & set(named):
            raise TypeError(f"{self.cls} takes {', '.join(known)}, each once, not {given} and {dict(options)}")
        return {**self.defaults, **named, **options}

    def check(self, options: Mapping[str, Any], written: Collection[str] = ()) -> dict[str, Any]:
        """Check what no option can say alone; each has been checked by itself.

        Parameters
        ----------
        options : mapping of str to value
            All of them.
        written : collection of str
            Those that a user has written: one of them is to blame, if possible.

        Returns
        -------
        dict of str to value
            The options as they are kept.

        Raises
        ------
        InputError
            Its place is the option's name.
        """
        del written
        return dict(options)

    def notes(self, options: Mapping[str, Any], mics: int) -> list[str]:
        """Return what should be said before it runs with so many microphones: what of it cannot be done."""
        del options, mics
        return []

    def params_of(self, options: Mapping[str, Any]) -> Sequence[Param]:
        """Return what may be turned while it runs with these options."""
        del options
        return self.params

    def latency(self, options: Mapping[str, Any]) -> int:
        """Return what it adds, samples."""
        del options
        return 0

    def fit(self, options: Mapping[str, Any], rate: int, latency_class: str) -> dict[str, Any]:
        """Return the options as they are best at a rate: a class promises milliseconds."""
        del rate, latency_class
        return dict(options)

    def make(self, name: str, options: Mapping[str, Any]) -> Stage:
        """Return such a stage, not yet prepared."""
        made: Stage = getattr(importlib.import_module(self.module), self.cls)(name, **options)
        return made


@dataclass(frozen=True)
class FrameSpec(StageSpec):
    """A stage with a short-time spectrum: options `analysis`, `synthesis` and `hop`."""

    savings: tuple[Saving, ...] = (Saving("models", PASSED_OVER),)
    relief: str = "a longer `hop`"

    def check(self, options: Mapping[str, Any], written: Collection[str] = ()) -> dict[str, Any]:
        """See `StageSpec.check`: the windows must fit each other."""
        analysis, synthesis, hop = (options[key] for key in ("analysis", "synthesis", "hop"))
        if synthesis > analysis:
            blamed = _blamed(("synthesis", "analysis"), written)
            allowed = "allowed is a synthesis window no longer than the analysis window"
            raise InputError(blamed, f"synthesis {synthesis} is longer than analysis {analysis}", allowed)
        if synthesis % hop or synthesis // hop < 2:
            blamed = _blamed(("synthesis", "hop"), written)
            raise InputError(blamed, f"synthesis {synthesis} does not fit hop {hop}",
                             "allowed is synthesis = 2, 3, 4 … times hop")
        return dict(options)

    def latency(self, options: Mapping[str, Any]) -> int:
        """See `StageSpec.latency`: the synthesis window, and what spreading the work over a hop takes."""
        late: int = options["synthesis"] + options["hop"] - GRID
        return late

    def fit(self, options: Mapping[str, Any], rate: int, latency_class: str) -> dict[str, Any]:
        """See `StageSpec.fit`: shorten the synthesis window, then the hop, to what the class allows."""
        most = int(CLASS_LIMITS[latency_class] * rate)
        synthesis, hop = options["synthesis"], options["hop"]
        for shorter in (hop >> n for n in range(hop.bit_length())):
            fits = min(synthesis, (most - shorter + GRID) // shorter * shorter)
            if shorter % GRID == 0 and fits >= 2 * shorter:
                return {**options, "synthesis": fits, "hop": shorter}
        return dict(options)


@dataclass(frozen=True)
class System:
    """What a user may know and set of a system of separation without running it.

    Parameters
    ----------
    name : str
        As `rtsep separate --method` takes it.
    section : str
        Of SYSTEMS.md.
    task : str
        What it separates.
    inputs : str
        What it needs.
    role : str
        What is done when, in the stream; or why it is offline.
    source : str
        Publication.
    module, cls : str
        Where its `Separator` is.
    options : tuple of Option
        Of the `Separator`.
    stage : StageSpec, optional
        What runs it live; None: offline only.
    blind : bool
        Whether it needs nothing but the mics and gives each its own sound: then `rtsep bench bleed` measures it.
    """

    name: str
    section: str
    task: str
    inputs: str
    role: str
    source: str
    module: str
    cls: str
    options: tuple[Option, ...]
    stage: StageSpec | None
    blind: bool = False

    @property
    def live(self) -> str:
        """Name of the stage that runs it live; empty: offline only."""
        return self.stage.name if self.stage else ""

    @property
    def defaults(self) -> dict[str, Any]:
        """Every option's default."""
        return defaults(self.options)


@dataclass(frozen=True)
class Marked:
    """Options by use: of the live stage, of the offline system; see `live`, `offline`, `both`, `causal`."""

    live: tuple[Option, ...] = ()
    offline: tuple[Option, ...] = ()


def live(*options: Option) -> Marked:
    """Mark options that the live stage alone has."""
    return Marked(live=options)


def offline(*options: Option) -> Marked:
    """Mark options that the offline system alone has."""
    return Marked(offline=options)


def both(option: Option, **offline: Any) -> Marked:
    """Mark an option of both; `offline` tells in what the offline one differs."""
    return Marked((option,), (dataclasses.replace(option, **offline),))


def causal(option: Option, **offline: Any) -> Marked:
    """Mark an option of the live stage, and of the offline system when it works as that does."""
    return both(option, help=f"With causal, {option.help[0].lower()}{option.help[1:]}", **offline)


def system(
    name: str, section: str, task: str, inputs: str, role: str, source: str, module: str, cls: str,
    marked: Sequence[Marked], stage: StageSpec | None = None, *, blind: bool = False,
) -> System:
    """Return a system from its one entry; its live stage has its name and module unless it says otherwise.

    Parameters
    ----------
    name, section, task, inputs, role, source, module, cls
        As `System` has them.
    marked : sequence of Marked
        The options of both.
    stage : StageSpec, optional
        Without options.
    blind
        As `System` has it.
    """
    if stage is not None:
        stage = dataclasses.replace(
            stage, name=stage.name or name.replace("-", "_"), module=stage.module or module,
            options=tuple(option for mark in marked for option in mark.live),
        )
    options = tuple(option for mark in marked for option in mark.offline)
    return System(name, section, task, inputs, role, source, module, cls, options, stage, blind)


def check_delay(unit: int, delay: int) -> None:
    """Refuse a delay in which a worker in another process would have no time for its unit; both samples.

    Raises
    ------
    InputError
        Its place is the option's name.
    """
    if delay < unit + GRID or delay % GRID:
        allowed = f"with unit {unit} allowed is a multiple of {GRID} from {unit + GRID}"
        raise InputError("delay", f"{delay} is not allowed", allowed)


def defaults(options: Sequence[Option]) -> dict[str, Any]:
    """Return every option's default; lists are the caller's to change."""
    return {o.name: list(o.default) if o.kind is list else o.default for o in options}


def _blamed(keys: Sequence[str], written: Collection[str]) -> str:
    """Return the first of some options that was written: a default that does not fit has no line."""
    return next((key for key in keys if key in written), keys[-1])


# What several families have ----------------------------------------------------------------------------------------

ANALYSIS = Option("analysis", int, 2048, "Analysis window, samples.", 128, 8192, 64)
SYNTHESIS = Option("synthesis", int, 2048, "Synthesis window, samples: most of the latency.", 128, 8192, 64)
HOP = Option("hop", int, 256, "Samples between two frames.", 64, 4096, 64)
WINDOW = Option("window", int, 2048, "Window of the spectrum, samples.", 64, 65536, 8)
CAUSAL = Option("causal", bool, False, "Look at the past only, as the live stage does.")

FRAMES = live(ANALYSIS, SYNTHESIS, HOP)
"""Windows of a live stage that decides gains (`rtsep.stages.masking`)."""
FRAMED = (FRAMES, offline(WINDOW, CAUSAL))
"""The same, with the offline system's window."""

ADAPT = Param("adapt", "on", 0.0, 1.0, 1.0, False, "Learn while running; 0 keeps what is known.")
RANGE = (
    Param("range_db", "dB", -120.0, 0.0, -40.0, True, "The most that is ever taken away."),
    Param("attack_ms", "ms", 0.0, 500.0, 0.0, False, "Time for a gain to open."),
    Param("release_ms", "ms", 0.0, 2000.0, 0.0, False, "Time for a gain to close."),
)
"""Of every stage that decides gains."""


def keep(*parts: str) -> Param:
    """Return the parameter that chooses which part of a mic is heard."""
    told = ", ".join(f"{n} {part}" for n, part in enumerate(parts))
    return Param("keep", "", 0.0, len(parts) - 1.0, 0.0, True, f"Which part is heard: {told}.")
