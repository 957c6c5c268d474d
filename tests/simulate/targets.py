"""The cases that the placement of jobs has to handle, with the figures that it should reach."""

from collections.abc import Iterator
from statistics import median
from typing import NamedTuple

from tests.simulate.best_schedule import find_fewest_loads
from tests.simulate.compare import Run, run_policies
from tests.simulate.fleet import Fleet
from tests.simulate.results import compute_shares
from tests.simulate.scheduler_policy import SchedulerPolicy
from tests.simulate.workload import Shape, Submission, Tenant, add_submissions, draw_workload

SEEDS = (1, 2, 3, 4, 5)
BOUND_S = 30.0
LOADS = (0.4, 0.9, 0.95)
COMPARED = ("comfyfleet", "fifo", "least-loaded", "exhaustive")


class Target(NamedTuple):
    """A figure with its description and its value per seed. Each value must be at most, or at least, the limit."""

    figure: str
    limit: float
    is_most: bool
    values: list[float]

    def render(self) -> str:
        is_met = all(value <= self.limit if self.is_most else value >= self.limit for value in self.values)
        seen = f"{median(self.values):.3g} [{min(self.values):.3g} to {max(self.values):.3g}]"
        limit = f"{'at most' if self.is_most else 'at least'} {self.limit:g}"
        return f"  {'met' if is_met else 'MISSED':8}{self.figure}: {seen}, {limit}"


def print_targets() -> None:
    """Run all cases. Prints the median and the range over the seeds."""
    print(f"SCHEDULER_WARM_BOUND_S={BOUND_S:g}, {len(SEEDS)} seeds")
    for title, targets in (
        *((f"8 nodes, 20 models, load {load:g}", check_swaps(Shape(load=load, jobs=2000))) for load in LOADS),
        ("8 nodes, 20 models, 2,000 jobs at once", check_swaps(Shape(arrivals="backlog", jobs=2000))),
        ("2 nodes, 4 models, 80 jobs of 0.35 s at once, loads of 0.15 s", check_few_nodes(run_s=0.35, load_s=0.15)),
        ("2 nodes, 4 models, 80 jobs of 1 s at once, loads of 5 s", check_few_nodes(run_s=1.0, load_s=5.0)),
        ("2 nodes, 4 models, 80 jobs of 10 s at once, loads of 15 s", check_few_nodes(run_s=10.0, load_s=15.0)),
        ("2 nodes, 4 models, 12 jobs of 10 s of two tenants at once, loads of 15 s", check_optimum()),
        ("8 nodes, weights 1, 2, 4 with 90, 5, 5 % of 10,000 jobs", check_shares()),
        ("8 nodes, 10,000 queued jobs of other tenants", check_newcomer()),
    ):
        print(title)
        for target in targets:
            print(target.render(), flush=True)


def check_swaps(shape: Shape) -> Iterator[Target]:
    """Compare with other policies, for tenants of equal weight."""
    by_seed: list[dict[str, Run]] = []
    for seed in SEEDS:
        runs = run_policies(draw_workload(shape, seed=seed), COMPARED, seed=seed, bound_s=BOUND_S, with_least=True)
        by_seed.append({run.policy: run for run in runs})
    ours = [runs["comfyfleet"] for runs in by_seed]
    fifo, least_loaded, exhaustive = ([runs[name].figures for runs in by_seed] for name in COMPARED[1:])
    swaps = [run.figures.swaps / other.swaps for run, other in zip(ours, least_loaded, strict=True)]
    yield Target("swaps / those of least-loaded", 0.5, True, swaps)
    yield Target(
        "loads / lower bound of any schedule that starts each job as early",
        1.3,
        True,
        [run.figures.loads / (run.least_loads or 1) for run in ours],
    )
    loads = [run.figures.loads / other.loads for run, other in zip(ours, exhaustive, strict=True)]
    yield Target("loads / those of a policy that ignores tenants and waits", 1.3, True, loads)
    p99s = [run.figures.waits.p99 / other.waits.p99 for run, other in zip(ours, fifo, strict=True)]
    yield Target("p99 wait / that of FIFO", 1.2, True, p99s)
    jains = [run.figures.jain for run in ours if run.figures.jain is not None]
    if jains:  # None unless several tenants have queued jobs throughout a window
        yield Target("Jain index", 0.95, False, jains)


def check_few_nodes(*, run_s: float, load_s: float) -> Iterator[Target]:
    shape = Shape(
        nodes=2, models=4, zipf=0.0, weights=(1.0,) * 3, jobs=80, arrivals="backlog", run_s=run_s, load_s=(load_s,) * 2
    )
    swaps = []
    for seed in SEEDS:
        [run] = run_policies(draw_workload(shape, seed=seed), ["comfyfleet"], seed=seed, bound_s=BOUND_S)
        swaps.append(run.figures.swaps / shape.jobs)
    yield Target("part of the jobs that change the model", 0.1, True, swaps)


def check_optimum() -> Iterator[Target]:
    """Compare with the best schedule that knows all jobs and keeps the rules. Larger cases take too long to search."""
    shape = Shape(
        nodes=2, models=4, zipf=0.0, weights=(1.0,) * 2, jobs=12, arrivals="backlog", run_spread=0.0, load_s=(15.0,) * 2
    )
    ratios = []
    for seed in SEEDS:
        workload = draw_workload(shape, seed=seed)
        [run] = run_policies(workload, ["comfyfleet"], seed=seed, bound_s=BOUND_S)
        best = find_fewest_loads(workload, bound_s=BOUND_S, at_most=run.figures.loads)
        ratios.append(run.figures.loads / best.loads)
    yield Target("loads / those of the optimum", 1.3, True, ratios)


def check_shares() -> Iterator[Target]:
    weights = (1.0, 2.0, 4.0)
    shape = Shape(weights=weights, shares=(90.0, 5.0, 5.0), jobs=10_000, arrivals="backlog")
    errors = []
    for seed in SEEDS:
        workload = draw_workload(shape, seed=seed)
        shares = compute_shares(workload, Fleet(workload).run(SchedulerPolicy)).values()
        errors += [abs(share - weight / sum(weights)) for share, weight in zip(shares, weights, strict=True)]
    yield Target("distance of a share of GPU time from that by weight", 0.02, True, errors)


def check_newcomer() -> Iterator[Target]:
    """Check how soon a new tenant's job starts, in rounds of one job on each node."""
    shape = Shape(jobs=10_000, arrivals="backlog")
    rounds = []
    for seed in SEEDS:
        at = 100.0 + seed
        workload = add_submissions(
            draw_workload(shape, seed=seed), Tenant("newcomer"), [Submission(at, 0, shape.models - 1, shape.run_s)]
        )
        ledger = Fleet(workload).run(SchedulerPolicy)
        [start] = [
            start
            for start, one in zip(ledger.starts, workload.submissions, strict=True)
            if one.tenant == len(shape.weights)
        ]
        rounds.append(sum(at < other < start for other in ledger.starts) / shape.nodes)
    yield Target("rounds until the first job of a new tenant starts", 2.0, True, rounds)
