"""Computes the position of a job in the order in which jobs start. Pure: no I/O, no clock.

A node that becomes free takes a job of the tenant with the least ``vtime``, which then grows by the cost of the job
divided by the tenant's weight. So the position follows from these two and from the number of jobs of each tenant.
"""

import math
from collections.abc import Sequence
from typing import NamedTuple
from uuid import UUID

EXACT = 1000  # positions up to this one take every tenant into account
MIN_COST_S = 0.01  # a job that costs nothing would not end a tenant's turn


class WaitingTenant(NamedTuple):
    """A tenant with queued jobs that is below its concurrency limit.

    Attributes:
        vtime: GPU-seconds used / weight.
        requirements: what its queued jobs need.
    """

    id: UUID
    vtime: float
    weight: float
    queued: int
    requirements: tuple[int, ...] = ()


class Rival(NamedTuple):
    """A tenant whose jobs compete for the same nodes.

    Attributes:
        cost_s: expected GPU-seconds of one of its jobs.
    """

    tenant: WaitingTenant
    cost_s: float


def count_jobs_before(
    rivals: Sequence[Rival], *, tenant_id: UUID, vtime: float, weight: float, jobs_ahead: int, cost_s: float
) -> int:
    """Count the jobs of other tenants that start before a job.

    Args:
        rivals: in the order of their ``vtime`` and id. The tenant itself is left out.
        tenant_id, vtime, weight: of the job's tenant.
        jobs_ahead: jobs of that tenant that start before this one.
        cost_s: expected GPU-seconds of each of them.
    """
    start = vtime + jobs_ahead * max(cost_s, MIN_COST_S) / weight
    count = 0
    for other, other_cost_s in rivals:
        if other.vtime > start:
            break
        if other.id == tenant_id:
            continue
        turns = (start - other.vtime) * other.weight / max(other_cost_s, MIN_COST_S)
        before = math.ceil(turns) if other.id > tenant_id else math.floor(turns) + 1  # the smaller id goes first
        count += min(other.queued, before)
    return count
