"""The daily image quota is exact under concurrency, and graphs beyond the limits of their tenant are refused."""

import asyncio
from typing import Any
from uuid import UUID, uuid4

import pytest

from contracts.scheduler.attempts import Outcome
from contracts.scheduler.jobs import JobState, JobWarning
from contracts.scheduler.outputs import Output, OutputKind, OutputSource
from contracts.scheduler.submissions import SubmitReply
from contracts.wire.errors import RefusalDetails, RelayedRefusal
from tests.integration.scheduler.conftest import COMMON, Node, World, build_graph

PICTURE = Output(
    id=uuid4(),
    node_id="9",
    name="a.png",
    kind=OutputKind.IMAGE,
    content_type="image/png",
    size_bytes=1,
    sha256="0" * 64,
    key="images",
)


async def refused(world: World, tenant: UUID, **fields: Any) -> RefusalDetails:
    with pytest.raises(RelayedRefusal) as relayed:
        await world.submit(tenant, **fields)
    return relayed.value.details


async def claims(world: World, tenant: UUID, jobs: int) -> list[tuple[Node, Any]]:
    """Submit jobs of a tenant and claim each on its own node."""
    nodes = [await world.add_node() for _ in range(jobs)]
    for _ in range(jobs):
        await world.submit_job(tenant)
    return [(node, (await node.claim_attempt()).ref) for node in nodes]


async def test_concurrent_reservations_never_exceed_the_daily_quota(world: World) -> None:
    tenant = world.add_tenant(images_per_day=20)
    running = await claims(world, tenant, 10)  # one image is reserved for each
    answers = await asyncio.gather(*(node.reserve(ref, 35) for node, ref in running))
    granted = [answer.images for answer in answers]
    assert all(answer.applied for answer in answers)
    assert sorted(granted) == [*[1] * 9, 11]
    assert await world.count_charged_images(tenant) == 20
    assert (await refused(world, tenant)).code == "quota.images_exceeded"
    for (node, ref), images in zip(running, granted, strict=True):
        assert await node.finish(ref, images=images)
    assert await world.count_charged_images(tenant) == 20


async def test_repeated_reservation_changes_nothing(world: World) -> None:
    tenant = world.add_tenant(images_per_day=20)
    ((node, ref),) = await claims(world, tenant, 1)
    first = await asyncio.gather(*(node.reserve(ref, 7) for _ in range(5)))
    assert {answer.images for answer in first} == {7}
    assert (await node.reserve(ref, 3)).images == 7
    assert await world.count_charged_images(tenant) == 7
    assert await node.finish(ref, images=4)
    assert await world.count_charged_images(tenant) == 4
    assert (await world.read_job(tenant, ref.job_id)).images == 4


async def test_tenant_without_a_quota_may_reserve_any_number_of_images(world: World) -> None:
    tenant = world.add_tenant()
    ((node, ref),) = await claims(world, tenant, 1)
    assert (await node.reserve(ref, 5_000)).images == 5_000
    assert await node.finish(ref, images=5_000)
    assert await world.count_charged_images(tenant) == 5_000


async def test_only_the_lease_holder_can_reserve_images(world: World) -> None:
    tenant = world.add_tenant(images_per_day=20)
    ((node, ref),) = await claims(world, tenant, 1)
    stranger = await world.add_node()
    for asking, asked in ((stranger, ref), (node, ref.model_copy(update={"lease_token": uuid4()}))):
        answer = await asking.reserve(asked, 9)
        assert (answer.applied, answer.images) == (False, 0)
    assert await world.count_charged_images(tenant) == 1
    assert await node.finish(ref)
    assert not (await node.reserve(ref, 9)).applied


async def test_cancelled_job_cannot_reserve_images(world: World) -> None:
    tenant = world.add_tenant(images_per_day=20)
    ((node, ref),) = await claims(world, tenant, 1)
    await world.cancel(tenant, ref.job_id)
    assert not (await node.reserve(ref, 9)).applied
    assert await node.finish(ref, Outcome.CANCELLED)
    assert await world.count_charged_images(tenant) == 0


async def test_attempt_is_charged_at_most_its_reserved_images(world: World) -> None:
    tenant = world.add_tenant(images_per_day=20)
    ((node, ref),) = await claims(world, tenant, 1)
    assert await node.finish(ref, images=345)
    assert await world.count_charged_images(tenant) == 1
    assert (await world.read_job(tenant, ref.job_id)).images == 1


async def test_next_attempt_inherits_the_image_reservation(world: World) -> None:
    tenant = world.add_tenant(images_per_day=20)
    ((node, ref),) = await claims(world, tenant, 1)
    assert (await node.reserve(ref, 7)).images == 7
    assert await node.finish(ref, Outcome.NODE_FAULT)
    other = await world.add_node()
    again = await other.claim_attempt()
    assert (again.images, again.frames_per_image) == (7, 16)
    assert await other.finish(again.ref, images=7)


async def test_warnings_of_an_attempt_are_shown_with_the_job(world: World) -> None:
    tenant = world.add_tenant()
    ((node, ref),) = await claims(world, tenant, 1)
    warning = JobWarning(code="quota.images_exceeded", message="2 of 3 outputs were not stored.")
    assert await node.finish(ref, outputs=(PICTURE,), warnings=(warning,))
    job = await world.read_job(tenant, ref.job_id)
    assert (job.state, job.warnings) == (JobState.SUCCEEDED, (warning,))


async def test_job_without_outputs_succeeds_with_a_warning(world: World) -> None:
    tenant = world.add_tenant()
    ((node, ref),) = await claims(world, tenant, 1)
    silent = JobWarning(code="job.node_without_outputs", message="Node 2 left nothing.")
    assert await node.finish(ref, images=0, warnings=(silent,))
    job = await world.read_job(tenant, ref.job_id)
    assert (job.state, job.outputs) == (JobState.SUCCEEDED, ())
    assert [warning.code for warning in job.warnings] == ["job.no_outputs", "job.node_without_outputs"]


async def test_job_without_outputs_fails_if_the_submission_requires_outputs(world: World) -> None:
    tenant = world.add_tenant()
    node = await world.add_node()
    empty, full = [await world.submit_job(tenant, fail_without_outputs=True) for _ in range(2)]
    assert await node.finish((await node.claim_attempt()).ref, images=0)
    assert await node.finish((await node.claim_attempt()).ref, outputs=(PICTURE,))
    failed, completed = await world.read_job(tenant, empty), await world.read_job(tenant, full)
    assert (failed.state, failed.attempt, failed.images) == (JobState.FAILED, 1, 0)
    assert failed.error is not None
    assert failed.error.code == "job.no_outputs"
    assert (completed.state, completed.outputs, completed.warnings) == (JobState.SUCCEEDED, (PICTURE,), ())


async def test_output_that_is_a_value_is_stored_with_its_value(world: World) -> None:
    tenant = world.add_tenant()
    ((node, ref),) = await claims(world, tenant, 1)
    value = {"b": [1, 2.5, None, True], "a": "é"}
    output = PICTURE.model_copy(
        update={"kind": OutputKind.TEXT, "source": OutputSource.VALUE, "key": "stats", "position": 3, "value": value}
    )
    assert await node.finish(ref, outputs=(output,))
    assert (await world.read_job(tenant, ref.job_id)).outputs == (output,)
    assert (await world.list_events(tenant, ref.job_id))[-1].outputs == (output,)


async def test_tenants_of_a_quota_group_share_the_daily_images(world: World) -> None:
    await world.add_node()
    group = uuid4()
    tenants = [world.add_tenant(images_per_day=10) for _ in range(3)]
    world.system.auth.groups.update(dict.fromkeys(tenants, group))
    submits = [world.submit(tenant) for _ in range(10) for tenant in tenants]
    answers = await asyncio.gather(*submits, return_exceptions=True)
    accepted = [answer for answer in answers if isinstance(answer, SubmitReply)]
    codes = {answer.details.code for answer in answers if isinstance(answer, RelayedRefusal)}
    assert (len(accepted), codes) == (10, {"quota.images_exceeded"})
    assert sum([await world.count_charged_images(tenant) for tenant in tenants]) == 10
    assert (await refused(world, tenants[0])).code == "quota.images_exceeded"


async def test_reserved_images_count_for_the_whole_quota_group(world: World) -> None:
    group, first, second = uuid4(), world.add_tenant(images_per_day=10), world.add_tenant(images_per_day=10)
    world.system.auth.groups.update({first: group, second: group})
    running = [*await claims(world, first, 2), *await claims(world, second, 2)]
    answers = await asyncio.gather(*(node.reserve(ref, 10) for node, ref in running))
    assert sorted(answer.images for answer in answers) == [1, 1, 1, 7]
    for (node, ref), answer in zip(running, answers, strict=True):
        assert await node.finish(ref, images=answer.images)
    assert await world.count_charged_images(first) + await world.count_charged_images(second) == 10


async def test_submit_is_refused_when_the_daily_gpu_seconds_are_used_up(world: World) -> None:
    tenant = world.add_tenant(gpu_seconds_per_day=10)
    ((node, ref),) = await claims(world, tenant, 1)
    assert await node.finish(ref, gpu_seconds=9)
    await world.submit_job(tenant)
    given = await node.claim_attempt()
    assert await node.finish(given.ref, Outcome.FAILED, gpu_seconds=2)
    for limit in (10, 11, 0):  # 11 are used
        await world.change_limits(tenant, gpu_seconds_per_day=limit)
        refusal = await refused(world, tenant)
        assert (refusal.code, refusal.retry_after_s is not None) == ("quota.gpu_seconds_exceeded", True)
    await world.change_limits(tenant, gpu_seconds_per_day=12)
    await world.submit_job(tenant)


async def test_job_without_images_is_accepted_when_the_image_quota_is_used_up(world: World) -> None:
    tenant = world.add_tenant(images_per_day=1)
    await world.add_node()
    await world.submit_job(tenant)
    assert (await refused(world, tenant)).code == "quota.images_exceeded"
    raw = build_graph(COMMON)
    raw["9"] = {"class_type": "SaveText", "inputs": {"text": "a text"}}
    assert (await world.submit(tenant, graph=raw)).job.images == 0
    assert await world.count_charged_images(tenant) == 1


async def test_run_time_is_limited_by_the_tier(world: World) -> None:
    tenant, node = world.add_tenant(run_seconds=60), await world.add_node()
    refusal = await refused(world, tenant, run_within_seconds=61)
    assert (refusal.code, "60" in refusal.message) == ("job.run_time_too_long", True)
    for asked, given in ((None, 60), (60, 60), (5, 5)):
        await world.submit_job(tenant, run_within_seconds=asked)
        claimed = await node.claim_attempt()
        assert claimed.run_within_s == given
        assert await node.finish(claimed.ref)


@pytest.mark.parametrize(
    ("limits", "latent", "code"),
    [
        ({"graph_nodes": 3}, {"batch_size": 1}, "too_many_nodes"),
        ({"graph_pixels": 1_000_000}, {"batch_size": 16, "width": 512, "height": 512}, "graph_too_large"),
        ({"graph_text_bytes": 10}, {"batch_size": 1}, "too_much_text"),
        ({"graph_pixels": 1_000_000}, {"batch_size": ["8", 0]}, "size_by_link"),
        ({"images_per_day": 10}, {"batch_size": ["8", 0]}, "size_by_link"),
    ],
)
async def test_graph_that_exceeds_a_limit_of_the_tier_is_refused(
    world: World, limits: dict[str, Any], latent: dict[str, Any], code: str
) -> None:
    await world.add_node()
    raw = build_graph(COMMON) | {"8": {"class_type": "Guess", "inputs": {}}}
    raw["2"]["inputs"] = latent
    await world.submit_job(world.add_tenant(), graph=raw)
    refusal = await refused(world, world.add_tenant(**limits), graph=raw)
    assert refusal.code == "workflow.invalid"
    assert [error.code for error in refusal.errors] == [code]


async def test_unknown_batch_size_reserves_the_maximum_of_its_class(world: World) -> None:
    tenant = world.add_tenant()
    await world.add_node()
    raw = build_graph(COMMON) | {"8": {"class_type": "Guess", "inputs": {}}}
    raw["2"]["inputs"]["batch_size"] = ["8", 0]
    await world.submit_job(tenant, graph=raw)
    assert await world.count_charged_images(tenant) == 4096


async def test_limits_apply_while_auth_is_unavailable(world: World) -> None:
    tenant = world.add_tenant(graph_nodes=3, run_seconds=60)
    await world.add_node()
    assert (await refused(world, tenant)).errors[0].code == "too_many_nodes"
    await world.system.auth.stop()
    try:
        assert (await refused(world, tenant)).errors[0].code == "too_many_nodes"
        assert (await refused(world, tenant, run_within_seconds=61)).code == "job.run_time_too_long"
    finally:
        await world.system.auth.start()
