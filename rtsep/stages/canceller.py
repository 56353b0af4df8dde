"""The recursive canceller: a long causal path from every cleaned microphone to every other one."""

from __future__ import annotations

import ctypes
import math
import threading
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rtsep import fftw, realtime
from rtsep.catalogue import STAGES
from rtsep.errors import WorkerError
from rtsep.stage import RAMP_SECONDS, Format, Stage
from rtsep.systems.stability import stable
from rtsep_kernels.canceller import apply as kernels
from rtsep_kernels.canceller import choice, evidence, guard, instant
from rtsep_kernels.canceller import job as adapt
from rtsep_kernels.canceller.refine import adopt as refine_adopt
from rtsep_kernels.canceller.refine import record as refine_state
from rtsep_kernels.plane import ramp
from rtsep_kernels.plane.memory import aligned

# Kalman settings: (memory a2, drift q) from nothing, and from a soundcheck, which is good and moves little.
_BLIND = (0.999, 1e-4)
_CALIBRATED = (0.99999, 3e-6)
_PRIOR = 0.02 * 0.85 ** np.arange(64)   # expected power of partition p of a path, per bin
_TRACKED = 8                            # partitions that the Kalman filter adapts; the others are refined only
_REFINED = (0.9995, 0.01)               # memory, and the part of the prior that a refinement leaves unknown
_LOW_RATE = 12000                       # Hz, nearly: where paths are refined
_TRUST = 1.0                            # in the power of the wanted sound as the weights have it: it is a guess
_REFINED_DOUBT = 1e-4                   # variance of a soundcheck's paths, beside the prior's, when refined
_CONFIDENT = 0.25                       # confidence from which a soundcheck's path is believed in
_CALIBRATED_DOUBT = 5e-4               # part of it that a soundcheck leaves unknown
# Memories of the instantaneous estimates, and of what is said of them, seconds.
_INSTANT_MEMORY = {"slow": 2.0, "fast": 0.12, "kept": 1.0}
_CALIBRATED_BINS = 30000.0              # about a second of audio must speak against a soundcheck's instantaneous paths
_ONE_TAP = 0.9                          # share of tap 0 in the paths to a mic that makes them an instantaneous mixture
# Memories of the guard, seconds: of coherence, of levels.
_GUARD_MEMORY = {"coherence_kept": 6.0, "level_kept": 2.0}
# Memories of the evidence, seconds: of what a note lets expect of the next frame, of the regressions.
_EVIDENCE_MEMORY = {"kept": 0.25, "memory": 6.0}
_EVIDENCE_HOP = 1024 / 48000            # seconds, nearly
_EVIDENCE_BAND = (60.0, 6000.0)         # Hz
_COMPARED = (60.0, 8000.0)             # Hz: where mics are compared
_CLOSE = 1.75e-3                       # seconds: two mics on one source are not farther apart
# What speaks for a soundcheck's paths: both sums of five seconds of bleed, 20 dB below a mic at -30 dBFS.
_TRUSTED = 1e4
# Memories of the choice of pairs, seconds: of paths that are looked for, of levels. Who rests for a while comes back.
_CHOICE_MEMORY = {"path_kept": 10.0, "level_kept": 20.0}
_JOB = ctypes.CFUNCTYPE(ctypes.c_int32, ctypes.c_void_p, ctypes.c_int64)


class Canceller(Stage):
    """Subtract bleed: y_i = x_i - sum over j != i of a_ij * y_j, all paths causal, no latency.

    Bleed reaches its own microphone first, so nothing has to be waited for. The paths are learnt blindly while
    the concert runs, or start from a soundcheck's calibration; `adapt` = 0 freezes them.

    Parameters
    ----------
    name : str
    taps : int
        Length of each path, samples, a multiple of 512.
    refine : int
        Thousands of operations per 512 samples that go to refining the paths by least squares over the last ten
        seconds (see `rtsep_kernels.canceller.refine.round`); 0: none.
    pairs : int
        Most pairs of mics whose bleed is subtracted at a time: beyond them the cost of more mics would grow with the
        square of their number. Where there are more, those that take most bleed away are chosen, and chosen anew
        while it runs (see `rtsep_kernels.canceller.choice`). Mics in instantaneous mode are cleaned of all others
        anyway.
    start : float32[k, k, n], optional
        Paths to start from, as `paths` gives them: of a soundcheck, or of a canceller that this one replaces. Where
        together they would make the loop unstable, they are turned down (see `rtsep.systems.stability`).
    confidence : float32[k, k], optional
        1: the path is as good as a soundcheck makes it, and is changed slowly; 0 (the default): it is a guess.

    References
    ----------
    Enzner & Vary 2006, doi:10.1016/j.sigpro.2005.09.013 (Kalman filter in the frequency domain); the recursion
    over cleaned microphones follows Clifford & Reiss, DAFx 2011 (CTRANC), with rooms instead of delays.
    """

    params = STAGES["canceller"].params

    def __init__(self, name: str = "canceller", taps: int = 16384, refine: int = 35000, pairs: int = 240,
                 start: NDArray[np.float32] | None = None,
                 confidence: NDArray[np.float32] | None = None) -> None:
        super().__init__(name)
        self._taps = taps
        self._refine = refine
        self._pairs = pairs
        self._first_paths = None if start is None else stable(start)
        self._confidence = confidence
        self._master: Canceller | None = None
        self._thread: threading.Thread | None = None

    @property
    def doubt(self) -> NDArray[np.float32]:
        """Bleed left in each mic: next to none where the input is a linear mixture; float32[channels]."""
        left: NDArray[np.float32] = self._keep["doubt"]
        return left

    @property
    def paths(self) -> NDArray[np.float32]:
        """What has been learnt: float32[k, k, taps], the FIR from cleaned mic j (second axis) to mic i."""
        k, parts = self.fmt.channels, self._taps // kernels.BLOCK
        spectra = (self._filters["w_re"] + 1j * self._filters["w_im"])[..., : kernels.BINS]
        taps = np.fft.irfft(spectra, 1024)[..., : kernels.BLOCK]
        return taps.transpose(1, 2, 0, 3).reshape(k, k, parts * kernels.BLOCK).astype(np.float32)

    def learnt(self) -> dict[str, NDArray[Any]] | None:
        """See `Stage.learnt`: the paths, as guesses that may be changed quickly."""
        if self._master is not None:
            return None
        paths, own = self.paths, np.arange(self.fmt.channels)
        paths[own, own] = 0
        return {"paths": paths, "confidence": np.zeros(paths.shape[:2], np.float32)}

    def start_from(self, learnt: Mapping[str, NDArray[Any]]) -> None:
        """See `Stage.start_from`: `paths` and `confidence` as the class takes them."""
        if "paths" in learnt:
            self._first_paths, self._confidence = stable(learnt["paths"]), learnt.get("confidence")

    def held(self, k: int) -> int:
        """Return how many pairs of `k` mics are held at most: all of them, as long as `pairs` allows."""
        return min(k * (k - 1), self._pairs)

    def _build(self, fmt: Format) -> tuple[Any, NDArray[Any], int]:
        k, parts = fmt.channels, self._taps // kernels.BLOCK
        row, history = kernels.ROW, kernels.HISTORY
        self._record = record = np.zeros(1, kernels.CANCELLER)
        record["channels"] = k
        record["partitions"] = parts
        record["ramp_segments"] = fmt.segments(RAMP_SECONDS)
        record["inline"] = 1
        for name, shape in {
            "pending": (k, 128), "history": (k, history * kernels.BLOCK), "heard": (k, history * kernels.BLOCK),
            "near_tail": (k, 64),
            "far_tail": (2, k, kernels.BLOCK), "near_sum_re": (kernels.NEAR_ROW,), "near_sum_im": (kernels.NEAR_ROW,),
            "far_sum_re": (row,), "far_sum_im": (row,), "time": (1024,), "spectrum": (2 * row,),
            "near_re": (kernels.NEAR, k, kernels.NEAR_ROW), "near_im": (kernels.NEAR, k, kernels.NEAR_ROW),
            "far_re": (history, k, row), "far_im": (history, k, row), "amounts": (k, ramp.RAMP), "row": (k,),
            "remainder": (k, 64), "cleaned": (k, 64), "limits": (64,),
            "power": (history, 2, k),
        }.items():
            self._hold(name, aligned(shape))
        self._hold("first", np.zeros(k + 1, np.int64))
        self._hold("heard_from", np.zeros((k, k), np.int64))
        for name in ("wanted", "wrote"):
            self._hold(name, np.zeros(history, np.int64))
        self._hold("exact", np.zeros((history, k), np.int64))
        self._hold("doubt", aligned(k))
        self._hold("exchange", aligned(kernels.EXCHANGE, np.int64))
        record["forward"], record["backward"] = fftw.execute_addresses()
        for name, size, forward in (
            ("plan128", 128, True), ("inverse128", 128, False), ("plan1024", 1024, True), ("inverse1024", 1024, False)
        ):
            record[name] = fftw.plan(size, forward)
        applied = {
            "head": (2, k, k, 64), "inverse": (2, k, k),
            "near_filter_re": (2, k, k, kernels.NEAR - 1, kernels.NEAR_ROW),
            "near_filter_im": (2, k, k, kernels.NEAR - 1, kernels.NEAR_ROW),
            "far_filter_re": (2, parts, k, k, row), "far_filter_im": (2, parts, k, k, row),
        }
        if self._master is not None:
            for name in (*applied, "active", "versions", "share"):
                self._hold(name, self._master._keep[name])
            record["follows"] = 1
            return kernels.canceller, record, 0
        for name, shape in applied.items():
            self._hold(name, aligned(shape))
        self._hold("active", np.zeros((k, k), np.int64))
        self._hold("versions", np.zeros(kernels.GROUPS, np.int64))
        self._hold("shares", aligned((history, k)))
        self._hold("share", aligned(k))
        self._build_adaptation(k, parts)
        return kernels.canceller, record, 0

    def _build_adaptation(self, k: int, parts: int) -> None:
        row = kernels.ROW
        record = self._adapt = np.zeros(1, adapt.ADAPT)
        self._filters = {
            **{name: aligned((parts, k, k, row)) for name in ("w_re", "w_im", "p", "good_re", "good_im")},
            "y_power": aligned((kernels.HISTORY, k, row)), "smooth": aligned((k, row)), "work": aligned((6, row)),
            "time": aligned(1024), "spectrum": aligned(2 * row), "prior": aligned(parts),
            "tap0": aligned((k, 2 * k), np.float64), "versions": np.zeros(kernels.GROUPS, np.int64),
            "remembered": aligned((k, row)), "drifts": aligned(k),
            **{name: np.zeros((k, k), np.int64) for name in ("chosen", "leaving")},
        }
        for name, array in self._filters.items():
            record[name] = array.ctypes.data
        record["canceller"] = self._record.ctypes.data
        others = ~np.eye(k, dtype=bool)
        known = self._confidence is not None and float(np.mean(self._confidence[others])) > 0.5
        record["memory"], record["drift"] = _CALIBRATED if known else _BLIND
        # Beyond the pairs of eight mics the work is kept in bounds.
        as_many = math.ceil(math.sqrt(self.held(k)))   # mics that have so many pairs
        record["tracked"] = min(parts, _TRACKED, max(2, _TRACKED * 8 // max(1, as_many)))
        record["caution"] = 1.5
        record["smoothing"] = 0.6
        self._build_instant(k)
        self._build_guard(k)
        if self.held(k) < k * (k - 1):
            self._build_choice(k)
        if self._refine and k > 1:
            self._build_refinement(k, parts)
        self._record["job"] = adapt.adapt_job.address
        self._record["job_state"] = record.ctypes.data

    def _build_instant(self, k: int) -> None:
        row = kernels.ROW
        record = self._instant = np.zeros(1, instant.INSTANT)
        self._estimates = {
            **{name: aligned((k, row)) for name in ("x_re", "x_im", "weight")}, "window": aligned(2 * kernels.BLOCK),
            "work": aligned((4, row)), "lanes": aligned(instant.LANES),
            **{name: aligned((3, k, k), np.float64) for name in ("mixing", "unmixing")},
            **{name: aligned((3, k, instant.BANDS), np.float64) for name in ("explained", "expected")},
            "score": aligned((2, k, instant.BANDS), np.float64),
            "rival": aligned(k, np.float64), "merit": aligned((2, k), np.float64),
            "moments": aligned((3, k, k, k), np.float64), "determinant": aligned(3, np.float64),
            "cost": aligned(3, np.float64), "level": aligned(k, np.float64),
            "scratch": aligned((2, k, 2 * k), np.float64),
            **{name: np.zeros(k, np.int64) for name in ("linear", "moving", "doubted", "barred")},
        }
        for name, array in self._estimates.items():
            record[name] = array.ctypes.data
        record["channels"] = k
        for name, seconds in _INSTANT_MEMORY.items():
            record[name] = np.exp(-kernels.BLOCK / (seconds * self.fmt.rate))
        self._adapt["instant"] = record.ctypes.data

    def _build_guard(self, k: int) -> None:
        g = guard
        record = self._guard = np.zeros(1, g.GUARD)
        self._guarded = {
            "line": np.zeros(g.LINES, np.int64), "band": np.zeros(g.LINES, np.int64),
            **{name: aligned((k, k, g.LINES)) for name in ("cross_re", "cross_im", "auto")},
            **{name: aligned((g.LAGS, g.LINES)) for name in ("lag_re", "lag_im")}, "weighted": aligned((2, g.LINES)),
            **{name: np.zeros((k, k), np.int64) for name in ("seen", "freed", "twin", "same")},
            "balance": aligned((k, k), np.float64),
            **{name: aligned(k, np.float64) for name in ("power", "loud", "level", "peak")},
            **{name: np.zeros(k, np.int64) for name in ("clipped", "silent", "anchored", "linear")},
        }
        for name, array in self._guarded.items():
            record[name] = array.ctypes.data
        record["share"] = self._keep["shares"].ctypes.data
        hertz = self.fmt.rate / (2 * kernels.BLOCK)
        lowest = max(2, round(_COMPARED[0] / hertz))
        highest = min(round(_COMPARED[1] / hertz), kernels.BINS - 1)
        lines = np.arange(lowest, highest, -(-(highest - lowest) // g.LINES))
        edges = np.geomspace(lowest, highest, g.BANDS + 1)
        bands = np.unique(np.searchsorted(edges, lines, "right") - 1, return_inverse=True)[1]
        self._guarded["line"][: len(lines)] = lines
        self._guarded["band"][: len(lines)] = bands
        turned = np.exp(2j * np.pi * hertz * lines * np.linspace(-_CLOSE, _CLOSE, g.LAGS)[:, None])
        self._guarded["lag_re"][:, : len(lines)], self._guarded["lag_im"][:, : len(lines)] = turned.real, turned.imag
        record["channels"], record["lines"] = k, len(lines)
        for name, seconds in _GUARD_MEMORY.items():
            record[name] = np.exp(-kernels.BLOCK / (seconds * self.fmt.rate))
        self._adapt["guard"] = record.ctypes.data
        record["evidence"] = self._build_evidence(k).ctypes.data
        self._instant["same"] = record["same"]

    def _build_evidence(self, k: int) -> NDArray[Any]:
        e = evidence
        record = self._evidence = np.zeros(1, e.EVIDENCE)
        blocks = max(1, 2 ** round(np.log2(_EVIDENCE_HOP * self.fmt.rate / kernels.BLOCK)))
        size = e.HOPS * blocks * kernels.BLOCK
        self._regressed = {
            **{name: aligned((k, e.LAG, 2, e.LINES)) for name in ("x", "y")},
            **{name: aligned((2, e.LINES)) for name in ("new_x", "new_y")}, "along": aligned((k, 2, e.LINES)),
            **{name: aligned((k, e.LINES)) for name in ("power", "mean")},
            **{name: aligned((2, k), np.float64) for name in ("agree", "own")}, "frames": np.zeros(k, np.int64),
            "window": aligned(size), "time": aligned(size), "spectrum": aligned(size + 32),
        }
        for name, array in self._regressed.items():
            record[name] = array.ctypes.data
        self._regressed["window"][:] = np.hanning(size + 1)[:-1]
        lowest, highest = (round(hertz * size / self.fmt.rate) for hertz in _EVIDENCE_BAND)
        record["channels"], record["blocks"] = k, blocks
        record["first"], record["lines"] = lowest, min(highest - lowest, e.LINES, size // 2 + 1 - lowest)
        for name, seconds in _EVIDENCE_MEMORY.items():
            record[name] = np.exp(-blocks * kernels.BLOCK / (seconds * self.fmt.rate))
        record["plan"], record["forward"] = fftw.plan(size, True), self._record["forward"]
        return record

    def _build_choice(self, k: int) -> None:
        row = kernels.ROW
        record = self._choice = np.zeros(1, choice.CHOICE)
        self._weighed = {
            **{name: aligned((k, k, row)) for name in ("cross_re", "cross_im", "power")},
            **{name: aligned((k, row)) for name in ("level", "surprise")}, "work": aligned((2, row)),
            "since": np.zeros((k, k), np.int64),
            **{name: aligned((k, k), np.float64) for name in ("worth", "agree", "own")},
            "loudness": aligned(k, np.float64),
        }
        shared = {name: self._filters[name] for name in ("chosen", "leaving", "time", "spectrum")}
        for name, array in {**self._weighed, **shared, "active": self._keep["active"]}.items():
            record[name] = array.ctypes.data
        record["channels"], record["budget"] = k, self._pairs
        for name, seconds in _CHOICE_MEMORY.items():
            record[name] = np.exp(-kernels.BLOCK / (seconds * self.fmt.rate))
        self._adapt["choice"] = record.ctypes.data

    def _build_refinement(self, k: int, parts: int) -> None:
        from scipy import signal

        r = refine_state
        factor = 2 ** max(round(np.log2(self.fmt.rate / _LOW_RATE)), 0)
        lowpass = signal.firwin(32 * factor + 1, 0.9 / factor) if factor > 1 else np.ones(1)
        record = self._refinement = np.zeros(1, r.REFINE)
        rounds = r.MEMORY * r.CHUNK
        self._refined = {
            "lowpass": aligned(len(lowpass)), **{name: aligned((k, r.RING * r.CHUNK)) for name in ("x", "y")},
            **{name: aligned((r.MEMORY, k, r.ROW)) for name in ("y_re", "y_im")}, "improved": aligned((k, rounds)),
            "weights": aligned((r.MEMORY * r.FRAMES_PER_CHUNK, r.FRAME_ROW)),
            "powers": aligned((k, r.MEMORY * r.FRAMES_PER_CHUNK, r.FRAME_ROW)),
            **{name: aligned((parts, k, k, r.PART_ROW)) for name in ("change_re", "change_im")},
            **{name: aligned(rounds) for name in ("error", "image", "weighted")},
            **{name: aligned((k, k, r.TAPS)) for name in ("new", "anchor")},
            "prior_variance": aligned(r.TAPS), "variance": aligned((k, r.TAPS)), "doubt": aligned((k, k)),
            **{name: aligned((k, r.TAPS)) for name in ("residual", "direction", "product", "solved")},
            **{f"{name}_{part}": aligned((k, r.ROW))
               for name in ("predict", "mirror", "filter") for part in ("re", "im")},
            "inverse_error": aligned(k, np.float64),
            **{name: aligned(r.ROW) for name in ("sum_re", "sum_im", "sum2_re", "sum2_im")},
            "time": aligned(r.SIZE), "spectrum": aligned(2 * r.ROW),
            "wide_time": aligned(factor * r.SIZE), "wide_spectrum": aligned(factor * r.SIZE + 32),
            "levinson": aligned((3, r.ORDER), np.float64), "mask": aligned((k, r.ROW)),
            "unknown": aligned((k, k, r.PART_ROW)), "window": aligned(r.FRAME),
            "better": np.zeros(r.BANDS, np.int64), "since": np.zeros(k, np.int64),
            "taken": np.zeros((k, k), np.int64), "pairs": np.zeros(k, np.int64),
            **{name: aligned((k, r.ROW)) for name in ("chunk_re", "chunk_im")}, "parts": aligned((k, r.CHUNK)),
            **{name: aligned((k + 2, r.FRAME_ROW)) for name in ("frame_re", "frame_im")},
            "normal": aligned((r.WATCHED, k, r.BANDS, k, k + 1), np.float64),
            "gauss": aligned((k, k + 1), np.float64),
            **{name: aligned((k, k, r.BANDS), np.float64) for name in ("gain", "cells")},
            "moved": np.zeros((2, k), np.int64), "turned": aligned(k, np.float64),
            **{name: np.zeros(k, np.int64) for name in ("rests", "settling")},
        }
        for name, array in self._refined.items():
            record[name] = array.ctypes.data
        self._refined["lowpass"][:] = lowpass
        self._refined["window"][:] = np.sin(np.pi * (np.arange(r.FRAME) + 0.5) / r.FRAME)
        # The same prior as the Kalman filter's: variance of one tap at the low rate.
        decay = np.repeat(_PRIOR / kernels.BLOCK * factor, kernels.BLOCK // factor)[: r.TAPS]
        self._refined["prior_variance"][:] = np.pad(decay, (0, r.TAPS - len(decay)), mode="edge")
        record["channels"], record["factor"], record["partitions"] = k, factor, parts
        record["taps"] = min(self._taps, factor * r.TAPS)
        record["reach"] = record["taps"] // factor
        record["rate"] = self.fmt.rate / factor
        record["lowpass_taps"] = len(lowpass)
        record["linear"] = self._estimates["linear"].ctypes.data
        record["freed"] = self._guarded["freed"].ctypes.data
        record["anchored"] = self._guarded["anchored"].ctypes.data
        for name, array in {"kalman_re": "w_re", "kalman_im": "w_im", "kalman_p": "p", "kalman_memory": "remembered",
                            "kalman_drift": "drifts", "prior": "prior", "chosen": "chosen"}.items():
            record[name] = self._filters[array].ctypes.data
        record["forward"], record["backward"] = self._record["forward"], self._record["backward"]
        for name, size in {"frame": r.FRAME, "": r.SIZE, "wide": factor * r.SIZE, "part": 2 * kernels.BLOCK}.items():
            record[f"plan_{name}".rstrip("_")] = fftw.plan(size, True)
            record[f"inverse_{name}".rstrip("_")] = fftw.plan(size, False)
        record["slow"], record["left_doubt"] = _REFINED
        record["blind_memory"], record["blind_drift"] = _BLIND
        record["trust"] = _TRUST
        record["budget"] = self._refine
        self._adapt["refine"] = record.ctypes.data

    def _start(self) -> None:
        for name in ("pending", "history", "heard", "near_tail", "far_tail", "near_re", "near_im", "far_re", "far_im",
                     "power", "exchange", "wanted", "wrote", "exact"):
            self._keep[name][:] = 0
        self._keep["doubt"][:] = 1
        for name in ("late", "exploded", "clear"):
            self._record[name] = 0
        amounts = [self.board.get(f"{self.name}.amount.{mic}") for mic in self.board.mics]
        if self._master is None:
            self._keep["shares"][:] = self._keep["share"][:] = self._first_paths is not None
        for c, amount in enumerate(amounts):
            given = amount * self._keep["share"][c]
            self._keep["amounts"][c] = (given, given, given, 0, 0)
        if self._master is None:
            self._start_adaptation()

    def _start_adaptation(self) -> None:
        k, parts = self.fmt.channels, self._taps // kernels.BLOCK
        for name in ("restored", "restores", "skipped", "jobs", "renew_far"):
            self._adapt[name] = 0
        for name, array in self._filters.items():
            if name not in ("work", "time", "spectrum"):
                array[:] = 0
        self._start_instant(k)
        self._start_guard()
        self._filters["remembered"][:] = self._adapt["memory"]
        self._filters["drifts"][:] = self._adapt["drift"]
        prior = _PRIOR[:parts].astype(np.float32)
        self._filters["prior"][:] = prior
        self._filters["p"][:] = prior[:, None, None, None]
        self._keep["versions"][:] = 0
        known = self._start_pairs(k)
        self._keep["active"][:] = self._filters["chosen"]
        if known is not None:
            if self._confidence is not None:
                doubt = np.where(self._filters["chosen"], _CALIBRATED_DOUBT ** self._trusted(), 1)
                self._filters["p"] *= doubt[None, :, :, None].astype(np.float32)
            paths = np.zeros((k, k, self._taps), np.float32)
            known = known[..., : self._taps]
            paths[..., : known.shape[-1]] = known
            partitions = paths.reshape(k, k, parts, kernels.BLOCK).transpose(2, 0, 1, 3)
            spectra = np.fft.rfft(partitions, 1024)
            for part, name in ((spectra.real, "re"), (spectra.imag, "im")):
                self._filters["w_" + name][..., : kernels.BINS] = part
                self._filters["good_" + name][..., : kernels.BINS] = part
        if self._adapt["refine"]:
            self._start_refinement(known)
        export = _JOB(adapt.adapt_export.address)
        for version in (0, 1):
            export(self._adapt.ctypes.data, version)

    def _start_pairs(self, k: int) -> NDArray[np.float32] | None:
        """Choose the first pairs, and return their first paths: all, the strongest, or none until more is known."""
        others = ~np.eye(k, dtype=bool)
        chosen = self._filters["chosen"]
        if not self._adapt["choice"]:
            chosen[:] = others
            return self._first_paths
        for array in self._weighed.values():
            array[:] = 0
        for name in ("jobs", "last"):
            self._choice[name] = 0
        if self._first_paths is None:
            return None
        energy = np.sum(self._first_paths.astype(float) ** 2, axis=-1, where=others[..., None])
        strongest = np.argsort(energy, axis=None)[::-1][: self._pairs]
        chosen.reshape(-1)[strongest] = energy.reshape(-1)[strongest] > 0
        left_out = chosen == 0
        known = self._first_paths.copy()
        known[left_out, 1:] = 0
        known[left_out & (self._estimates["linear"] == 0)[:, None], 0] = 0
        return stable(known)

    def _start_instant(self, k: int) -> None:
        """Know nothing, or what the first paths say where nearly all of them is one tap."""
        for array in self._estimates.values():
            array[:] = 0
        for name in ("advantage", "regret", "patience", "regretted", "settled", "holds", "chosen", "blocks"):
            self._instant[name] = 0
        self._estimates["window"][:] = np.hanning(2 * kernels.BLOCK + 1)[:-1]
        mixing = np.eye(k)
        if self._first_paths is not None:
            tap = self._first_paths[..., 0].astype(float)
            np.fill_diagonal(tap, 0)
            others = ~np.eye(k, dtype=bool)
            power = np.sum(self._first_paths.astype(float) ** 2, axis=-1, where=others[..., None]).sum(axis=-1)
            one = (tap**2).sum(axis=-1) > np.maximum(_ONE_TAP * power, instant.WEAKEST)
            mixing[one] += tap[one]
            if abs(np.linalg.det(mixing)) > instant.PIVOT and np.abs(tap[one]).max(initial=0) < instant.LARGEST:
                self._estimates["linear"][:] = one
                self._estimates["moving"][:] = np.where(one, instant.MOVE_BLOCKS, 0)
                self._estimates["moments"][:2, one] = _CALIBRATED_BINS * mixing @ mixing.T
            else:
                mixing = np.eye(k)
        self._estimates["mixing"][:] = mixing
        self._estimates["unmixing"][:] = np.linalg.inv(mixing)
        self._estimates["determinant"][:] = np.linalg.slogdet(mixing)[1]

    def _start_guard(self) -> None:
        """Trust nobody, or all that the first paths say."""
        known = self._first_paths is not None
        for name, array in self._guarded.items():
            if name not in ("line", "band", "lag_re", "lag_im"):
                array[:] = 0
        self._guard["blocks"] = 0
        self._guard["known"] = known
        self._guarded["freed"][:] = 1
        self._guarded["linear"][:] = self._estimates["linear"]
        for name, array in self._regressed.items():
            if name != "window":
                array[:] = 0
        if known:
            for name in ("agree", "own"):
                self._regressed[name][:] = _TRUSTED
        if self._first_paths is not None and self._confidence is not None:
            trusted = self._trusted()
            self._guarded["anchored"][:] = np.mean(trusted, axis=1, where=~np.eye(len(trusted), dtype=bool)) > 0.5

    def _start_refinement(self, first_paths: NDArray[np.float32] | None) -> None:
        for name, array in self._refined.items():
            if name not in ("lowpass", "window", "prior_variance"):
                array[:] = 0
        for name in ("have", "base", "debt", "phase", "rounds", "adopted", "dropped", "watched", "watching", "age",
                     "moves", "mending"):
            self._refinement[name] = 0
        self._refined["doubt"][:] = 1
        self._refined["taken"][:] = self._filters["chosen"]
        self._refined["pairs"][:] = self._filters["chosen"].sum(axis=1)
        if first_paths is None or self._confidence is None:
            return
        trusted = self._trusted()
        self._refined["doubt"][:] = np.where(self._filters["chosen"], _REFINED_DOUBT**trusted, 1)
        self._refined["anchor"][:] = self._refined["new"][:] = self._low_rate(first_paths)

    def _trusted(self) -> NDArray[np.float64]:
        """Return, from 0 to 1, how far each first path is believed in.

        A path that explains little of what was heard may still be right: it was faint, and something else was louder.
        """
        assert self._confidence is not None
        trusted: NDArray[np.float64] = np.clip(self._confidence / _CONFIDENT, 0, 1).astype(np.float64)
        return trusted

    def _low_rate(self, paths: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return paths as the refinement holds them: band-limited, at the low rate."""
        r = refine_state
        factor = int(self._refinement["factor"][0])
        spectra = np.fft.rfft(paths[..., : factor * r.TAPS], factor * r.SIZE)[..., : r.BINS]
        fade = np.minimum(1, np.arange(r.BINS)[::-1] / refine_adopt.FADE_BINS)
        reach = int(self._refinement["reach"][0])
        low = np.fft.irfft(spectra * fade, r.SIZE)[..., : r.TAPS]
        low[..., reach:] = 0
        return low.astype(np.float32)

    def shadow(self) -> Canceller:
        """Return a canceller that applies this one's filters, at the same samples, to another signal."""
        twin = Canceller(self.name, self._taps, pairs=self._pairs)
        twin._master = self
        twin.prepare(self.fmt, self.board)
        return twin

    def go_live(self) -> None:
        """Start the helper thread: learning leaves the audio path."""
        if self._thread is not None:
            return
        self._record["inline"] = 0
        self._thread = threading.Thread(target=self._help, name=f"{self.name} adaptation", daemon=True)
        self._thread.start()

    def _help(self) -> None:
        realtime.ask(realtime.HELPER)
        _JOB(adapt.adapt_forever.address)(self._adapt.ctypes.data, 0)

    def close(self) -> None:
        """Stop the helper thread."""
        if self._thread is None:
            return
        self._keep["exchange"][kernels.STOP] = 1
        self._thread.join(2.0)
        if self._thread.is_alive():
            raise WorkerError(f"{self.name}: its helper thread does not stop")
        self._thread = None
        self._keep["exchange"][kernels.STOP] = 0
        self._record["inline"] = 1

    def status(self) -> dict[str, int]:
        """Return late and skipped updates, explosions caught, filters restored, pairs held, mics by mode and state.

        `pairs` of `possible_pairs` are held now. Of the mics: `linear`, in instantaneous mode; `duplicates`, that share
        a source with another one; `silent`, dead or unplugged; `clipped`, of late.
        """
        if self._master is not None:
            return {}
        return {
            "late_updates": int(self._record["late"][0]),
            "skipped_updates": int(self._adapt["skipped"][0]),
            "unstable_samples": int(self._record["exploded"][0]),
            "restores": int(self._adapt["restores"][0]),
            "updates": int(self._adapt["jobs"][0]),
            "refinements": int(self._refinement["rounds"][0]) if self._adapt["refine"][0] else 0,
            "pairs": int(np.count_nonzero(self._keep["active"])),
            "possible_pairs": self.fmt.channels * (self.fmt.channels - 1),
            "linear": int(np.count_nonzero(self._estimates["linear"])),
            "duplicates": int(np.count_nonzero(self._guarded["twin"].any(axis=1) & (self._estimates["linear"] == 0))),
            "silent": int(np.count_nonzero(self._guarded["silent"])),
            "clipped": int(np.count_nonzero(self._guarded["clipped"])),
        }
