"""The command line: reads arguments, calls one function, prints what it returns.

Exit codes: 0 done, 2 bad usage or bad input (one line), 3 device, 4 worker. Heavy modules are imported where a verb
uses them, so that `rtsep --help` answers at once.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import signal
import sys
from collections.abc import Sequence
from typing import Any, NoReturn

from rtsep import __version__
from rtsep.errors import InputError, RtsepError

_BUILTIN = "live, monitor, foh, record, or a path to a .toml"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one verb.

    Parameters
    ----------
    arguments : sequence of str, optional
        The process's own by default.

    Returns
    -------
    int
        The exit code.
    """
    signal.signal(signal.SIGTERM, _interrupt)
    parsed = _parser().parse_args(arguments)
    try:
        code: int = parsed.verb(parsed)
        sys.stdout.flush()
        return code
    except RtsepError as error:
        print(f"rtsep: {error}", file=sys.stderr)
        return error.exit_code
    except KeyboardInterrupt:
        print("rtsep: interrupted; nothing half-written was left", file=sys.stderr)
        return 130
    except BrokenPipeError:   # `rtsep … | head`: the reader has what it wanted
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0


def _interrupt(_signal: int, _frame: Any) -> NoReturn:
    raise KeyboardInterrupt


class _Parser(argparse.ArgumentParser):
    """Bad usage is one line, like every other error."""

    def error(self, message: str) -> NoReturn:
        print(f"{self.prog}: {message}; see {self.prog} --help", file=sys.stderr)
        raise SystemExit(2)


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(prog="rtsep", description="Cleans every microphone of a concert of the sound that is not its own.")
    parser.add_argument("--version", action="version", version=f"rtsep {__version__}")
    verbs = parser.add_subparsers(required=True, metavar="VERB", parser_class=_Parser)

    verb = _verb(verbs, "demo", _demo, "a simulated band on a stage, streamed through the engine in real time")
    verb.add_argument("--seconds", type=_positive, default=20.0, metavar="S", help="length (20)")
    verb.add_argument("--out", default="demo-out", metavar="DIR", help="folder for the results (demo-out)")
    verb.add_argument("--preset", default="foh", metavar="P", help=_BUILTIN)
    verb.add_argument("--mics", type=int, default=6, metavar="N", help="microphones (6)")
    verb.add_argument("--kind", default="room", metavar="KIND", help="kind of scene, see `rtsep scene --help`")
    verb.add_argument("--seed", type=int, default=1, metavar="N", help="which concert (1)")
    verb.add_argument("--json", action="store_true", help="print the report as JSON")

    verb = _verb(verbs, "run", _run, "clean what comes in at a sound card, a JACK server or any PortAudio device")
    verb.add_argument("--preset", default="live", metavar="P", help=_BUILTIN)
    verb.add_argument("-i", "--input-device", metavar="DEV", help="name, part of it, or hostapi:name")
    verb.add_argument("-o", "--output-device", metavar="DEV", help="name, part of it, or hostapi:name")
    verb.add_argument("-r", "--samplerate", type=int, metavar="RATE", help="Hz; the device's own by default")
    verb.add_argument("-b", "--blocksize", type=int, metavar="BLOCK", help="frames; the preset's by default")
    verb.add_argument("--map", metavar="CSV", help="mic,in,out: device channels of each mic, from 1")
    verb.add_argument("--set", action="append", default=[], metavar="PATH=VALUE", help="a parameter's value")
    verb.add_argument("--calibration", metavar="C", help="what `rtsep learn` wrote")
    verb.add_argument("--record", metavar="DIR", help="store what comes in and goes out as DIR/in.wav, DIR/out.wav")
    verb.add_argument("--seconds", type=_positive, metavar="S", help="stop by itself")
    verb.add_argument("--no-view", action="store_true", help="no terminal view")
    verb.add_argument("--json", action="store_true", help="print the summary as JSON")

    verb = _verb(verbs, "render", _render, "a recording through the very same chain")
    verb.add_argument("input", metavar="IN", help="a polyphonic file or a folder of mono files")
    verb.add_argument("-o", "--output", required=True, metavar="OUT", help="a .wav, .flac, .rf64, .w64, or a folder")
    verb.add_argument("--preset", default="foh", metavar="P", help=_BUILTIN)
    verb.add_argument("--set", action="append", default=[], metavar="PATH=VALUE", help="a parameter's value")
    verb.add_argument("-b", "--blocksize", type=int, metavar="BLOCK", help="frames per call; changes no sample")
    verb.add_argument("--report", metavar="R.json", help="write figures here")
    verb.add_argument("--calibration", metavar="C", help="what `rtsep learn` wrote")
    verb.add_argument("--no-compensate", action="store_true", help="leave the chain's latency in the result")
    verb.add_argument("--subtype", metavar="T", help="FLOAT (default), PCM_16, PCM_24, PCM_32, DOUBLE")
    verb.add_argument("--json", action="store_true", help="print the report as JSON")

    verb = _verb(verbs, "learn", _learn, "from a soundcheck, who bleeds where: a calibration for run and render")
    verb.add_argument("input", metavar="IN", help="a polyphonic file or a folder of mono files")
    verb.add_argument("-o", "--output", required=True, metavar="C", help="calibration file to write")
    verb.add_argument("--solos", default="auto", metavar="CSV", help="mic,start_s,end_s; found by itself otherwise")
    verb.add_argument("--taps", type=int, default=16384, metavar="N", help="length of each path, samples (16384)")
    verb.add_argument("--json", action="store_true", help="print what was learnt as JSON")

    verb = _verb(verbs, "separate", _separate, "any system of separation by name, offline: one file for each part")
    verb.add_argument("input", nargs="?", metavar="IN", help="a polyphonic file or a folder of mono files")
    verb.add_argument("-o", "--output", metavar="DIR", help="a new or empty folder")
    verb.add_argument("--method", metavar="M", help="a system's name, see --list")
    verb.add_argument("--set", action="append", default=[], metavar="OPTION=VALUE", help="an option of the system")
    verb.add_argument("--list", action="store_true", help="all systems; with --method that one and its options")
    verb.add_argument("--json", action="store_true", help="print as JSON")

    verb = _verb(verbs, "scene", _scene,
                 "write a concert, simulated or of a data set: mics/, images/ (own sound at each mic), sources/")
    verb.add_argument("output", metavar="OUT", help="folder to make")
    verb.add_argument("--kind", default="room", metavar="KIND", help="linear, linear-moving, room, room-moving, hall")
    verb.add_argument("--seed", type=int, default=1, metavar="N", help="which concert (1)")
    verb.add_argument("--mics", type=int, default=6, metavar="N", help="microphones (6)")
    verb.add_argument("--seconds", type=_positive, metavar="S", help="length (20; with --bleed 10; otherwise all)")
    verb.add_argument("-r", "--samplerate", type=int, metavar="RATE", help="Hz (48000; with --bleed 22050)")
    verb.add_argument("--soundcheck", type=float, default=0.0, metavar="S", help="seconds of each source alone, first")
    verb.add_argument("--from", dest="origin", metavar="DIR", help="a data set, in place of a simulated band")
    verb.add_argument("--dataset", default="folder", metavar="D", help="musdb (HQ), dsd100, saraga, folder (folder)")
    verb.add_argument("--track", type=int, default=1, metavar="N", help="which song of it (1)")
    verb.add_argument("--start", type=float, default=0.0, metavar="S", help="where in the song (0)")
    verb.add_argument("--bleed", default="none", metavar="B", help="put on it: none, linear (gains), room (none)")
    verb.add_argument("--json", action="store_true", help="print what was written as JSON")

    verb = _verb(verbs, "evaluate", _evaluate, "SDR family, bleed removed and harm, as a table or JSON")
    verb.add_argument("--reference", metavar="DIR", help="true signals")
    verb.add_argument("--estimate", metavar="DIR", help="estimated signals")
    verb.add_argument("--mixture", metavar="DIR", help="microphones before: adds the improvement")
    verb.add_argument("--scene", metavar="DIR", help="a scene: render it with --preset and score it, with harm")
    verb.add_argument("--preset", default="foh", metavar="P", help=_BUILTIN)
    verb.add_argument("--calibration", metavar="C", help="what `rtsep learn` wrote")
    verb.add_argument("--skip", type=float, default=4.0, metavar="S", help="seconds not counted after a cold start (4)")
    verb.add_argument("--bss", nargs="?", const="median", metavar="median|mean",
                      help="adds BSS-eval version 4, over windows of 1 s (median)")
    verb.add_argument("--picture", metavar="FILE.png", help="spectrograms and gains before and after")
    verb.add_argument("--json", action="store_true", help="print as JSON")

    bench = verbs.add_parser("bench", help="tables of measured quality", description="Tables of measured quality.")
    tables = bench.add_subparsers(required=True, metavar="TABLE", parser_class=_Parser)
    verb = _verb(tables, "bleed", _bench_bleed, "bleed removed: presets, rival methods and oracles in one table")
    verb.add_argument("folder", nargs="?", metavar="FOLDER", help=".npz cases; own scenes by default")
    verb.add_argument("--presets", type=_names, default=("live", "monitor", "foh", "record"), metavar="P,…",
                      help="names or paths (live,monitor,foh,record)")
    verb.add_argument("--rivals", type=_names, default=("all",), metavar="M,…",
                      help="kamir, mira, nlms, gate, fastica, auxiva, none, or all")
    verb.add_argument("--oracles", type=_names, default=("all",), metavar="O,…",
                      help="mask, wiener, fir, paths, or one of them as mask-512; inverse, none, or all")
    verb.add_argument("--seconds-skip", type=_positive, default=4.0, metavar="S", help="not counted at first (4)")
    verb.add_argument("--no-harm", action="store_true", help="leave out what the filters do to wanted sound: quicker")
    verb.add_argument("--json", metavar="FILE", help="write everything, per microphone, here")

    verb = _verb(tables, "robust", _bench_robust, "random stages with broken microphones: nothing may get worse")
    verb.add_argument("--scenes", type=int, default=200, metavar="N", help="how many (200)")
    verb.add_argument("--seed", type=int, default=1, metavar="N", help="of the first scene (1)")
    verb.add_argument("--preset", default="live", metavar="P", help=_BUILTIN)
    verb.add_argument("--json", metavar="FILE", help="write everything here")

    verb = _verb(tables, "systems", _bench_systems, "every system of SYSTEMS.md against its acceptance number")
    verb.add_argument("-o", "--output", metavar="FILE.md", help="write the table as Markdown here")
    verb.add_argument("--only", type=_names, default=(), metavar="M,…", help="systems; all by default")

    verb = _verb(verbs, "devices", _devices, "sound devices of this machine")
    verb.add_argument("--json", action="store_true", help="print as JSON")

    verb = _verb(verbs, "presets", _presets, "presets that come with rtsep, or one as a file to begin with")
    verb.add_argument("preset", nargs="?", metavar="P", help="print it as TOML, with what to know of it")
    verb.add_argument("--json", action="store_true", help="print as JSON")

    verb = _verb(verbs, "check", _check, "check a preset without running it")
    verb.add_argument("preset", metavar="P", help=_BUILTIN)
    verb.add_argument("--json", action="store_true", help="print the preset as read, as JSON")
    return parser


def _verb(verbs: Any, name: str, function: Any, text: str) -> argparse.ArgumentParser:
    verb: argparse.ArgumentParser = verbs.add_parser(name, help=text, description=text[0].upper() + text[1:] + ".")
    verb.set_defaults(verb=function)
    return verb


def _positive(text: str) -> float:
    value = float(text)
    if not (math.isfinite(value) and value > 0):
        raise argparse.ArgumentTypeError(f"{text} is not a positive number")
    return value


def _names(text: str) -> tuple[str, ...]:
    return tuple(name for name in text.split(",") if name)


def _demo(args: argparse.Namespace) -> int:
    from rtsep.demo import DemoOptions, demo

    options = DemoOptions(args.seconds, args.out, args.preset, args.mics, args.kind, args.seed)
    report = demo(options, (lambda _line: None) if args.json else print)
    if args.json:
        return _print_json(report)
    columns = ("si_sdr_before", "si_sdr_after", "bleed_removed", "harm")
    _table(report["mics"], columns, report["mean"], "dB; harm: higher is better, 30 is inaudible")
    measured = set(report["measured_latency_samples"])
    agree = "=" if measured == {report["latency_samples"]} else "differs from"
    print(
        f"latency: declared {report['latency_samples']} {agree} measured "
        f"{', '.join(str(m) for m in sorted(measured))} samples"
    )
    same = "yes" if report["live_equals_offline"] else "no: that takes a machine on which no update is late"
    print(
        f"late blocks: {report['late_blocks']}   late updates: {report.get('late_updates', 0)}   "
        f"live = offline bit for bit: {same}"
    )
    times = report["block_us"]
    deadline = report["block"] / report["sample_rate"] * 1e6
    print(f"block: p50 {times['p50']:.0f}  p99 {times['p99']:.0f}  p99.9 {times['p999']:.0f} of {deadline:.0f} µs")
    print(f"listen: {args.out}/before.wav, {args.out}/after.wav   look: {args.out}/before-after.png")
    return 0


def _run(args: argparse.Namespace) -> int:
    from rtsep.hosts.supervisor import RunOptions, run

    return run(
        RunOptions(
            preset=args.preset, input_device=args.input_device, output_device=args.output_device,
            rate=args.samplerate, block=args.blocksize, map_csv=args.map, calibration=args.calibration,
            record=args.record, seconds=args.seconds, settings=tuple(args.set), json=args.json,
            view=not args.no_view,
        )
    )


def _render(args: argparse.Namespace) -> int:
    from rtsep.atomic import replacing
    from rtsep.hosts.file import RenderOptions, render

    report = render(
        RenderOptions(
            source=args.input, target=args.output, preset=args.preset, block=args.blocksize,
            settings=tuple(args.set), calibration=args.calibration, compensate=not args.no_compensate,
            subtype=args.subtype,
        )
    )
    if args.report:
        with replacing(args.report) as file:
            file.write((json.dumps(report, indent=2) + "\n").encode())
    for mic, count in report["bad_inputs"].items():
        print(f"rtsep: {args.input}: {count} samples of {mic} were NaN or infinite; they became 0", file=sys.stderr)
    for note in report["notes"]:
        print(f"rtsep: {note}", file=sys.stderr)
    if args.json:
        return _print_json(report)
    print(
        f"{args.output}: {report['channels']} channels, {report['seconds']:.1f} s at {report['sample_rate']} Hz, "
        f"latency {report['latency_samples']} samples "
        f"({'taken out' if report['compensated_samples'] else 'left in' if args.no_compensate else 'none'}), "
        f"{1 / max(report['realtime_factor'], 1e-9):.1f} times real time"
    )
    return 0


def _learn(args: argparse.Namespace) -> int:
    from rtsep import calibration
    from rtsep.audiofile import open_input
    from rtsep.hosts.file import progress
    from rtsep.systems import soundcheck

    with open_input(args.input) as source:
        mics, rate, names = source.read(source.frames), source.rate, source.names
    if args.solos == "auto":
        solos = soundcheck.find_solos(mics, rate)
    else:
        solos = soundcheck.read_solos(args.solos, names, rate, mics.shape[1])
    if not solos:
        raise InputError(args.input, "no passage was found in which one source plays alone", "name them with --solos")
    with progress(1.0, "learning") as advance:
        learnt = soundcheck.learn(mics, rate, solos, names, args.taps, advance)
    calibration.save(learnt, args.output)
    heard = {solo.mic for solo in solos}
    rows = [
        {
            "mic": name,
            "solo_s": sum(s.end - s.start for s in solos if s.mic == i) / rate,
            "noise_dbfs": float(learnt.noise_db[i]),
            "confidence": float(max(learnt.confidence[:, i])),
        }
        for i, name in enumerate(names)
    ]
    if args.json:
        return _print_json({"calibration": args.output, "mics": rows})
    _table(rows, ("solo_s", "noise_dbfs", "confidence"), None, f"written: {args.output}")
    for i, name in enumerate(names):
        if i not in heard:
            print(f"{name}: no solo; its bleed will be learnt while running")
    return 0


def _separate(args: argparse.Namespace) -> int:
    if args.list:
        return _list_systems(args)
    if not (args.input and args.output and args.method):
        raise InputError("separate", "IN, -o and --method are needed", "or --list to see all systems")
    from rtsep.hosts.file import progress
    from rtsep.separate import SeparateOptions, separate

    with progress(1.0, "separating") as advance:
        report = separate(SeparateOptions(args.input, args.output, args.method, tuple(args.set)), advance)
    if args.json:
        return _print_json(report)
    speed = 1 / max(report["realtime_factor"], 1e-9)
    print(f"{args.output}: {', '.join(report['parts'])}; {speed:.1f} times real time")
    return 0


def _list_systems(args: argparse.Namespace) -> int:
    from rtsep.catalogue import SYSTEMS, latency_ms

    if args.method and args.method not in SYSTEMS:
        raise InputError("--method", f"there is no {args.method}", "known: " + ", ".join(SYSTEMS))
    chosen = [system for system in SYSTEMS.values() if args.method in (None, system.name)]
    if args.json:
        return _print_json([
            {
                "name": s.name, "section": s.section, "task": s.task, "inputs": s.inputs, "live": s.live,
                "role": s.role, "latency_ms": latency_ms(s), "source": s.source,
                "options": {o.name: o.default for o in s.options},
            }
            for s in chosen
        ])
    if args.method:
        system = chosen[0]
        print(f"{system.name} ({system.section}): {system.task}\ninputs: {system.inputs}\nsource: {system.source}")
        print(f"stream: {system.role}" + (f" (stage {system.live})" if system.live else ""))
        if system.stage:
            print(f"preset {system.live}: {system.stage.hint}")
        for option in system.options:
            print(f"  --set {option.name}={option.default}   {option.help}")
        return 0
    rows = []
    for s in chosen:
        late = latency_ms(s)
        shown = "-" if late is None else f"{late:.1f}"
        rows.append((s.name, s.section, s.task, s.inputs, s.live or "-", shown, s.source))
    _grid(("name", "section", "task", "inputs", "live stage", "ms", "source"), rows, 5, "latency in ms at 48 kHz")
    return 0


def _scene(args: argparse.Namespace) -> int:
    from rtsep.scenes import make_scene, write_scene

    if args.origin is not None:
        from rtsep.datasets import find_tracks, read_scene

        tracks = find_tracks(args.origin, args.dataset)
        if not 1 <= args.track <= len(tracks):
            raise InputError("--track", f"there is no {args.track}", f"allowed is 1 to {len(tracks)}")
        track = tracks[args.track - 1]
        scene = read_scene(track, args.bleed, args.samplerate, args.start, args.seconds, args.seed)
    elif args.bleed != "none":
        raise InputError("--bleed", "it is put on the songs of a data set", "name one with --from")
    else:
        seconds, rate = args.seconds or 20.0, 48000 if args.samplerate is None else args.samplerate
        scene = make_scene(args.kind, args.seed, args.mics, seconds, rate, args.soundcheck)
    write_scene(scene, args.output)
    rows = [{"mic": n, "sir_db": float(s)} for n, s in zip(scene.names, scene.sir_db, strict=True)]
    if args.json:
        shown = rows if scene.known else [{"mic": name, "sir_db": None} for name in scene.names]
        return _print_json({"scene": args.output, "kind": scene.kind, "seed": scene.seed, "mics": shown})
    if scene.known:
        _table(rows, ("sir_db",), None, f"written: {args.output}")
    else:
        print(f"{args.output}: {', '.join(scene.names)}; nobody knows what they should have heard")
    return 0


def _evaluate(args: argparse.Namespace) -> int:
    from rtsep import evaluate

    if args.picture and not args.picture.lower().endswith(".png"):
        raise InputError("--picture", f"{args.picture} is not a PNG", "allowed is FILE.png")
    if args.scene:
        if args.reference or args.estimate:
            raise InputError("--scene", "it is given together with --reference or --estimate", "give one or the other")
        from rtsep import calibration, presets
        from rtsep.hosts.file import make_engine
        from rtsep.scenes import read_scene

        scene = read_scene(args.scene)
        known = calibration.load(args.calibration) if args.calibration else None
        engine = make_engine(presets.load(args.preset), scene.rate, scene.names, known)
        heard = evaluate.listen(engine, scene)
        rows = evaluate.score(scene, heard, args.skip, args.bss)
        columns: tuple[str, ...] = (
            "si_sdr_before", "si_sdr_after", "improvement", "sdr_after", "bleed_removed", "harm",
        )
        shown = evaluate.Comparison(scene.names, scene.rate, scene.images, heard.cleaned, scene.mics)
    else:
        if not (args.reference and args.estimate):
            raise InputError("evaluate", "there is nothing to compare", "give --reference and --estimate, or --scene")
        if args.picture and not args.mixture:
            raise InputError("--picture", "it shows before and after", "name what was before with --mixture")
        shown = evaluate.read_comparison(args.reference, args.estimate, args.mixture)
        rows = evaluate.compare(shown, args.bss)
        columns = ("sdr", "si_sdr", "si_sir", "si_sar") + (("improvement",) if args.mixture else ())
    if args.bss:
        columns += evaluate.BSS_COLUMNS
    if args.picture:
        _draw(args.picture, shown, rows)
    mean = evaluate.mean(rows)
    if args.json:
        return _print_json({"mics": rows, "mean": mean})
    _table(rows, columns, mean, "dB")
    return 0


def _draw(path: str, comparison: Any, rows: list[dict[str, Any]]) -> None:
    from rtsep.atomic import replacing
    from rtsep.picture import draw

    after = [row["si_sdr_after" if "si_sdr_after" in row else "si_sdr"] for row in rows]
    before = [late - row["improvement"] for late, row in zip(after, rows, strict=True)]
    c = comparison
    with replacing(path) as file:
        draw(file, c.names, c.rate, c.mics, c.given, c.truth, before, after)


def _bench_bleed(args: argparse.Namespace) -> int:
    from rtsep.bench import bleed
    from rtsep.bench.oracles import ORACLES
    from rtsep.hosts.file import progress

    everything = {"rivals": bleed.RIVALS, "oracles": tuple(ORACLES)}
    chosen = {
        key: known if getattr(args, key) == ("all",) else () if getattr(args, key) == ("none",) else getattr(args, key)
        for key, known in everything.items()
    }
    options = bleed.BleedOptions(
        folder=args.folder, presets=args.presets, rivals=chosen["rivals"], oracles=chosen["oracles"],
        skip=args.seconds_skip, harm=not args.no_harm,
    )
    with progress(1.0, "measuring") as advance:
        report = bleed.bleed(options, advance)
    _write_json(args.json, report)
    _grid(*bleed.case_rows(report), 4, "each case: improvement of SI-SDR, mean and worst microphone; harm, dB")
    _grid(*bleed.system_rows(report), 1, "each system: mean over cases, dB")
    return 0


def _bench_robust(args: argparse.Namespace) -> int:
    from rtsep.bench import robust
    from rtsep.hosts.file import progress

    options = robust.RobustOptions(args.scenes, args.seed, args.preset)
    with progress(1.0, "measuring") as advance:
        report = robust.robust(options, advance)
    _write_json(args.json, report)
    for line in robust.lines(report):
        print(line)
    return 0


def _bench_systems(args: argparse.Namespace) -> int:
    from rtsep.atomic import replacing
    from rtsep.bench import systems
    from rtsep.hosts.file import progress

    with progress(1.0, "measuring") as advance:
        rows = systems.measure(args.only, advance)
    if args.output:
        with replacing(args.output) as file:
            file.write(systems.markdown(rows).encode())
    _grid(*systems.table(rows), 3, "acceptance numbers of SYSTEMS.md")
    return 0


def _write_json(path: str | None, value: Any) -> None:
    if path is not None:
        from rtsep.atomic import replacing

        with replacing(path) as file:
            file.write((json.dumps(value, indent=2) + "\n").encode())


def _grid(heads: Sequence[str], rows: Sequence[Sequence[str]], texts: int, title: str) -> None:
    """Print a table: with lines on a terminal, plain in a pipe. The first `texts` columns are words."""
    if not rows:
        return
    if sys.stdout.isatty():
        from rich.console import Console
        from rich.table import Table

        table = Table(title=title)
        for n, head in enumerate(heads):
            table.add_column(head, justify="left" if n < texts else "right")
        for row in rows:
            table.add_row(*row)
        Console().print(table)
        return
    widths = [max(len(row[n]) for row in [heads, *rows]) for n in range(len(heads))]
    print(f"({title})")
    for row in [heads, *rows]:
        cells = (c.ljust(w) if n < texts else c.rjust(w) for n, (c, w) in enumerate(zip(row, widths, strict=True)))
        print("  ".join(cells).rstrip())


def _devices(args: argparse.Namespace) -> int:
    from rtsep.hosts.devices import devices

    found = devices()
    if args.json:
        return _print_json(found)
    if not found:
        print("no sound device; start a JACK server or plug one in (rtsep demo and rtsep render need none)")
    for device in found:
        print(
            f"{device['host_api']}: {device['name']}   {device['inputs']} in, {device['outputs']} out, "
            f"{device['default_rate']:g} Hz"
        )
    return 0


def _presets(args: argparse.Namespace) -> int:
    from rtsep import presets
    from rtsep.catalogue import CLASS_LIMITS

    if args.preset is not None:
        print(presets.text(args.preset), end="")
        return 0
    found = [presets.load(name) for name in presets.names()]
    rows: list[dict[str, Any]] = [
        {"preset": p.name, "class": p.latency_class, "adds_at_most_ms": CLASS_LIMITS[p.latency_class] * 1000,
         "chain": [c.stage for c in p.chain]}
        for p in found
    ]
    if args.json:
        return _print_json(rows)
    for row in rows:
        chain = " → ".join(row["chain"])
        print(f"{row['preset']:<10} adds at most {row['adds_at_most_ms']:g} ms   {chain}")
    return 0


def _check(args: argparse.Namespace) -> int:
    from rtsep import presets

    preset = presets.load(args.preset)
    if args.json:
        return _print_json({
            "name": preset.name, "latency_class": preset.latency_class, "block": preset.host.block,
            "chain": [{"stage": c.stage, "name": c.name, **c.options} for c in preset.chain],
            "params": dict(preset.params),
        })
    print(f"{args.preset}: preset {preset.name} is good: {', '.join(c.name for c in preset.chain)}")
    return 0


def _print_json(value: Any) -> int:
    print(json.dumps(value, indent=2))
    return 0


def _table(rows: list[dict[str, Any]], columns: Sequence[str], mean: dict[str, float] | None, note: str) -> None:
    """Print rows of numbers under their names; plain text, so that it can be piped."""
    width = max(4, *(len(str(row["mic"])) for row in rows))
    heads = [column.replace("_", " ") for column in columns]
    widths = [max(7, len(head)) for head in heads]
    print("  ".join(["mic".ljust(width), *(head.rjust(w) for head, w in zip(heads, widths, strict=True))]))
    shown = [*rows, {"mic": "mean", **mean}] if mean else rows
    for row in shown:
        cells = [f"{row[column]:.1f}".rjust(w) for column, w in zip(columns, widths, strict=True)]
        print("  ".join([str(row["mic"]).ljust(width), *cells]))
    print(f"({note})")
