"""Training: steps, validation, early stop, and going on after whatever interrupted it.

Each step takes its batch and its random numbers from the seed and its own number. On a CPU, with the same number of
threads, a training that was killed and goes on from its last checkpoint ends with the weights of one that ran through.
"""

from __future__ import annotations

import subprocess
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch

from rtsep.errors import InputError
from rtsep.train import checkpoint, curves
from rtsep.train.examples import Examples, sources_of
from rtsep.train.networks.network import Network
from rtsep.train.networks.openunmix import OpenUnmix
from rtsep.train.recipe import Recipe
from rtsep.train.store import Concert, hold_out

_VALIDATED = 8       # batches whose mean loss is a validation
_LEVELLED = 64       # examples of which Open-Unmix takes its statistics
_SHORT = 1e-4        # relative gain below which validation has not improved


@dataclass(frozen=True)
class Settings:
    """How a training runs; 0 and empty mean what the recipe says.

    Parameters
    ----------
    steps, epochs : int
        When it ends at the latest; an epoch has the recipe's number of steps.
    batch : int
    frames : int
        Of an example.
    seed : int
    device : str
        auto, cpu or cuda.
    precision : str
        auto, float32 or mixed; mixed is for CUDA and is what auto takes there.
    threads : int
        Of torch on the CPU.
    every : int
        Steps between validations, each of which writes a checkpoint; an epoch's.
    patience : int
        Validations without gain after which it ends.
    stem : str
        Which mic's network, where there is one for each.
    sounding : float
        Share of examples in which the stem has to sound.
    causal : bool
    options : dict
        Of the network.
    start : str
        Folder of a training whose weights this one starts from: fine-tuning.
    """

    steps: int = 0
    epochs: int = 0
    batch: int = 0
    frames: int = 0
    seed: int = 1
    device: str = "auto"
    precision: str = "auto"
    threads: int = 1
    every: int = 0
    patience: int = 0
    stem: str = ""
    sounding: float = 0.0
    causal: bool = False
    options: dict[str, Any] = field(default_factory=dict)
    start: str = ""


@dataclass(frozen=True)
class Progress:
    """How far a training is.

    Attributes
    ----------
    step, steps : int
    loss : float
        Of training, since the last validation.
    validated : float
        Of the last validation; nan before.
    left_s : float
        Seconds until the end if it does not stop early.
    """

    step: int
    steps: int
    loss: float
    validated: float
    left_s: float


def train(
    recipe: Recipe, concerts: Sequence[Concert], folder: Path, settings: Settings, data: str = "",
    tell: Callable[[Progress], None] | None = None, unseen: Sequence[Concert] = (),
) -> dict[str, Any]:
    """Train a network, or go on with one that was interrupted.

    Parameters
    ----------
    recipe : Recipe
    concerts : sequence of Concert
    folder : Path
        Where weights, checkpoint, curves and `run.json` lie.
    settings : Settings
    data : str
        What the concerts are, in words.
    tell : callable, optional
        Told after every step.
    unseen : sequence of Concert
        What is validated on; without any the last tenth of `concerts`, which is then not trained on.

    Returns
    -------
    dict
        What `run.json` holds.

    Raises
    ------
    InputError
        If something is out of range, or the folder holds a training that was told otherwise.
    """
    torch.set_num_threads(settings.threads)
    parts = (concerts, unseen) if unseen else hold_out(concerts)
    trainer = _Trainer(recipe, *parts, folder, settings, data)
    return trainer.run(tell or (lambda _: None))


class _Trainer:
    """One training."""

    def __init__(
        self, recipe: Recipe, concerts: Sequence[Concert], unseen: Sequence[Concert], folder: Path,
        settings: Settings, data: str,
    ) -> None:
        self.recipe, self.folder, self.settings = recipe, folder, settings
        if "channels" in settings.options:
            raise InputError("--set", "channels are 1 here", "all material is mono")
        self.device = _device(settings.device)
        self.mixed = _mixed(settings.precision, self.device)
        sources = sources_of(recipe, [*concerts, *unseen], settings.stem)
        torch.manual_seed(settings.seed)
        self.network = recipe.build(
            settings.causal, max(len(sources), 2), len(concerts[0].names), settings.frames, **settings.options
        )
        frames = self.network.fit(settings.frames or recipe.frames)
        context = self.network.context
        self.examples = Examples(recipe, concerts, frames, settings.stem, context, True, settings.sounding)
        self.unseen = Examples(recipe, unseen, frames, settings.stem, context)
        self.criterion = recipe.criterion(sources)
        self.batch = settings.batch or recipe.batch
        self.every = settings.every or recipe.steps
        self.steps = settings.steps or (settings.epochs or recipe.epochs) * recipe.steps
        self.told = {
            "system": recipe.name, "data": data, "sources": list(sources), "mics": len(concerts[0].names),
            **asdict(settings),
        }
        self.step, self.best, self.stale = 0, float("inf"), 0
        self.history: list[tuple[int, float, float]] = []
        self._begin()

    def _begin(self) -> None:
        """Start anew, from another training's weights, or where this one was."""
        before = checkpoint.begin(self.folder)
        if before is None and isinstance(self.network, OpenUnmix):
            self._level()
        if before is None and self.settings.start:
            _load(self.network, checkpoint.read_weights(Path(self.settings.start)), self.settings.start)
        self.network.to(self.device)
        self.optimiser = self.recipe.optimiser(self.network.parameters())
        self.scaler = torch.amp.GradScaler(enabled=self.mixed)
        factor, wait = self.recipe.decay or (1.0, 1 << 30)
        plateau = torch.optim.lr_scheduler.ReduceLROnPlateau
        self.slower = plateau(self.optimiser, factor=min(factor, 0.999), patience=wait)
        if before is not None:
            self._go_on(before)
        self.commit = commit()
        checkpoint.write_run(self.folder, {**self.told, "figures": {}, "done": 0, "commit": self.commit})

    def _level(self) -> None:
        """Tell Open-Unmix the mean and deviation of each bin, as the source does."""
        x = torch.from_numpy(self.examples.batch(_LEVELLED, self.settings.seed, 1 << 41)[0])[..., : self.network.kept]
        deviation, mean = torch.std_mean(x, (0, 1, 2))
        self.network.set_statistics(mean, deviation.clamp(min=1e-4 * float(deviation.max())))

    def _go_on(self, before: dict[str, Any]) -> None:
        # How long, where and how often it is looked at may change; what is learnt may not.
        free = ("steps", "epochs", "patience", "device", "threads", "start")
        told = {name: value for name, value in self.told.items() if name not in free}
        checkpoint.refuse_other(self.folder, told, before["told"])
        self.network.load_state_dict(before["network"])
        self.optimiser.load_state_dict(before["optimiser"])
        self.scaler.load_state_dict(before["scaler"])
        self.slower.load_state_dict(before["slower"])
        self.step, self.best, self.stale = before["step"], before["best"], before["stale"]
        self.history = [tuple(row) for row in before["history"]]

    def run(self, tell: Callable[[Progress], None]) -> dict[str, Any]:
        """Take steps until the end."""
        began, first = time.monotonic(), self.step
        patience = self.settings.patience or self.recipe.patience
        total, count, validated = 0.0, 0, self.history[-1][2] if self.history else float("nan")
        while self.step < self.steps and self.stale < patience:
            total, count = total + self._take(), count + 1
            self.step += 1
            if self.step % self.every == 0 or self.step == self.steps:
                validated = self._validate(total / count)
                total, count = (0.0, 0) if self.step % self.every == 0 else (total, count)
            left = (time.monotonic() - began) / (self.step - first) * (self.steps - self.step)
            tell(Progress(self.step, self.steps, total / count if count else self.history[-1][1], validated, left))
        if self.history:
            curves.draw(self.folder / checkpoint.CURVES, self.recipe.name, *zip(*self.history, strict=True))
        figures = {"loss": self.history[-1][1], "validated": self.best} if self.history else {}
        told = {**self.told, "figures": figures, "done": self.step, "stopped_early": self.step < self.steps,
                "commit": self.commit}
        checkpoint.write_run(self.folder, told)
        return told

    def _take(self) -> float:
        """Take one step."""
        self.network.train()
        # Dropout's numbers: of this step, not of how many came before it in this process.
        torch.manual_seed(self.settings.seed * 1_000_003 + self.step)
        loss = self._loss(self.examples, self.settings.seed, self.step)
        if not torch.isfinite(loss) and not self.mixed:   # a scaler leaves such a step out by itself
            raise InputError("--data", f"the loss is no number at step {self.step + 1}", "a smaller rate or other data")
        self.optimiser.zero_grad(set_to_none=True)
        self.scaler.scale(loss).backward()
        self.scaler.step(self.optimiser)
        self.scaler.update()
        return float(loss.detach())

    def _loss(self, examples: Examples, *seed: int) -> torch.Tensor:
        x, y = (torch.from_numpy(part).to(self.device) for part in examples.batch(self.batch, *seed))
        with torch.autocast(self.device, dtype=torch.float16, enabled=self.mixed):
            estimate = self.network(x)
        return self.criterion(estimate.float(), y, x)

    def _validate(self, trained: float) -> float:
        """Measure on what is not trained on, keep the best weights, and write a checkpoint."""
        self.network.eval()
        with torch.no_grad():
            each = [float(self._loss(self.unseen, self.settings.seed, 1 << 40, n)) for n in range(_VALIDATED)]
        validated = sum(each) / len(each)
        self.slower.step(validated)
        self.history.append((self.step, trained, validated))
        better = validated < self.best - _SHORT * abs(self.best) if self.history[1:] else True
        self.stale = 0 if better else self.stale + 1
        if better:
            self.best = validated
            checkpoint.write_weights(self.folder, {n: w.cpu() for n, w in self.network.state_dict().items()})
        checkpoint.write_state(self.folder, {
            "told": self.told, "network": self.network.state_dict(), "optimiser": self.optimiser.state_dict(),
            "scaler": self.scaler.state_dict(), "slower": self.slower.state_dict(), "step": self.step,
            "best": self.best, "stale": self.stale, "history": self.history,
        })
        return validated


def _load(network: Network, weights: dict[str, Any], place: str) -> None:
    try:
        network.load_state_dict(weights)
    except RuntimeError:
        raise InputError(place, "holds another network", "start from one of the same system and options") from None


def _device(wanted: str) -> str:
    if wanted not in ("auto", "cpu", "cuda"):
        raise InputError("--device", f"there is no {wanted}", "allowed are auto, cpu, cuda")
    there = torch.cuda.is_available()
    if wanted == "cuda" and not there:
        raise InputError("--device", "there is no CUDA device, or torch is built without", "allowed is cpu")
    return "cuda" if there and wanted != "cpu" else "cpu"


def _mixed(wanted: str, device: str) -> bool:
    if wanted not in ("auto", "float32", "mixed"):
        raise InputError("--precision", f"there is no {wanted}", "allowed are auto, float32, mixed")
    if wanted == "mixed" and device != "cuda":
        raise InputError("--precision", "mixed is for CUDA", "allowed is float32")
    return device == "cuda" and wanted != "float32"


def commit() -> str:
    """Return which rtsep this is: its commit where it runs from a checkout, or its version."""
    from rtsep import __version__

    here = Path(__file__).parent
    try:
        found = subprocess.run(["git", "-C", str(here), "describe", "--always", "--dirty"], capture_output=True,
                               text=True, timeout=10, check=True).stdout.strip()
        # A virtual environment may lie in somebody else's checkout.
        known = subprocess.run(["git", "-C", str(here), "ls-files", "--error-unmatch", "loop.py"], capture_output=True,
                               timeout=10, check=False).returncode == 0
        return found if known else __version__
    except (OSError, subprocess.SubprocessError):
        return __version__
