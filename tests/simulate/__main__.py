"""Compares scheduling policies on a simulated fleet.

    ./dev simulate [--nodes 8 --models 20 --jobs 4000 --load 0.9 --arrivals poisson ...] [--trace FILE] [--out DIR]
    ./dev simulate targets

One seed gives one workload, which each policy runs; printed are medians over the seeds. ``--out`` writes results.json
and plots. ``targets`` runs the cases that the placement of jobs has to handle. docs/architecture/policy-simulator.md
describes models, policies and columns.
"""

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path

from tests.simulate.compare import POLICIES, Run, describe_runs, render_table, run_policies
from tests.simulate.plots import NoPlots, write_plots
from tests.simulate.targets import print_targets
from tests.simulate.workload import Shape, draw_workload, read_trace


def parse_arguments(argv: Sequence[str]) -> argparse.Namespace:
    usual = Shape()
    parser = argparse.ArgumentParser(
        prog="./dev simulate", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--nodes", type=int, default=usual.nodes)
    parser.add_argument("--models", type=int, default=usual.models)
    parser.add_argument("--zipf", type=float, default=usual.zipf, help="exponent of the popularity of models")
    parser.add_argument("--weights", type=float, nargs="+", default=list(usual.weights), help="one for each tenant")
    parser.add_argument("--shares", type=float, nargs="+", default=[], help="of each tenant in the jobs; all alike")
    parser.add_argument("--jobs", type=int, default=usual.jobs)
    parser.add_argument("--arrivals", choices=["poisson", "backlog", "bursts"], default=usual.arrivals)
    parser.add_argument("--load", type=float, default=usual.load, help="GPU-seconds per second and node, without loads")
    parser.add_argument("--run-s", type=float, default=usual.run_s, help="mean GPU-seconds of a job")
    parser.add_argument("--load-s", type=float, nargs=2, default=list(usual.load_s), help="range of times to load")
    parser.add_argument("--model-gb", type=float, nargs=2, default=list(usual.size_gb), help="range of sizes")
    parser.add_argument("--vram-gb", type=float, default=usual.vram_gb, help="memory of each node")
    parser.add_argument("--trace", type=Path, help="jobs from a file of JSON lines or a CSV file instead")
    parser.add_argument("--bound-s", type=float, default=30.0, help="SCHEDULER_WARM_BOUND_S")
    parser.add_argument("--policies", nargs="+", choices=list(POLICIES), default=list(POLICIES))
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2, 3])
    parser.add_argument("--least", action="store_true", help="compute a lower bound of loads, which takes a while")
    parser.add_argument("--out", type=Path, help="folder for results.json and plots")
    return parser.parse_args(argv)


def build_shape(given: argparse.Namespace) -> Shape:
    return Shape(
        nodes=given.nodes,
        models=given.models,
        zipf=given.zipf,
        weights=tuple(given.weights),
        shares=tuple(given.shares),
        jobs=given.jobs,
        arrivals=given.arrivals,
        load=given.load,
        run_s=given.run_s,
        load_s=tuple(given.load_s),
        size_gb=tuple(given.model_gb),
        vram_gb=given.vram_gb,
    )


def write_results(out: Path, runs: Sequence[Run]) -> None:
    out.mkdir(parents=True, exist_ok=True)
    (out / "results.json").write_text(json.dumps(describe_runs(runs), indent=2) + "\n")
    print(f"wrote {out / 'results.json'}")
    try:
        for path in write_plots(out, [run for run in runs if run.seed == runs[0].seed]):
            print(f"wrote {path}")
    except NoPlots as missing:
        print(missing, file=sys.stderr)


def main(argv: Sequence[str]) -> int:
    if argv[:1] == ["targets"]:
        print_targets()
        return 0
    given = parse_arguments(argv)
    shape = build_shape(given)
    seeds = given.seeds if given.trace is None else given.seeds[:1]
    runs: list[Run] = []
    try:
        for seed in seeds:
            workload = draw_workload(shape, seed=seed) if given.trace is None else read_trace(given.trace, shape)
            runs += run_policies(workload, given.policies, seed=seed, bound_s=given.bound_s, with_least=given.least)
    except (OSError, ValueError) as wrong:
        print(f"./dev simulate: {wrong}", file=sys.stderr)
        return 2
    print(render_table(runs))
    if given.out is not None:
        write_results(given.out, runs)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
