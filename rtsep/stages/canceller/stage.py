"""The recursive canceller: a long causal path from every cleaned microphone to every other one."""

from __future__ import annotations

import ctypes
import math
import threading
from collections.abc import Collection, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rtsep import fftw, realtime
from rtsep.assurance import EXPECTED_DB, SECONDS
from rtsep.catalogue import STAGES
from rtsep.catalogue.canceller import SHARES
from rtsep.errors import WorkerError
from rtsep.stage import RAMP_SECONDS, Format, Heard, Stage
from rtsep.stages.canceller import estimates, opinion, settings, soundcheck
from rtsep.stages.canceller.news import MicNews
from rtsep.stages.canceller.settings import LEARNING, REFINEMENT
from rtsep.stages.canceller.stability import stable
from rtsep_kernels.canceller import apply, handover, job, kalman, sparing
from rtsep_kernels.canceller.record import BINS, BLOCK, CANCELLER, FILTERS, NEAR_SIZE, PATHS, SIZE
from rtsep_kernels.plane import due
from rtsep_kernels.plane.grid import store
from rtsep_kernels.plane.record import State

_SETTLED = 8 * BLOCK   # samples; jobs are two blocks behind, their smoothed powers a few more

_JOB = ctypes.CFUNCTYPE(ctypes.c_int32, ctypes.c_void_p, ctypes.c_int64)


class Canceller(Stage):
    """Subtract bleed: y_i = x_i - sum over j != i of a_ij * y_j, all paths causal, no latency.

    Bleed reaches its own microphone first, so nothing has to be waited for. The paths are learnt blindly while
    the concert runs, or start from a soundcheck's calibration; `adapt` = 0 freezes them.

    Parameters
    ----------
    name : str
    given, options
        The stage's options (`rtsep.catalogue`), in order or by name; the rest have their defaults.
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
        together they would make the loop unstable, they are turned down (see `stability`).
    confidence : float32[k, k], optional
        1: the path is as good as a soundcheck makes it, and is changed slowly; 0 (the default): it is a guess.

    References
    ----------
    Enzner & Vary 2006, doi:10.1016/j.sigpro.2005.09.013 (Kalman filter in the frequency domain); the recursion
    over cleaned microphones follows Clifford & Reiss, DAFx 2011 (CTRANC), with rooms instead of delays.
    """

    params = STAGES["canceller"].params

    def __init__(self, name: str = "canceller", *given: Any, start: NDArray[np.float32] | None = None,
                 confidence: NDArray[np.float32] | None = None, **options: Any) -> None:
        super().__init__(name)
        values = STAGES["canceller"].complete(given, options)
        self._taps: int = values["taps"]
        self._refine: int = values["refine"]
        self._pairs: int = values["pairs"]
        self._given, self._given_confidence = start, confidence
        self._first_paths, self._confidence = start, confidence   # without twins', and stable, as soon as prepared
        self._new: NDArray[np.bool_] | None = None   # mics of which the first paths say nothing
        self._opinion: opinion.Opinion | None = None
        self._first_opinion: opinion.Opinion | None = None
        self._seconds_before = 0.0   # of sound that the first paths were learnt from
        self._master: Canceller | None = None
        self._thread: threading.Thread | None = None

    @property
    def doubt(self) -> NDArray[np.float32]:
        """Bleed left in each mic: next to none in instantaneous mode; float32[channels]."""
        return np.asarray(self.record["doubt"])

    @property
    def heard(self) -> Heard:
        """See `Stage.heard`."""
        return Heard(self.record["heard"], self.record.record["position"])

    @property
    def paths(self) -> NDArray[np.float32]:
        """What has been learnt: float32[k, k, taps], the FIR from cleaned mic j (second axis) to mic i."""
        k, parts = self.fmt.channels, self._taps // BLOCK
        spectra: NDArray[np.complex128] = self._paths["w_re"] + 1j * self._paths["w_im"]
        taps = np.fft.irfft(spectra[..., :BINS], SIZE)[..., : BLOCK]
        return taps.transpose(1, 2, 0, 3).reshape(k, k, parts * BLOCK).astype(np.float32)

    def learnt(self, best: bool = False) -> dict[str, NDArray[Any]] | None:
        """See `Stage.learnt`: the paths, as guesses that may be changed quickly."""
        if self._master is not None:
            return None
        paths, own = self.paths, np.arange(self.fmt.channels)
        paths[own, own] = 0
        told: dict[str, NDArray[Any]] = {}
        if best:
            expected = opinion.expected_db(self._paths, self._guard, self._instant["instant"] != 0)
            now = opinion.Opinion(expected, paths)
            self._opinion = now if self._opinion is None else self._opinion.then(now)
            seconds = self._seconds_before + self._guard["blocks"] * BLOCK / self.fmt.rate
            paths = self._opinion.paths.copy()
            told = {EXPECTED_DB: self._opinion.expected_db.copy(), SECONDS: np.array([seconds])}
        return {"paths": paths, "confidence": np.zeros(paths.shape[:2], np.float32), **told}

    def start_from(self, learnt: Mapping[str, NDArray[Any]], places: Sequence[int] | None = None) -> None:
        """See `Stage.start_from`: `paths` and `confidence` as the class takes them."""
        if "paths" not in learnt:
            return
        told = {name: learnt[name] for name in ("paths", "confidence", EXPECTED_DB) if name in learnt}
        if places is not None:
            told = {name: estimates.in_place(array, places) for name, array in told.items()}
        new = np.array(places if places is not None else [0]) < 0
        self._new = new if new.any() else None
        self._given, self._given_confidence = told["paths"], told.get("confidence")
        if EXPECTED_DB in told and SECONDS in learnt:
            paths = np.zeros((*told["paths"].shape[:2], self._taps), np.float32)
            paths[..., : told["paths"].shape[-1]] = told["paths"][..., : self._taps]
            self._first_opinion = opinion.Opinion(told[EXPECTED_DB], paths)
            self._seconds_before = float(learnt[SECONDS][0])

    def held(self, k: int) -> int:
        """Return how many pairs of `k` mics are held at most: all of them, as long as `pairs` allows."""
        return min(k * (k - 1), self._pairs)

    def _build(self, fmt: Format) -> tuple[Any, State, int]:
        k, parts = fmt.channels, self._taps // BLOCK
        known = self._known_mics(fmt.channels)
        if self._master is None:
            self._applied = FILTERS.make(channels=k, partitions=parts, share=known)
        forward, backward = fftw.execute_addresses()
        self._sparing = sparing.SPARING.make(channels=k)
        record = CANCELLER.make(
            channels=k, partitions=parts, ramp_segments=fmt.segments(RAMP_SECONDS), inline=1, shares=known,
            **settings.numbers(LEARNING, CANCELLER, fmt.rate),
            filters=self._applied if self._master is None else self._master._applied.address,
            follows=self._master is not None, forward=forward, backward=backward,
            plan128=fftw.plan(NEAR_SIZE, True), inverse128=fftw.plan(NEAR_SIZE, False),
            plan1024=fftw.plan(SIZE, True), inverse1024=fftw.plan(SIZE, False),
            sparing=self._sparing,
        )
        if self._master is None:
            self._build_job(record, k, parts)
        return apply.canceller, record, 0

    def _known_mics(self, k: int) -> NDArray[np.float32]:
        """Return 1 for each mic that the first paths know of, float32[k]."""
        told = np.full(k, self._given is not None, np.float32)
        return told if self._new is None else told * ~self._new

    def _build_job(self, record: State, k: int, parts: int) -> None:
        """Make what learns."""
        rate, first, pairs = self.fmt.rate, self._given, None
        if first is not None:
            pairs = soundcheck.told(first, self._given_confidence, rate)
            first, self._confidence = soundcheck.without_twins(pairs, first, self._given_confidence)
            first = self._first_paths = stable(first)
        others = ~np.eye(k, dtype=bool)
        told = others if self._new is None else others & ~self._new & ~self._new[:, None]
        known = self._confidence is not None and bool(np.sum(self._confidence[told]) > 0.5 * np.sum(told))
        memory, drift = LEARNING.per_block(known, rate)
        memories, drifts = np.full((k, 1), memory), np.full(k, drift)
        if self._new is not None:
            memories[self._new], drifts[self._new] = LEARNING.per_block(False, rate)
        tracked = min(parts, LEARNING.tracked_of(math.sqrt(self.held(k))))   # of the mics that have so many pairs
        self._paths = PATHS.make(
            channels=k, partitions=parts, tracked=tracked, prior=LEARNING.priors(rate)[:parts], memory=memories,
            first_memory=memory, drift=drifts,
        )
        self._kalman = kalman.KALMAN.make(channels=k, paths=self._paths.address, **LEARNING.kalman(rate))
        self._handover = handover.HANDOVER.make(
            channels=k, paths=self._paths.address, filters=self._applied.address, **LEARNING.handover(parts, rate),
        )
        self._instant = estimates.make_instant(k, rate, first)
        anchored = np.zeros(k, bool)
        if first is not None and self._confidence is not None:
            anchored = np.mean(self._trusted(), axis=1, where=others) > 0.5
        self._guard = estimates.make_guard(
            k, rate, record["shares"], self._instant, self._known_mics(k), anchored, pairs
        )
        self._news = MicNews(self.board.mics)
        self._quarantine = estimates.make_quarantine(k, rate, self._paths, self._guard, self._instant)
        self._polarity = estimates.make_polarity(k, rate, self._paths, self._instant)
        self._job = job.JOB.make(
            canceller=record.address, paths=self._paths, kalman=self._kalman, handover=self._handover,
            instant=self._instant, guard=self._guard, quarantine=self._quarantine, polarity=self._polarity,
        )
        if self.held(k) < k * (k - 1):
            self._choice = estimates.make_choice(
                k, rate, self._pairs, self._instant["span"], self._paths, self._applied["active"]
            )
            self._job.put("choice", self._choice)
        if self._refine and k > 1:
            self._refinement = estimates.make_refinement(
                k, rate, self._taps, self._refine, self._paths, self._instant, self._guard
            )
            self._job.put("refine", self._refinement)
        record.put("job", job.job.address)
        record.put("job_state", self._job)

    def _start(self) -> None:
        self._sparing["wanted"] = 0
        self._left_out, self._summed_since = 0, -1   # eighths of the pairs; sample since which all others are summed
        self._least_first = np.empty(0, np.int64)
        share = (self._master or self)._applied["share"]
        for c, mic in enumerate(self.board.mics):
            given = self.board.seen(f"{self.name}.amount.{mic}") * share[c]
            self.record["amounts"][c] = (given, given, given, 0, 0)
        self._opinion = self._first_opinion
        if self._master is None:
            if self._job["choice"]:
                self._choice["budget"] = self._pairs
            self._lay_first_paths()

    def _lay_first_paths(self) -> None:
        """Lay the first paths, and have them applied."""
        k, parts = self.fmt.channels, self._taps // BLOCK
        w = self._paths
        w["p"] = w["prior"][:, None, None, None]
        known = self._hold_first(k)
        self._applied["active"] = w["held"]
        if known is not None:
            if self._confidence is not None:
                doubt = np.where(w["held"], LEARNING.known_doubt ** self._trusted(), 1)
                w["p"] *= doubt[None, :, :, None].astype(np.float32)
            paths = np.zeros((k, k, self._taps), np.float32)
            known = known[..., : self._taps]
            paths[..., : known.shape[-1]] = known
            spectra = np.fft.rfft(paths.reshape(k, k, parts, BLOCK).transpose(2, 0, 1, 3), SIZE)
            for part, name in ((spectra.real, "re"), (spectra.imag, "im")):
                w["w_" + name][..., :BINS] = w["good_" + name][..., :BINS] = part
        if self._job["refine"]:
            self._refinement["taken"], self._refinement["pairs"] = w["held"], w["held"].sum(axis=1)
            if known is not None and self._confidence is not None:
                self._refinement["doubt"] = np.where(w["held"], REFINEMENT.known_doubt ** self._trusted(), 1)
                self._refinement["anchor"] = self._refinement["new"] = estimates.low_rate(self._refinement, known)
        export = _JOB(job.export.address)
        for version in (0, 1):
            export(self._job.address, version)

    def _hold_first(self, k: int) -> NDArray[np.float32] | None:
        """Choose the first pairs, and return their first paths: all, the strongest, or none until more is known."""
        others = ~np.eye(k, dtype=bool)
        held = self._paths["held"]
        if not self._job["choice"]:
            held[:] = others
            return self._first_paths
        if self._first_paths is None:
            return None
        energy = np.sum(self._first_paths.astype(float) ** 2, axis=-1, where=others[..., None])
        strongest = np.argsort(energy, axis=None)[::-1][: self._pairs]
        held.reshape(-1)[strongest] = energy.reshape(-1)[strongest] > 0
        left_out = held == 0
        known = self._first_paths.copy()
        known[left_out, 1:] = 0
        known[left_out & (self._instant["instant"] == 0)[:, None], 0] = 0
        return stable(known)

    def _trusted(self) -> NDArray[np.float64]:
        """Return, from 0 to 1, how far each first path is believed in.

        A path that explains little of what was heard may still be right: it was faint, and something else was louder.
        """
        assert self._confidence is not None
        trusted: NDArray[np.float64] = np.clip(self._confidence / LEARNING.confident, 0, 1).astype(np.float64)
        return trusted

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
        self.record["exchange"][due.STOP] = 1
        self._thread.join(2.0)
        if self._thread.is_alive():
            raise WorkerError(f"{self.name}: its helper thread does not stop")
        self._thread = None
        self.record["exchange"][due.STOP] = 0
        self.record["inline"] = 1

    def shed(self, savings: Collection[int]) -> None:
        """See `Stage.shed`: the refinement; pairs, those first that take the least away."""
        if self._master is not None:
            return
        if self._job["refine"]:
            self._refinement["budget"] = 0 if 0 in savings else self._refine
        if (shares := max((n for n in savings if n < SHARES), default=0)) != self._left_out:
            self._leave_out(shares)
        self._hold_again()

    def _leave_out(self, shares: int) -> None:
        if not self._left_out:
            self._least_first = self._ranked()   # kept until all are back: so pairs only leave, or only come in
        self._left_out = shares
        count = len(self._least_first) * shares // SHARES
        if self._job["choice"]:
            self._choice["budget"] = self._pairs - count   # who leaves is let go, and nobody comes in instead
        out = np.zeros(self.fmt.channels**2, np.int64)
        out[self._least_first[:count]] = 1
        out = out.reshape(self.fmt.channels, -1) & self._applied["active"]
        self._paths["held"][out == 1] = 0
        self._ask(out)

    def _ask(self, out: NDArray[np.int64]) -> None:
        self._sparing["wanted"] = out
        asked = self._sparing["asked"]
        store(asked.ctypes.data, int(asked[0]) + 1)
        self._summed_since = -1

    def _hold_again(self) -> None:
        """Let pairs learn again that have been summed for a while: what is left of them is what their paths leave."""
        spared, w = self._sparing, self._paths
        if spared["seen"] != spared["asked"][0] or spared["steps"] or not len(self._least_first):
            return
        if (spared["wanted"] & (self._applied["active"] == 0)).any():
            self._ask(spared["wanted"] & self._applied["active"])   # who was let go may be chosen again, and is summed
            return
        if self._summed_since < 0:
            self._summed_since = self.record["position"]
        if self.record["position"] - self._summed_since < _SETTLED:
            return
        back = np.zeros(self.fmt.channels**2, bool)
        back[self._least_first] = True
        back = back.reshape(self.fmt.channels, -1) & (spared["wanted"] == 0)
        w["held"][back & (self._applied["active"] == 1) & (w["leaving"] == 0)] = 1
        if not self._left_out:
            self._least_first = np.empty(0, np.int64)

    def _ranked(self) -> NDArray[np.int64]:
        """Return the places of the pairs that are held, those first that take the least away of their mics."""
        w, tracked = self._paths, self._paths["tracked"]
        energy = sum(np.einsum("pijb,pijb->ij", w[name][:tracked], w[name][:tracked]) for name in ("w_re", "w_im"))
        before, after = self.record["power"].mean(axis=0)
        worth = energy * after / (before[:, None] + np.float32(1e-9))
        held = np.flatnonzero(self._applied["active"])
        ranked: NDArray[np.int64] = held[np.argsort(worth.reshape(-1)[held], kind="stable")]
        return ranked

    def news(self) -> list[str]:
        """See `Stage.news`: twins, and mics that are shut out."""
        one = (self._guard["twin"] != 0) & (self._instant["instant"] == 0)[:, None]
        return self._news.look(one, self._quarantine["left"] != 0)

    def status(self) -> dict[str, int]:
        """Return late and skipped updates, explosions caught, filters restored, pairs held, mics by mode and state.

        `pairs` of `possible_pairs` are held now. Of the mics: `instant`, in instantaneous mode; `twins`, that share a
        source with another one; `silent`, dead or unplugged; `clipped`, of late. `shut_out` counts how often a mic
        heard what nobody else did, `flipped` those whose polarity has changed.
        """
        if self._master is not None:
            return {}
        return {
            "late_updates": int(self.record["exchange"][due.LATE]),
            "skipped_updates": self._job["skipped"],
            "unstable_samples": self.record["exploded"],
            "restores": self._handover["restores"],
            "updates": self._job["jobs"],
            "refinements": self._refinement["rounds"] if self._job["refine"] else 0,
            "pairs": int(np.count_nonzero(self._applied["active"])),
            "possible_pairs": self.fmt.channels * (self.fmt.channels - 1),
            "instant": int(np.count_nonzero(self._instant["instant"])),
            "twins": int(np.count_nonzero(self._guard["twin"].any(axis=1) & (self._instant["instant"] == 0))),
            "silent": int(np.count_nonzero(self._guard["silent"])),
            "clipped": int(np.count_nonzero(self._guard["clipped"])),
            "shut_out": self._quarantine["times"],
            "flipped": self._polarity["flips"],
        }
