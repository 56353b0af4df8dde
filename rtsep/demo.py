"""The demo: a simulated concert, paced by the clock through the same engine, without a sound card."""

from __future__ import annotations

import shutil
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from rtsep import audiofile, evaluation, metrics, presets, realtime
from rtsep.errors import InputError
from rtsep.runner import Runner, process
from rtsep.scenes import Scene, make_scene
from rtsep.session import Session
from rtsep.stage import Block

_MARK = "made-by-rtsep-demo"
_OFFLINE_BLOCK = 2048   # frames; another than live, which changes no sample


@dataclass(frozen=True)
class DemoOptions:
    """What `demo` is asked for.

    Parameters
    ----------
    seconds : float
    out : str
        Folder of the results; one that an earlier demo has made is replaced.
    preset : str
    mics : int
    kind : str
        Kind of scene, see `rtsep.scenes.KINDS`.
    seed : int
    """

    seconds: float = 20.0
    out: str = "demo-out"
    preset: str = "foh"
    mics: int = 6
    kind: str = "room"
    seed: int = 1


def demo(options: DemoOptions, say: Any = print) -> dict[str, Any]:
    """Play a concert through the engine in real time, then measure what it did.

    Parameters
    ----------
    options : DemoOptions
    say : callable
        Receives lines of progress.

    Returns
    -------
    dict
        mics (rows of `evaluation.score`), mean, latency_samples, measured_latency_samples, late_blocks, late_updates,
        seconds, wall_s, block_us, live_equals_offline, and the names of the files written.

    Raises
    ------
    InputError
        If an option is not allowed or `out` holds something else.
    """
    out = Path(options.out)
    _check_out(out)
    preset = presets.load(options.preset)
    scene = make_scene(options.kind, options.seed, options.mics, options.seconds)
    say(f"made a concert: {', '.join(scene.names)}; {options.kind}, {options.seconds:g} s")
    # The clock runs on behind the last sample, so that it too leaves the chain.
    with Session.open(preset, scene.rate, scene.names) as session:
        engine, late = session.engine, session.engine.latency
        say(
            f"playing it through preset {preset.name} in real time: latency {late} samples "
            f"({late / scene.rate * 1000:.1f} ms), block {preset.host.block}"
        )
        for note in presets.notes(preset, len(scene.names)):
            say(note)
        runner = Runner(engine)
        x = np.pad(scene.mics, ((0, 0), (0, late)))
        live = np.zeros_like(x)
        engine.go_live()
        begun = time.perf_counter()
        _play(runner, x, live, preset.host.block, scene.rate, say)
    wall = time.perf_counter() - begun
    say("measuring: the same concert offline, each wanted sound alone through the same filters")
    same, heard = _offline(preset, scene, x)
    # What is scored is what was heard live; the offline run gives the filters' effect on the wanted sound.
    heard = evaluation.Heard(live[:, late:], heard.alone)
    rows = evaluation.score(scene, heard)
    report: dict[str, Any] = {
        "preset": preset.name,
        "sample_rate": scene.rate,
        "block": preset.host.block,
        "seconds": x.shape[1] / scene.rate,
        "wall_s": wall,
        "latency_samples": late,
        "measured_latency_samples": [delay(scene.images[i], live[i]) for i in range(len(scene.names))],
        "late_blocks": runner.record["late"],
        "live_equals_offline": bool(np.array_equal(same, live)),
        "block_us": metrics.percentiles(runner.microseconds()),
        "mics": rows,
        "mean": evaluation.mean(rows),
        **engine.status(),
    }
    _write(out, scene, heard.cleaned, report)
    return report


def _offline(preset: presets.Preset, scene: Scene, x: Block) -> tuple[Block, evaluation.Heard]:
    """Render the same, and again with each wanted sound alone beside it."""
    with Session.open(preset, scene.rate, scene.names) as session:
        same = process(session.engine, x, _OFFLINE_BLOCK)
        session.engine.reset()
        return same, evaluation.listen(session.engine, scene)


def _play(runner: Runner, x: Block, out: Block, block: int, rate: int, say: Any) -> None:
    """Run the compiled clock on a thread of its own, so that Ctrl-C is heard here."""
    progress = np.zeros(1, np.int64)

    def audio() -> None:
        realtime.ask(realtime.AUDIO)
        runner.run_paced(x, out, block, progress)

    thread = threading.Thread(target=audio, name="audio")
    thread.start()
    try:
        told = 0
        while thread.is_alive():
            thread.join(0.2)
            seconds = int(progress[0]) // rate
            if seconds >= told + 5:
                told = seconds
                say(f"  {seconds} s played, {runner.record['late']} late blocks")
    finally:
        runner.record["stop"] = 1
        thread.join()


def delay(wanted: Block, heard: Block) -> int:
    """Find the lag, in samples, at which what came out correlates most with the wanted sound.

    Parameters
    ----------
    wanted, heard : float32[frames]
    """
    size = 1 << int(np.ceil(np.log2(wanted.size + heard.size)))
    spectrum = np.fft.rfft(heard, size) * np.conj(np.fft.rfft(wanted, size))
    # Whitened, a lag is as sharp for a bass as for a hi-hat.
    spectrum /= np.abs(spectrum) + 1e-9 * np.abs(spectrum).max()
    lags = np.fft.irfft(spectrum, size)
    return int(np.argmax(lags[: heard.size]))


def _check_out(out: Path) -> None:
    if out.exists() and not out.is_dir():
        raise InputError(str(out), "it is a file", "give a folder")
    if out.is_dir() and any(out.iterdir()) and not (out / _MARK).exists():
        raise InputError(str(out), "it holds files that no demo has made", "give another folder with --out")


def _write(out: Path, scene: Scene, cleaned: Block, report: dict[str, Any]) -> None:
    import json

    from rtsep.picture import draw

    names, mics, images = scene.names, scene.mics, scene.images
    beside = out.with_name(f".{out.name}.part")
    shutil.rmtree(beside, ignore_errors=True)
    try:
        beside.mkdir(parents=True)
        for name, signal in (("before", mics), ("after", cleaned), ("truth", images)):
            path = str(beside / f"{name}.wav")
            with audiofile.open_output(path, scene.rate, len(names), names, mics.shape[1]) as target:
                target.write(np.ascontiguousarray(signal))
        before, after = ([row[f"si_sdr_{when}"] for row in report["mics"]] for when in ("before", "after"))
        draw(str(beside / "before-after.png"), names, scene.rate, mics, cleaned, images, before, after)
        (beside / "report.json").write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")
        (beside / _MARK).write_text("rtsep demo may replace this folder\n")
        if out.exists():
            shutil.rmtree(out)
        beside.rename(out)
    except OSError as error:
        raise InputError(str(out), error.strerror or "cannot be written", "choose another folder with --out") from None
    finally:
        shutil.rmtree(beside, ignore_errors=True)
