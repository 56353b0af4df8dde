"""Session: a model on the provider that runs it, shown honestly; Bound: its buffers, fixed, call after call."""

from __future__ import annotations

import contextlib
import importlib.util
import itertools
from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rtsep.errors import InputError
from rtsep.models.card import MAGNITUDE, MATRIX, WAVE, Card
from rtsep.models.file import INSTALL, ModelFile, shown

Block = NDArray[np.float32]

AUTO, CPU, CUDA, TENSORRT = "auto", "cpu", "cuda", "tensorrt"
PROVIDERS = (AUTO, CPU, CUDA, TENSORRT)
_NAMES = {CPU: "CPUExecutionProvider", CUDA: "CUDAExecutionProvider", TENSORRT: "TensorrtExecutionProvider"}
_NOT_RECORDED = "-1"   # onnxruntime's id of calls without a CUDA graph
_FATAL_ONLY = 4   # of onnxruntime's log: what matters comes as an exception, and is said in one line
_MOST_SHOWN = 160   # characters of somebody else's message


class Session:
    """A model, loaded.

    Parameters
    ----------
    model : ModelFile
    provider : str
        One of `PROVIDERS`. `auto` is CUDA where it works, else the CPU: TensorRT takes minutes to get ready, so it has
        to be asked for.
    threads : int
        Of the CPU.
    graphs : bool
        Record each call as a CUDA graph; other providers have none.
    flush : bool
        Treat denormal numbers as 0: silence then takes no longer than sound. The thread that opens the session, and
        runs it, does so from then on in whatever it computes.

    Attributes
    ----------
    provider : str
        What runs it: what onnxruntime says that it took, not what it was asked for.
    said : tuple of str
        What a user should be told: a provider that was asked for is not there.

    Raises
    ------
    InputError
        If onnxruntime is not installed, or refuses the model.
    """

    def __init__(
        self, model: ModelFile, provider: str = AUTO, threads: int = 1, graphs: bool = False, flush: bool = False
    ) -> None:
        if provider not in PROVIDERS:
            raise InputError("provider", f"{provider!r} is not allowed", "allowed is one of " + ", ".join(PROVIDERS))
        demand_runtime(model.path)
        import onnxruntime

        self.model = model
        onnxruntime.set_default_logger_severity(_FATAL_ONLY)
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
        options.log_severity_level = _FATAL_ONLY
        if flush:
            options.add_session_config_entry("session.set_denormal_as_zero", "1")
        chosen, why = _choose(provider, onnxruntime.get_available_providers())
        self._session, recorded, failed = _load(model, options, chosen, graphs)
        first = self._session.get_providers()[0]
        self.provider = next((name for name, full in _NAMES.items() if full == first), first)
        if failed or (not why and self.provider != chosen):
            why = failed or "onnxruntime cannot load it here"
        self.graphs = recorded and self.provider == CUDA
        self._graph_ids = itertools.count(1)   # a recorded call has fixed addresses, so each way of binding has its own
        self.said: tuple[str, ...] = ()
        if why and provider != AUTO:
            self.said = (f"{model.path}: {provider} was asked for, but {why}; it runs on {self.provider}",)

    def bind(self, channels: int, frames: int, batch: int = 1) -> Bound:
        """Return buffers for calls of one shape; it has been called once, with zeros, and its states are zeros again.

        Parameters
        ----------
        channels, frames, batch : int
            Of `x`.

        Raises
        ------
        InputError
            If the model does not take such a shape, or what comes out has not the shape that its card promises.
        """
        card = self.model.card
        shape = (1, channels, frames) if card.kind == MATRIX else (batch, channels, frames)
        return Bound(self, (*shape, card.bins) if card.kind == MAGNITUDE else shape)

    @contextlib.contextmanager
    def refusing(self) -> Iterator[None]:
        """Turn what onnxruntime raises into one line."""
        try:
            yield
        except InputError:
            raise
        except Exception as error:   # its classes have no common base but this
            raise InputError(self.model.path, f"onnxruntime cannot run it ({_line(error)})") from None


class Bound:
    """Buffers of a session for one shape of `x`.

    Attributes
    ----------
    x : float32[...]
        To be filled before each call.
    y : float32[...]
        What came out of the last call.
    """

    def __init__(self, session: Session, shape: tuple[int, ...], direct: bool | None = None) -> None:
        import onnxruntime

        self._session, self._ort = session, session._session
        model = session.model
        sizes = _sizes(model, shape)
        self.x: Block = np.zeros(shape, np.float32)
        self._states = [
            np.zeros([sizes.get(size, 1) if isinstance(size, str) else size for size in model.inputs[entering]],
                     np.float32)
            for entering, _ in model.card.states
        ]
        results = self._try()
        self.y: Block = np.zeros(results[0].shape, np.float32)
        # On the CPU the buffers are arrays of ours; elsewhere they are copied there and back.
        self._direct = session.provider == CPU if direct is None else direct
        device = "cpu" if session.provider == CPU else "cuda"
        make = onnxruntime.OrtValue.ortvalue_from_numpy

        def value(array: Block) -> Any:
            return make(array) if self._direct else make(array.copy(), device, 0)

        self._ends = value(self.x), value(self.y)
        self._kept = [(value(a), value(b)) for a, b in ((state, np.zeros_like(state)) for state in self._states)]
        self._bindings = [self._binding(turn) for turn in range(2 if self._kept else 1)]
        self._options = [onnxruntime.RunOptions() for _ in self._bindings]
        if session.graphs:
            for options in self._options:
                options.add_run_config_entry("gpu_graph_id", str(next(session._graph_ids)))
        self._turn = 0

    def run(self) -> Block:
        """Call the model with `x` and the states; returns `y`."""
        if not self._direct:
            self._ends[0].update_inplace(self.x)
        with self._session.refusing():
            self._ort.run_with_iobinding(self._bindings[self._turn], self._options[self._turn])
        self._turn = (self._turn + 1) % len(self._bindings)
        if not self._direct:
            self.y[...] = self._ends[1].numpy()
        return self.y

    @property
    def states(self) -> list[Block]:
        """Copies of what the next call begins with, in the card's order."""
        return [np.array(pair[self._turn].numpy()) for pair in self._kept]

    def set_states(self, states: list[Block] | None = None) -> None:
        """Begin the next call with these states; with zeros by default."""
        for number, pair in enumerate(self._kept):
            shape = self._states[number].shape
            content = np.zeros(shape, np.float32) if states is None else states[number]
            if content.shape != shape:
                raise ValueError(f"a state of shape {list(content.shape)}, not {list(shape)}")
            pair[self._turn].update_inplace(np.ascontiguousarray(content, np.float32))

    def _binding(self, turn: int) -> Any:
        binding = self._ort.io_binding()
        binding.bind_ortvalue_input("x", self._ends[0])
        binding.bind_ortvalue_output("y", self._ends[1])
        for (entering, leaving), pair in zip(self._session.model.card.states, self._kept, strict=True):
            binding.bind_ortvalue_input(entering, pair[turn])
            binding.bind_ortvalue_output(leaving, pair[1 - turn])
        return binding

    def _try(self) -> list[Block]:
        """Call it once with zeros, and see whether what comes out is what its card promises."""
        import onnxruntime

        model = self._session.model
        card, (batch, channels, frames) = model.card, self.x.shape[:3]
        given = {"x": self.x, **dict(zip((name for name, _ in card.states), self._states, strict=True))}
        options = onnxruntime.RunOptions()
        if self._session.graphs:
            options.add_run_config_entry("gpu_graph_id", _NOT_RECORDED)
        with self._session.refusing():
            results = self._ort.run(["y", *(name for _, name in card.states)], given, options)
        wanted = _promised(card, batch, channels, frames)
        found = results[0].shape
        if len(found) != len(wanted) or any(b not in (None, a) for a, b in zip(found, wanted, strict=True)):
            allowed = f"its card allows {shown(tuple('?' if size is None else size for size in wanted))}"
            raise InputError(model.path, f"from x {shown(self.x.shape)} comes y {shown(found)}", allowed)
        if card.kind == WAVE and not 0 < found[2] <= frames:
            raise InputError(model.path, f"of {frames} samples it returns {found[2]}", f"allowed are 1 to {frames}")
        for (entering, _), before, after in zip(card.states, self._states, results[1:], strict=True):
            if before.shape != after.shape:
                raise InputError(model.path, f"state {entering!r} comes back as {shown(after.shape)}",
                                 f"allowed is {shown(before.shape)}")
        return list(results)


def demand_runtime(place: str) -> None:
    """Raise InputError unless onnxruntime is installed."""
    if importlib.util.find_spec("onnxruntime") is None:
        raise InputError(place, "models need onnxruntime, which is not installed", INSTALL)


def working() -> list[str]:
    """Return the providers that can really be loaded here, the best first; that onnxruntime lists one is no proof.

    It needs `onnx` and onnxruntime.
    """
    from onnx import TensorProto, helper

    ends = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [1]) for name in ("x", "y")]
    graph = helper.make_graph([helper.make_node("Neg", ["x"], ["y"])], "try", ends[:1], ends[1:])
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    card = Card(system="custom", kind=WAVE, rate=48000, window=0, hop=0, channels=1, sources=(), frames=1,
                look_ahead=0, latency=0)
    model = ModelFile("try", card, made.SerializeToString(), {"x": (1,)}, {"y": (1,)}, 0, 0)
    return [name for name in (TENSORRT, CUDA, CPU) if Session(model, name).provider == name]


def _choose(provider: str, available: list[str]) -> tuple[str, str]:
    """Return the provider to try, and why it is not what was asked for."""
    if provider == AUTO:
        return (CUDA if _NAMES[CUDA] in available else CPU), ""
    if _NAMES[provider] in available:
        return provider, ""
    return CPU, "this onnxruntime has none (pip install 'rtsep[gpu]' in place of rtsep[cpu])"


def _load(model: ModelFile, options: Any, chosen: str, graphs: bool) -> tuple[Any, bool, str]:
    """Return onnxruntime's session, whether it records CUDA graphs, and why it is not on the chosen provider."""
    import onnxruntime

    def made(providers: list[Any]) -> Any:
        # Its fallback prints, and takes another provider without a word to us, even in the midst of calls.
        return onnxruntime.InferenceSession(model.content, options, providers, enable_fallback=0)

    failed = ""
    if chosen != CPU:
        onnxruntime.preload_dlls()   # CUDA's libraries, where they came with pip
        # Not every model can be recorded: each of its operators has to run on the GPU.
        for recorded in (True, False) if graphs and chosen == CUDA else (False,):
            cuda = (_NAMES[CUDA], {"enable_cuda_graph": str(int(recorded)), "use_tf32": "0"})   # TF32: not the CPU's
            wanted = [cuda] if chosen == CUDA else [(_NAMES[TENSORRT], {}), cuda]
            try:
                return made([*wanted, _NAMES[CPU]]), recorded, ""
            except Exception as error:   # of whatever kind: then the CPU has to do
                failed = f"it fails ({_line(error)})"
    try:
        return made([_NAMES[CPU]]), False, failed
    except Exception as error:
        raise InputError(model.path, f"onnxruntime refuses it ({_line(error)})") from None


def _line(error: Exception) -> str:
    text = " ".join(str(error).split())
    return text if len(text) <= _MOST_SHOWN else text[:_MOST_SHOWN] + "…"


def _sizes(model: ModelFile, shape: tuple[int, ...]) -> dict[str, int]:
    """Return what the names of free sizes of `x` stand for; refuse a shape that it does not take."""
    given = model.inputs["x"]
    frames, multiple = shape[2], model.card.multiple
    if any(isinstance(size, int) and size != actual for size, actual in zip(given, shape, strict=True)):
        raise InputError(model.path, f"it cannot take x {shown(shape)}", f"allowed is {shown(given)}")
    if frames % multiple:
        raise InputError(model.path, f"it cannot take {frames} frames", f"allowed is a multiple of {multiple}")
    return {size: actual for size, actual in zip(given, shape, strict=True) if isinstance(size, str)}


def _promised(card: Card, batch: int, channels: int, frames: int) -> tuple[int | None, ...]:
    """Return the shape of `y`; None: whatever it is."""
    sources = len(card.sources)
    if card.kind == MAGNITUDE:
        return (batch, *([sources] if sources else []), channels, frames, card.bins)
    if card.kind == MATRIX:
        return (1, channels, channels)
    return (batch, sources or channels, None)
