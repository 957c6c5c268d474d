"""Decides when a node is at fault, because different jobs failed on it. Pure: no I/O, no clock."""

from collections.abc import Sequence
from typing import NamedTuple
from uuid import UUID

from contracts.scheduler.attempts import FinishAttempt, Outcome

MIN_TENANTS = 2  # jobs of a single tenant prove nothing, because the tenant may make them fail


class FailedJob(NamedTuple):
    """A failed job on a node that has not completed any job since that failure.

    Attributes:
        has_succeeded: whether the job succeeded on another node.
    """

    job_id: UUID
    tenant_id: UUID
    has_succeeded: bool


def is_node_failure(ending: FinishAttempt) -> bool:
    """Whether the node failed or died during the attempt. Running out of memory is not a node failure."""
    return ending.outcome is Outcome.NODE_FAULT and (ending.node_failed or ending.node_died)


def is_at_fault(failures: Sequence[FailedJob], *, after_jobs: int) -> bool:
    """Whether a node is at fault and not the jobs that failed on it.

    At least ``after_jobs`` jobs must have failed on it. In addition, these jobs must belong to several tenants, or at
    least ``after_jobs`` of them must have succeeded on other nodes.

    Args:
        failures: different jobs that failed on the node since it last completed one.
        after_jobs: required number of jobs; 0: a node is never at fault.
    """
    if after_jobs == 0 or len(failures) < after_jobs:
        return False
    tenants = {failure.tenant_id for failure in failures}
    return len(tenants) >= MIN_TENANTS or sum(failure.has_succeeded for failure in failures) >= after_jobs
