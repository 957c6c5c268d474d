"""Runs several policies on the same workload and shows their figures side by side."""

from collections.abc import Sequence
from functools import partial
from statistics import median
from typing import Any, NamedTuple

from tests.simulate.fleet import Fleet, Ledger
from tests.simulate.other_policies import Exhaustive, FirstComeFirstServed, LeastLoaded, Pressure, RoundRobin
from tests.simulate.results import Figures, measure
from tests.simulate.scheduler_policy import SchedulerPolicy
from tests.simulate.swap_bound import bound_loads
from tests.simulate.workload import Workload

POLICIES = {
    policy.name: policy
    for policy in (SchedulerPolicy, FirstComeFirstServed, RoundRobin, LeastLoaded, Pressure, Exhaustive)
}


class Run(NamedTuple):
    """One policy on one workload.

    Attributes:
        least_loads: no schedule that starts each job as early as this one did needs fewer loads; None: not computed.
    """

    policy: str
    seed: int
    workload: Workload
    ledger: Ledger
    figures: Figures
    least_loads: int | None


def run_policies(
    workload: Workload, policies: Sequence[str], *, seed: int, bound_s: float, with_least: bool = False
) -> list[Run]:
    runs = []
    for name in policies:
        build = partial(SchedulerPolicy, bound_s=bound_s) if name == SchedulerPolicy.name else POLICIES[name]
        ledger = Fleet(workload).run(build)
        least = bound_loads(workload, ledger.starts) if with_least and name == SchedulerPolicy.name else None
        runs.append(Run(name, seed, workload, ledger, measure(workload, ledger), least))
    return runs


def render_table(runs: Sequence[Run]) -> str:
    """Render a table with a line for each policy: medians over the seeds."""
    header = (
        "policy        swaps  loads  least  swaps/job  running  loading  p50 wait  p99 wait  longest   Jain  makespan"
    )
    lines = [header]
    for policy in dict.fromkeys(run.policy for run in runs):
        them = [run for run in runs if run.policy == policy]
        figures = [run.figures for run in them]
        jains = [one.jain for one in figures if one.jain is not None]
        leasts = [run.least_loads for run in them if run.least_loads is not None]
        swaps, jobs = median(one.swaps for one in figures), len(them[0].workload.submissions)
        lines.append(
            f"{policy:12}"
            f"{swaps:7.0f}{median(one.loads for one in figures):7.0f}"
            f"{f'{median(leasts):.0f}' if leasts else '-':>7}"
            f"{swaps / jobs:11.1%}"
            f"{median(one.running for one in figures):9.1%}{median(one.busy - one.running for one in figures):9.1%}"
            f"{median(one.waits.p50 for one in figures):9.1f}s{median(one.waits.p99 for one in figures):9.1f}s"
            f"{median(one.waits.longest for one in figures):8.0f}s"
            f"{f'{median(jains):.3f}' if jains else '-':>7}"
            f"{median(one.makespan_s for one in figures):9.0f}s"
        )
    return "\n".join(lines)


def describe_runs(runs: Sequence[Run]) -> list[dict[str, Any]]:
    """Describe runs for results.json. Times are in seconds, parts between 0 and 1."""
    return [
        {
            "policy": run.policy,
            "seed": run.seed,
            "jobs": len(run.workload.submissions),
            "nodes": len(run.workload.vram_gb),
            "makespan_s": run.figures.makespan_s,
            "utilization": {"running": run.figures.running, "loading": run.figures.busy - run.figures.running},
            "loads": run.figures.loads,
            "least_loads": run.least_loads,
            "swaps": run.figures.swaps,
            "jain": run.figures.jain,
            "waits_s": run.figures.waits._asdict(),
            "tenants": {
                tenant.name: {
                    "weight": tenant.weight,
                    "share_until_a_backlog_ends": run.figures.shares[tenant.name],
                    "waits_s": run.figures.waits_by_tenant[tenant.name]._asdict()
                    if tenant.name in run.figures.waits_by_tenant
                    else None,
                }
                for tenant in run.workload.tenants
            },
        }
        for run in runs
    ]
