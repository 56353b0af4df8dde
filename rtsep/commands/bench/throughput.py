"""What share of its deadline a callback takes, over mics, blocks and chains; how many mics hold; and rivals."""

from __future__ import annotations

import argparse

from rtsep.commands._arguments import add_json, add_report, names, numbers, positive
from rtsep.commands._printing import print_grid, print_json, write_json


def arguments(parser: argparse.ArgumentParser) -> None:
    """Say what `rtsep bench throughput` takes."""
    parser.add_argument("--chains", type=names, metavar="C,…", help="matrix,canceller,spectral,model,plug-ins (all)")
    parser.add_argument("--mics", type=names, metavar="N,…", help="numbers (1,2,4,8,16,32,64)")
    parser.add_argument("--blocks", type=names, metavar="N,…", help="frames (16,32,64,128,256,512)")
    parser.add_argument("--seconds", type=positive, default=2.0, metavar="S", help="of each cell (2)")
    parser.add_argument("--model", default="", metavar="FILE", help="for chain model; one that multiplies by default")
    parser.add_argument("--rivals", type=names, metavar="R,…", help="numpy,torch,pedalboard,floor, or none (all)")
    parser.add_argument("--rival-mics", type=int, default=8, metavar="N", help="with how many they are compared (8)")
    parser.add_argument("--resume", action="store_true", help="go on with a run of the same options that was killed")
    parser.add_argument("--picture", metavar="FILE.png", help="draw the shares here")
    add_report(parser)
    add_json(parser, "everything")


def run(args: argparse.Namespace) -> int:
    """Measure and print the tables."""
    from rtsep.atomic import check_writable, replacing
    from rtsep.bench import throughput
    from rtsep.bench.load import cells, heatmap, rivals
    from rtsep.control.surfaces.terminal import progress

    asked_rivals = rivals.KINDS if args.rivals is None else () if args.rivals == ("none",) else args.rivals
    ask = throughput.Ask(
        args.chains or cells.CHAINS, numbers("--mics", args.mics) or cells.MICS,
        numbers("--blocks", args.blocks) or cells.BLOCKS, args.seconds, args.model, asked_rivals, args.rival_mics,
    )
    throughput.check(ask)
    for path in (args.picture, args.report):
        if path is not None:
            check_writable(path)
    with progress("measuring") as advance:
        found = throughput.measure(ask, args.resume, advance)
    report = throughput.report(found)
    write_json(args.report, report)
    if args.picture is not None:
        with replacing(args.picture) as file:
            file.write(heatmap.draw(found.cells, "p99 of the callback in % of its deadline; white: it holds"))
    if args.json:
        return print_json(report)
    print_grid(*throughput.cell_table(found.cells), 2,
               "callback in % of the deadline; late blocks, and those of one that does nothing")
    print_grid(*throughput.most_table(found.cells, found.laws), 1,
               f"most mics that hold (p99 ≤ {100 * cells.ROOM:.0f} %); in brackets: by the law's median")
    print("\n".join(throughput.law_lines(found.laws, found.machine)))
    print_grid(*rivals.table(found.ratios), 3, "rivals in the same run; below 1 rtsep is quicker")
    return 0
