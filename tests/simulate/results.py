"""Figures of a run."""

from collections.abc import Sequence
from statistics import fmean
from typing import NamedTuple

from tests.simulate.fleet import Ledger
from tests.simulate.workload import Workload

WINDOW_S = 600.0  # length of the windows in which the shares of tenants are compared


class Waits(NamedTuple):
    """Seconds from submission to start."""

    p50: float
    p99: float
    longest: float


class Figures(NamedTuple):
    makespan_s: float
    running: float
    busy: float
    loads: int
    swaps: int
    waits: Waits
    waits_by_tenant: dict[str, Waits]
    jain: float | None
    shares: dict[str, float]


def measure(workload: Workload, ledger: Ledger) -> Figures:
    submissions = workload.submissions
    waits = [start - one.at for start, one in zip(ledger.starts, submissions, strict=True)]
    by_tenant: dict[str, list[float]] = {tenant.name: [] for tenant in workload.tenants}
    for wait, one in zip(waits, submissions, strict=True):
        by_tenant[workload.tenants[one.tenant].name].append(wait)
    makespan_s = max(ledger.ends)
    capacity_s = makespan_s * len(workload.vram_gb)
    run_s, load_s = sum(one.run_s for one in submissions), sum(ledger.loads)
    return Figures(
        makespan_s=makespan_s,
        running=run_s / capacity_s,
        busy=(run_s + load_s) / capacity_s,
        loads=sum(load > 0 for load in ledger.loads),
        swaps=sum(ledger.swaps),
        waits=summarize_waits(waits),
        waits_by_tenant={name: summarize_waits(them) for name, them in by_tenant.items() if them},
        jain=compute_jain_in_windows(workload, ledger, window_s=WINDOW_S),
        shares=compute_shares(workload, ledger),
    )


def summarize_waits(waits: Sequence[float]) -> Waits:
    ordered = sorted(waits)
    return Waits(_percentile(ordered, 0.5), _percentile(ordered, 0.99), ordered[-1])


def _percentile(ordered: Sequence[float], part: float) -> float:
    return ordered[min(len(ordered) - 1, int(part * len(ordered)))]


def compute_jain(amounts: Sequence[float]) -> float:
    """Jain's fairness index: 1 if all are equal, 1/n if one has everything."""
    total = sum(amounts)
    return total**2 / (len(amounts) * sum(one**2 for one in amounts)) if total else 1.0


def list_backlogs(workload: Workload, ledger: Ledger) -> list[list[tuple[float, float]]]:
    """List the intervals in which each tenant has queued jobs."""
    changes: list[list[tuple[float, int]]] = [[] for _ in workload.tenants]
    for start, one in zip(ledger.starts, workload.submissions, strict=True):
        if start > one.at:
            changes[one.tenant] += [(one.at, 1), (start, -1)]
    found = []
    for of_tenant in changes:
        intervals, queued, since = [], 0, 0.0
        for at, change in sorted(of_tenant, key=lambda one: (one[0], -one[1])):
            if not queued:
                since = at
            queued += change
            if not queued:
                intervals.append((since, at))
        found.append(intervals)
    return found


def compute_jain_in_windows(workload: Workload, ledger: Ledger, *, window_s: float) -> float | None:
    """Compute Jain's index of GPU-seconds per weight; None if two tenants never had a backlog together.

    In each window it compares the tenants that have queued jobs throughout. Returns the mean of the windows.
    """
    windows = int(max(ledger.ends) / window_s)
    backlogged: list[set[int]] = [set() for _ in range(windows)]
    for tenant, intervals in enumerate(list_backlogs(workload, ledger)):
        for since, until in intervals:
            for window in range(-int(-since // window_s), min(windows, int(until / window_s))):
                backlogged[window].add(tenant)
    spent = [[0.0] * len(workload.tenants) for _ in range(windows)]
    for start, end, one in zip(ledger.starts, ledger.ends, workload.submissions, strict=True):
        for window in range(int(start / window_s), min(windows, int(end / window_s) + 1)):
            spent[window][one.tenant] += min(end, (window + 1) * window_s) - max(start, window * window_s)
    found = [
        compute_jain([spent[window][tenant] / workload.tenants[tenant].weight for tenant in sorted(tenants)])
        for window, tenants in enumerate(backlogged)
        if len(tenants) > 1
    ]
    return fmean(found) if found else None


def compute_shares(workload: Workload, ledger: Ledger) -> dict[str, float]:
    """Compute each tenant's part of the GPU-seconds until the first tenant has no more jobs to start."""
    last_start = [0.0] * len(workload.tenants)
    for start, one in zip(ledger.starts, workload.submissions, strict=True):
        last_start[one.tenant] = max(last_start[one.tenant], start)
    until = min(last_start)
    spent = [0.0] * len(workload.tenants)
    for start, end, one in zip(ledger.starts, ledger.ends, workload.submissions, strict=True):
        spent[one.tenant] += max(0.0, min(end, until) - start)
    total = sum(spent) or 1.0
    return {tenant.name: amount / total for tenant, amount in zip(workload.tenants, spent, strict=True)}
