"""The recursive canceller: a long causal path from every cleaned microphone to every other one."""

from __future__ import annotations

import ctypes
import math
import threading
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rtsep import fftw, realtime
from rtsep.errors import WorkerError
from rtsep.stage import RAMP_SECONDS, Format, Stage
from rtsep.stages.canceller.refinement import REFINEMENT
from rtsep.stages.canceller.settings import LEARNING
from rtsep.stages.catalogue import STAGES
from rtsep.systems.stability import stable
from rtsep_kernels.canceller import apply as kernels
from rtsep_kernels.canceller import choice, evidence, guard, handover, instant, job, kalman
from rtsep_kernels.canceller.record import BINS, BLOCK, CANCELLER, FILTERS, NEAR_SIZE, PATHS, ROW, SIZE, STOP
from rtsep_kernels.canceller.refine import adopt as refine_adopt
from rtsep_kernels.canceller.refine import record as refine_state
from rtsep_kernels.plane.memory import aligned
from rtsep_kernels.plane.record import State

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
        left: NDArray[np.float32] = self.record["doubt"]
        return left

    @property
    def paths(self) -> NDArray[np.float32]:
        """What has been learnt: float32[k, k, taps], the FIR from cleaned mic j (second axis) to mic i."""
        k, parts = self.fmt.channels, self._taps // BLOCK
        spectra: NDArray[np.complex128] = self._paths["w_re"] + 1j * self._paths["w_im"]
        taps = np.fft.irfft(spectra[..., :BINS], SIZE)[..., : BLOCK]
        return taps.transpose(1, 2, 0, 3).reshape(k, k, parts * BLOCK).astype(np.float32)

    def held(self, k: int) -> int:
        """Return how many pairs of `k` mics are held at most: all of them, as long as `pairs` allows."""
        return min(k * (k - 1), self._pairs)

    def _build(self, fmt: Format) -> tuple[Any, State, int]:
        k, parts = fmt.channels, self._taps // BLOCK
        known = float(self._first_paths is not None)
        if self._master is None:
            self._applied = FILTERS.make(channels=k, partitions=parts, share=known)
        forward, backward = fftw.execute_addresses()
        self.record = CANCELLER.make(
            channels=k, partitions=parts, ramp_segments=fmt.segments(RAMP_SECONDS), inline=1, shares=known,
            loudness_kept=LEARNING.loudness_kept(fmt.rate),
            filters=self._applied if self._master is None else self._master._applied.address,
            follows=self._master is not None, forward=forward, backward=backward,
            plan128=fftw.plan(NEAR_SIZE, True), inverse128=fftw.plan(NEAR_SIZE, False),
            plan1024=fftw.plan(SIZE, True), inverse1024=fftw.plan(SIZE, False),
        )
        self._record = self.record.record
        if self._master is None:
            self._build_job(k, parts)
        return kernels.canceller, self.record, 0

    def _build_job(self, k: int, parts: int) -> None:
        """Make what learns."""
        rate = self.fmt.rate
        others = ~np.eye(k, dtype=bool)
        known = self._confidence is not None and float(np.mean(self._confidence[others])) > 0.5
        memory, drift = LEARNING.per_block(known, rate)
        tracked = min(parts, LEARNING.tracked_of(math.sqrt(self.held(k))))   # of the mics that have so many pairs
        self._paths = PATHS.make(
            channels=k, partitions=parts, tracked=tracked, prior=LEARNING.priors(rate)[:parts], memory=memory,
            first_memory=memory, drift=drift,
        )
        self._kalman = kalman.KALMAN.make(channels=k, paths=self._paths.address, **LEARNING.kalman(rate))
        self._handover = handover.HANDOVER.make(
            channels=k, paths=self._paths.address, filters=self._applied.address,
            **LEARNING.handover(parts, rate),
        )
        self._job = job.JOB.make(
            canceller=self.record.address, paths=self._paths, kalman=self._kalman, handover=self._handover
        )
        self._adapt = self._job
        self._filters = {
            **{name: self._paths[name] for name in ("w_re", "w_im", "p", "prior", "leaving")},
            "remembered": self._paths["memory"], "drifts": self._paths["drift"], "chosen": self._paths["held"],
            "time": self._kalman["time"], "spectrum": self._kalman["spectrum"],
        }
        self._keep.update(shares=self.record["shares"], active=self._applied["active"])
        self._build_instant(k)
        self._build_guard(k)
        if self.held(k) < k * (k - 1):
            self._build_choice(k)
        if self._refine and k > 1:
            self._build_refinement(k, parts)
        self.record.put("job", job.job.address)
        self.record.put("job_state", self._job)

    def _build_instant(self, k: int) -> None:
        row = ROW
        record = self._instant = np.zeros(1, instant.INSTANT)
        self._estimates = {
            **{name: aligned((k, row)) for name in ("x_re", "x_im", "weight")}, "window": aligned(2 * BLOCK),
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
            record[name] = np.exp(-BLOCK / (seconds * self.fmt.rate))
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
        hertz = self.fmt.rate / (2 * BLOCK)
        lowest = max(2, round(_COMPARED[0] / hertz))
        highest = min(round(_COMPARED[1] / hertz), BINS - 1)
        lines = np.arange(lowest, highest, -(-(highest - lowest) // g.LINES))
        edges = np.geomspace(lowest, highest, g.BANDS + 1)
        bands = np.unique(np.searchsorted(edges, lines, "right") - 1, return_inverse=True)[1]
        self._guarded["line"][: len(lines)] = lines
        self._guarded["band"][: len(lines)] = bands
        turned = np.exp(2j * np.pi * hertz * lines * np.linspace(-_CLOSE, _CLOSE, g.LAGS)[:, None])
        self._guarded["lag_re"][:, : len(lines)], self._guarded["lag_im"][:, : len(lines)] = turned.real, turned.imag
        record["channels"], record["lines"] = k, len(lines)
        for name, seconds in _GUARD_MEMORY.items():
            record[name] = np.exp(-BLOCK / (seconds * self.fmt.rate))
        self._adapt["guard"] = record.ctypes.data
        record["evidence"] = self._build_evidence(k).ctypes.data
        self._instant["same"] = record["same"]

    def _build_evidence(self, k: int) -> NDArray[Any]:
        e = evidence
        record = self._evidence = np.zeros(1, e.EVIDENCE)
        blocks = max(1, 2 ** round(np.log2(_EVIDENCE_HOP * self.fmt.rate / BLOCK)))
        size = e.HOPS * blocks * BLOCK
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
            record[name] = np.exp(-blocks * BLOCK / (seconds * self.fmt.rate))
        record["plan"], record["forward"] = fftw.plan(size, True), self._record["forward"]
        return record

    def _build_choice(self, k: int) -> None:
        row = ROW
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
            record[name] = np.exp(-BLOCK / (seconds * self.fmt.rate))
        self._adapt["choice"] = record.ctypes.data

    def _build_refinement(self, k: int, parts: int) -> None:
        from scipy import signal

        r, tuned, rate = refine_state, REFINEMENT, self.fmt.rate
        factor = 2 ** max(round(np.log2(rate / tuned.rate)), 0)
        low_rate = rate / factor
        lowpass = np.ones(1)
        if factor > 1:
            lowpass = signal.firwin(tuned.lowpass_zeros * factor + 1, tuned.lowpass_edge / factor)
        taps = min(self._taps, factor * r.TAPS)
        # The same prior as the Kalman filter's: variance of one tap at the low rate.
        decay = np.repeat(LEARNING.priors(rate) / BLOCK * factor, BLOCK // factor)[: r.TAPS]
        plans = {}
        for name, size in {"": r.SIZE, "_frame": r.FRAME, "_wide": factor * r.SIZE, "_part": 2 * BLOCK}.items():
            plans[f"plan{name}"], plans[f"inverse{name}"] = fftw.plan(size, True), fftw.plan(size, False)

        def chunks(seconds: float) -> int:
            return int(max(1, round(seconds * low_rate / r.CHUNK)))

        self._refinement = r.REFINE.make(
            channels=k, factor=factor, partitions=parts, taps=taps, reach=taps // factor, rate=low_rate,
            budget=self._refine, lowpass_taps=len(lowpass), lowpass=lowpass,
            window=np.sin(np.pi * (np.arange(r.FRAME) + 0.5) / r.FRAME),
            prior_variance=np.pad(decay, (0, r.TAPS - len(decay)), mode="edge"),
            memory=chunks(tuned.looked_at), least=chunks(tuned.first_round), span=chunks(tuned.watched),
            soon=chunks(tuned.soon), fresh_least=chunks(tuned.fresh[0]), fresh_most=chunks(tuned.fresh[1]),
            keeps=int(tuned.kept * low_rate), edges=tuned.edges, edge=tuned.edge, trust=tuned.trust,
            slow=np.exp(-BLOCK / (tuned.memory * rate)), left_doubt=tuned.left_doubt,
            blind_memory=LEARNING.per_block(False, rate)[0], blind_drift=LEARNING.per_block(False, rate)[1], sure=tuned.sure, plays=tuned.plays, certain=tuned.certain,
            heard=tuned.heard, off_moved=tuned.moved, off_turned=tuned.turned, off_settled=tuned.settled,
            off_uniform=tuned.uniform, smooth=round(tuned.smooth * 2 * BLOCK / rate),
            linear=self._estimates["linear"], freed=self._guarded["freed"], anchored=self._guarded["anchored"],
            paths=self._paths.address,
            forward=self.record["forward"], backward=self.record["backward"], **plans,
        )
        self._job.put("refine", self._refinement)

    def _start(self) -> None:
        share = (self._master or self)._applied["share"]
        for c, mic in enumerate(self.board.mics):
            given = self.board.get(f"{self.name}.amount.{mic}") * share[c]
            self.record["amounts"][c] = (given, given, given, 0, 0)
        if self._master is None:
            self._start_job()

    def _start_job(self) -> None:
        """Lay the first paths, and have them applied."""
        k, parts = self.fmt.channels, self._taps // BLOCK
        w = self._paths
        self._start_instant(k)
        self._start_guard()
        w["p"] = w["prior"][:, None, None, None]
        known = self._start_pairs(k)
        self._applied["active"] = w["held"]
        if known is not None:
            if self._confidence is not None:
                doubt = np.where(w["held"], LEARNING.known_doubt ** self._trusted(), 1)
                w["p"] *= doubt[None, :, :, None].astype(np.float32)
            paths = np.zeros((k, k, self._taps), np.float32)
            known = known[..., : self._taps]
            paths[..., : known.shape[-1]] = known
            partitions = paths.reshape(k, k, parts, BLOCK).transpose(2, 0, 1, 3)
            spectra = np.fft.rfft(partitions, 1024)
            for part, name in ((spectra.real, "re"), (spectra.imag, "im")):
                w["w_" + name][..., :BINS] = w["good_" + name][..., :BINS] = part
        if self._job["refine"]:
            self._start_refinement(known)
        export = _JOB(job.export.address)
        for version in (0, 1):
            export(self._job.address, version)

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
        self._estimates["window"][:] = np.hanning(2 * BLOCK + 1)[:-1]
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
        s, held = self._refinement, self._paths["held"]
        s.start()
        s["taken"], s["pairs"] = held, held.sum(axis=1)
        if first_paths is None or self._confidence is None:
            return
        s["doubt"] = np.where(held, REFINEMENT.known_doubt ** self._trusted(), 1)
        s["anchor"] = s["new"] = self._low_rate(first_paths)

    def _trusted(self) -> NDArray[np.float64]:
        """Return, from 0 to 1, how far each first path is believed in.

        A path that explains little of what was heard may still be right: it was faint, and something else was louder.
        """
        assert self._confidence is not None
        trusted: NDArray[np.float64] = np.clip(self._confidence / LEARNING.confident, 0, 1).astype(np.float64)
        return trusted

    def _low_rate(self, paths: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return paths as the refinement holds them: band-limited, at the low rate."""
        r = refine_state
        factor, reach = self._refinement["factor"], self._refinement["reach"]
        spectra = np.fft.rfft(paths[..., : factor * r.TAPS], factor * r.SIZE)[..., : r.BINS]
        fade = np.minimum(1, np.arange(r.BINS)[::-1] / refine_adopt.FADE_BINS)
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
        self.record["inline"] = 0
        self._thread = threading.Thread(target=self._help, name=f"{self.name} adaptation", daemon=True)
        self._thread.start()

    def _help(self) -> None:
        realtime.ask(realtime.HELPER)
        _JOB(job.jobs_forever.address)(self._job.address, 0)

    def close(self) -> None:
        """Stop the helper thread."""
        if self._thread is None:
            return
        self.record["exchange"][STOP] = 1
        self._thread.join(2.0)
        if self._thread.is_alive():
            raise WorkerError(f"{self.name}: its helper thread does not stop")
        self._thread = None
        self.record["exchange"][STOP] = 0
        self.record["inline"] = 1

    def status(self) -> dict[str, int]:
        """Return late and skipped updates, explosions caught, filters restored, pairs held, mics by mode and state.

        `pairs` of `possible_pairs` are held now. Of the mics: `linear`, in instantaneous mode; `duplicates`, that share
        a source with another one; `silent`, dead or unplugged; `clipped`, of late.
        """
        if self._master is not None:
            return {}
        return {
            "late_updates": self.record["late"],
            "skipped_updates": self._job["skipped"],
            "unstable_samples": self.record["exploded"],
            "restores": self._handover["restores"],
            "updates": self._job["jobs"],
            "refinements": self._refinement["rounds"] if self._job["refine"] else 0,
            "pairs": int(np.count_nonzero(self._applied["active"])),
            "possible_pairs": self.fmt.channels * (self.fmt.channels - 1),
            "linear": int(np.count_nonzero(self._estimates["linear"])),
            "duplicates": int(np.count_nonzero(self._guarded["twin"].any(axis=1) & (self._estimates["linear"] == 0))),
            "silent": int(np.count_nonzero(self._guarded["silent"])),
            "clipped": int(np.count_nonzero(self._guarded["clipped"])),
        }
