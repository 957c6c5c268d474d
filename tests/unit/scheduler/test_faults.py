"""Which faults end a job, move it to a larger GPU, or show that a node is at fault."""

from uuid import UUID, uuid4

import pytest

from contracts.scheduler.attempts import Outcome
from scheduler.domain.failing_nodes import FailedJob, is_at_fault
from scheduler.domain.gpu_memory import GIB, GpuOutOfMemory, to_gib
from scheduler.domain.settlement import decide_transition_cause
from scheduler.domain.states import Cause

ANN, BEN = UUID(int=1), UUID(int=2)


def failed(*tenants: UUID, succeeded: int = 0) -> list[FailedJob]:
    """Return a failed job of each tenant; the first ``succeeded`` of them have succeeded on another node."""
    return [FailedJob(uuid4(), tenant, number < succeeded) for number, tenant in enumerate(tenants)]


@pytest.mark.parametrize(
    ("failures", "after_jobs", "at_fault"),
    [
        (failed(ANN, BEN), 3, False),
        (failed(ANN, ANN, BEN), 3, True),
        (failed(*[ANN] * 50), 3, False),
        (failed(*[ANN] * 4, succeeded=2), 3, False),
        (failed(*[ANN] * 4, succeeded=3), 3, True),
        (failed(ANN, BEN, ANN, BEN), 0, False),
        (failed(ANN), 1, False),
        (failed(ANN, succeeded=1), 1, True),
    ],
)
def test_node_is_at_fault_when_jobs_of_several_tenants_or_jobs_that_succeed_elsewhere_fail_on_it(
    failures: list[FailedJob], after_jobs: int, at_fault: bool
) -> None:
    assert is_at_fault(failures, after_jobs=after_jobs) is at_fault


@pytest.mark.parametrize(
    ("fault", "cause"),
    [
        (GpuOutOfMemory(node_gib=24, earlier_faults=0, has_larger_node=True), Cause.NODE_FAULT),
        (GpuOutOfMemory(node_gib=24, earlier_faults=0, has_larger_node=False), Cause.NODE_FAULT),
        (GpuOutOfMemory(node_gib=24, earlier_faults=1, has_larger_node=True), Cause.NODE_FAULT),
        (GpuOutOfMemory(node_gib=24, earlier_faults=1, has_larger_node=False), Cause.ATTEMPTS_EXHAUSTED),
    ],
)
def test_second_out_of_memory_on_the_largest_node_fails_the_job(fault: GpuOutOfMemory, cause: Cause) -> None:
    assert decide_transition_cause(Outcome.NODE_FAULT, tries=2, max_attempts=9, memory=fault) is cause


def test_maximum_of_attempts_bounds_retries_on_larger_nodes() -> None:
    fault = GpuOutOfMemory(node_gib=24, earlier_faults=2, has_larger_node=True)
    assert (
        decide_transition_cause(Outcome.NODE_FAULT, tries=3, max_attempts=3, memory=fault) is Cause.ATTEMPTS_EXHAUSTED
    )


@pytest.mark.parametrize(("nodes", "cause"), [(0, Cause.NODE_FAULT), (1, Cause.NODE_FAULT), (2, Cause.POISONED)])
def test_failure_on_a_second_node_fails_the_job(nodes: int, cause: Cause) -> None:
    assert decide_transition_cause(Outcome.NODE_FAULT, tries=1, max_attempts=9, failed_nodes=nodes) is cause


def test_gpu_memory_is_rounded_so_that_equal_gpus_have_the_same_size() -> None:
    sizes = (25_757_220_864, 25_438_126_080, 24 * GIB)  # as an RTX 4090 and an RTX 3090 report it, and the nominal size
    assert {to_gib(size) for size in sizes} == {24}
    assert to_gib(None) == 0
