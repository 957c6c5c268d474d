"""A job that runs out of GPU memory is retried on a larger GPU, or once more after the memory was freed."""

from typing import Any
from uuid import UUID

import pytest

from contracts.scheduler.attempts import OUT_OF_MEMORY, Outcome
from contracts.scheduler.fleet import READ_FLEET, ReadFleet
from contracts.scheduler.jobs import JobError, JobState
from contracts.scheduler.nodes import NodeAction
from tests.integration.scheduler.conftest import World
from tests.integration.scheduler.operator import Operator
from tests.kit.waiting import until

SHORT_OF_MEMORY: dict[str, Any] = {
    "error": JobError(code=OUT_OF_MEMORY, message="The node ran out of memory.", node_id="3", node_class="Draw"),
    "gpu_seconds": 1.0,
}


async def known(world: World) -> None:
    """Wait until the scheduler, which caches nodes for a second, knows all nodes of the test."""

    async def are_known() -> bool:
        fleet = await world.system.bus.request(READ_FLEET, ReadFleet())
        return {node.name for node in world.nodes} <= {node.node for node in fleet.nodes}

    await until(are_known)


async def failed(world: World, tenant: UUID, job_id: UUID) -> JobError:
    """Assert that the job has failed and that no image was charged; return its error."""
    job = await world.read_job(tenant, job_id)
    assert (job.state, job.images) == (JobState.FAILED, 0)
    assert job.error is not None
    return job.error


@pytest.mark.requirement("F-44")
async def test_job_goes_to_larger_gpus_and_fails_where_the_largest_is_too_small(world: World) -> None:
    model, tenant = "large.safetensors", world.add_tenant()
    small, large, largest = [await world.add_node(model, memory_gib=gib) for gib in (24, 48, 96)]
    await known(world)
    job_id = await world.submit_job(tenant, model=model)
    given = await small.claim_attempt()
    assert not given.free_memory
    assert await small.finish(given.ref, Outcome.NODE_FAULT, **SHORT_OF_MEMORY)
    other = await world.submit_job(tenant, model=model)
    given = await small.claim_attempt()  # the first job is older, and waits for a larger GPU
    assert given.ref.job_id == other
    assert await small.finish(given.ref)
    assert await small.request_work() is None
    given = await large.claim_attempt()
    assert (given.ref.job_id, given.ref.attempt, given.free_memory) == (job_id, 2, False)
    assert await large.finish(given.ref, Outcome.NODE_FAULT, **SHORT_OF_MEMORY)
    for node in (small, large):
        assert await node.request_work() is None
    given = await largest.claim_attempt()
    assert (given.ref.job_id, given.free_memory) == (job_id, False)
    assert await largest.finish(given.ref, Outcome.NODE_FAULT, **SHORT_OF_MEMORY)
    error = await failed(world, tenant, job_id)
    assert (error.code, error.node_id, error.node_class) == (OUT_OF_MEMORY, "3", "Draw")
    assert "3 times, the last time on a GPU with 96 GiB" in error.message
    assert await world.count_charged_images(tenant) == 1  # charged for the other job


@pytest.mark.requirement("F-44")
async def test_job_is_tried_once_more_after_freeing_memory_where_no_gpu_is_larger(world: World) -> None:
    model, tenant, other = "freed.safetensors", world.add_tenant(), world.add_tenant()
    node = await world.add_node(model, memory_gib=24)
    await known(world)
    recovers, fails = [await world.submit_job(tenant, model=model) for _ in range(2)]
    first = await node.claim_attempt()
    assert await node.finish(first.ref, Outcome.NODE_FAULT, **SHORT_OF_MEMORY)
    again = await node.claim_attempt()
    assert (again.ref.job_id, again.free_memory) == (recovers, True)
    assert await node.request_work() == again.model_copy(update={"renewed": True})  # as if the reply had been lost
    assert await node.finish(again.ref)
    for _ in range(2):
        given = await node.claim_attempt()
        assert given.ref.job_id == fails
        assert await node.finish(given.ref, Outcome.NODE_FAULT, **SHORT_OF_MEMORY)
    assert "2 times, the last time on a GPU with 24 GiB" in (await failed(world, tenant, fails)).message
    await world.submit_job(other, model=model)
    last = await node.claim_attempt()
    assert not last.free_memory
    assert await node.finish(last.ref)


async def test_smaller_gpu_takes_the_job_when_the_larger_one_is_no_longer_available(world: World) -> None:
    model, tenant = "cordoned.safetensors", world.add_tenant()
    small, large = await world.add_node(model, memory_gib=24), await world.add_node(model, memory_gib=48)
    await known(world)
    job_id = await world.submit_job(tenant, model=model)
    given = await small.claim_attempt()
    assert await small.finish(given.ref, Outcome.NODE_FAULT, **SHORT_OF_MEMORY)
    assert await small.request_work() is None
    await Operator(world.system.bus).node(large.name, NodeAction.CORDON)
    found = []

    async def given_again() -> bool:
        found.append(await small.request_work())
        return found[-1] is not None

    await until(given_again)
    again = found[-1]
    assert again is not None
    assert (again.ref.job_id, again.free_memory) == (job_id, True)
    assert await small.finish(again.ref)


async def test_job_that_ran_out_of_memory_on_a_smaller_gpu_later_still_needs_more_than_the_larger_one(
    world: World,
) -> None:
    model, tenant = "growing.safetensors", world.add_tenant()
    small, large = await world.add_node(model, memory_gib=16), await world.add_node(model, memory_gib=24)
    await known(world)
    job_id = await world.submit_job(tenant, model=model)
    given = await large.claim_attempt()
    assert not given.free_memory
    assert await large.finish(given.ref, Outcome.NODE_FAULT, **SHORT_OF_MEMORY)
    given = await small.claim_attempt()
    assert (given.ref.job_id, given.free_memory) == (job_id, True)
    assert await small.finish(given.ref, Outcome.NODE_FAULT, **SHORT_OF_MEMORY)
    given = await large.claim_attempt()
    assert (given.ref.job_id, given.ref.attempt, given.free_memory) == (job_id, 3, True)
    assert await large.finish(given.ref)
