"""An event wakes one waiting request that can take the job, and no wake is lost."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from uuid import UUID, uuid4

import pytest

from scheduler.domain.placement import Warmth, rate_warmth
from scheduler.usecases.waiting_requests import WaitingRequest, WaitingRequests

SMALL, LARGE, NONE = "catalog of small nodes", "catalog of large nodes", "catalog of nodes without models"
COMMON, RARE = 1, 2
RUNNABLE = {SMALL: {COMMON}, LARGE: {COMMON, RARE}, NONE: set[int]()}
MODELS = {COMMON: frozenset({"common model"}), RARE: frozenset({"rare model"})}
LONG_S = 60.0


def can_run(digest: str, requirement: int) -> bool:
    return requirement in RUNNABLE[digest]


def rate(requirement: int, loaded: frozenset[str]) -> Warmth:
    return rate_warmth(MODELS[requirement], loaded, frozenset())


def compute_unload_cost(models: frozenset[str]) -> float:
    return float(len(models))


@dataclass
class Fleet:
    """Waiting requests of nodes. ``woken`` has the nodes whose requests should claim, in order."""

    requests: WaitingRequests = field(default_factory=lambda: WaitingRequests(can_run, rate, compute_unload_cost))
    woken: list[str] = field(default_factory=list)
    answered: list[str] = field(default_factory=list)
    tasks: dict[str, asyncio.Task[None]] = field(default_factory=dict)

    def open(
        self, node: str, digest: str = SMALL, boot_id: UUID | None = None, loaded: frozenset[str] = frozenset()
    ) -> WaitingRequest:
        """Add a request that claims."""
        request = self.requests.open_request(node, boot_id or uuid4(), loaded)
        request.digest = digest
        return request

    async def wait(
        self, node: str, digest: str = SMALL, boot_id: UUID | None = None, loaded: frozenset[str] = frozenset()
    ) -> WaitingRequest:
        """Add a request that waits; returns once it is idle."""
        request = self.open(node, digest, boot_id, loaded)
        await self.wait_again(request)
        return request

    async def wait_again(self, request: WaitingRequest) -> None:
        self.tasks[request.node] = asyncio.create_task(self._wait(request))
        await self._run_tasks()

    async def settle(self) -> list[str]:
        """Let tasks run, and return the nodes that were woken since the last call."""
        await self._run_tasks()
        woken, self.woken = self.woken, []
        return woken

    async def _run_tasks(self) -> None:
        for _ in range(5):
            await asyncio.sleep(0)

    async def _wait(self, request: WaitingRequest) -> None:
        is_woken = await self.requests.wait_for_wake(request, LONG_S)
        (self.woken if is_woken else self.answered).append(request.node)


@pytest.fixture
async def fleet() -> AsyncIterator[Fleet]:
    fleet = Fleet()
    yield fleet
    for task in fleet.tasks.values():
        task.cancel()


async def test_queued_jobs_wake_the_suitable_nodes_that_wait_longest(fleet: Fleet) -> None:
    for node, digest in (("small-1", SMALL), ("large-1", LARGE), ("small-2", SMALL), ("large-2", LARGE)):
        await fleet.wait(node, digest)
    fleet.requests.wake_for_jobs(RARE)
    assert await fleet.settle() == ["large-1"]
    fleet.requests.wake_for_jobs(COMMON, 2)
    assert await fleet.settle() == ["small-1", "small-2"]
    fleet.requests.wake_for_jobs(COMMON, 3)
    assert await fleet.settle() == ["large-2"]


async def test_event_that_comes_twice_wakes_one_node_which_claims_again_if_it_finds_nothing(fleet: Fleet) -> None:
    first, _ = await fleet.wait("1"), await fleet.wait("2")
    fleet.requests.wake_for_jobs(COMMON)
    assert await fleet.settle() == ["1"]
    fleet.requests.wake_for_jobs(COMMON)
    assert await fleet.settle() == []
    first.wake = None  # its claim found no job
    await fleet.wait_again(first)
    assert await fleet.settle() == ["1"]


async def test_node_that_may_not_take_the_job_wakes_each_other_node_once(fleet: Fleet) -> None:
    requests = [await fleet.wait(node, digest) for node, digest in (("1", SMALL), ("2", LARGE), ("3", SMALL))]
    fleet.requests.wake_for_jobs(COMMON)
    woken = []
    for request in requests:
        woken.append(await fleet.settle())
        fleet.requests.pass_on_wake(request)
        await fleet.wait_again(request)
    assert woken == [["1"], ["2"], ["3"]]
    assert await fleet.settle() == []


async def test_answered_request_passes_its_wake_up_on_to_the_next_waiting_request(fleet: Fleet) -> None:
    first, _ = await fleet.wait("1"), await fleet.wait("2")
    fleet.requests.wake_for_jobs(COMMON)
    fleet.requests.close_request(first)
    assert await fleet.settle() == ["1", "2"]


async def test_job_that_is_queued_while_all_suitable_nodes_claim_makes_them_claim_again(fleet: Fleet) -> None:
    small, large = fleet.open("small", SMALL), fleet.open("large", LARGE)
    unknown = fleet.requests.open_request("unknown", uuid4())  # its first claim has not read its catalog yet
    fleet.requests.wake_for_jobs(RARE)
    assert await fleet.requests.wait_for_wake(large, LONG_S)
    assert await fleet.requests.wait_for_wake(unknown, LONG_S)
    await fleet.wait_again(small)
    await fleet.wait_again(large)
    assert await fleet.settle() == []


async def test_polling_node_leaves_a_new_job_to_the_node_woken_for_it(fleet: Fleet) -> None:
    first = await fleet.wait("1")
    late = fleet.open("late", LARGE)
    fleet.requests.wake_for_jobs(COMMON)
    assert await fleet.settle() == ["1"]
    assert fleet.requests.skip_claimed_requirements(late, [COMMON, RARE]) == [RARE]
    assert fleet.requests.skip_claimed_requirements(first, [COMMON]) == [COMMON]
    await fleet.wait_again(late)
    fleet.requests.pass_on_wake(first)  # the node may not take the job
    assert await fleet.settle() == ["late"]
    late.wake = None  # its claim found no job
    assert fleet.requests.skip_claimed_requirements(first, [COMMON, RARE]) == [COMMON, RARE]


async def test_second_job_reaches_the_request_that_left_the_first_one_to_a_woken_node(fleet: Fleet) -> None:
    woken = await fleet.wait("woken")
    fleet.requests.wake_for_jobs(COMMON)
    assert await fleet.settle() == ["woken"]
    late, unsuitable = fleet.open("late", LARGE), fleet.open("unsuitable", NONE)
    assert fleet.requests.skip_claimed_requirements(late, [COMMON, RARE]) == [RARE]
    fleet.requests.wake_for_jobs(COMMON)  # no other node is woken for this job: the wake of this node covers it
    fleet.requests.end_wake_after_job(woken)  # it got the first job
    fleet.requests.close_request(woken)
    await fleet.wait_again(late)
    await fleet.wait_again(unsuitable)
    assert await fleet.settle() == ["late"]


async def test_wake_lasts_until_a_claim_that_began_after_the_newest_job_finds_nothing(fleet: Fleet) -> None:
    woken = await fleet.wait("woken")
    fleet.requests.wake_for_jobs(COMMON)
    assert await fleet.settle() == ["woken"]
    fleet.requests.wake_for_jobs(COMMON, 2)  # submitted during the claim
    late = fleet.open("late")
    for expected in ([], [COMMON]):
        fleet.requests.end_wake_without_job(woken)  # the claim found no job
        assert fleet.requests.skip_claimed_requirements(late, [COMMON]) == expected
        await fleet.wait_again(woken)
    assert await fleet.settle() == ["woken"]


async def test_recheck_wakes_one_node_of_each_catalog_with_work(fleet: Fleet) -> None:
    for node, digest in (("small-1", SMALL), ("large-1", LARGE), ("small-2", SMALL), ("large-2", LARGE)):
        await fleet.wait(node, digest)
    fleet.requests.wake_each_catalog([RARE])
    assert await fleet.settle() == ["large-1"]
    fleet.requests.wake_each_catalog([COMMON, RARE])
    assert await fleet.settle() == ["small-1", "large-2"]


async def test_node_that_has_loaded_the_models_of_a_job_is_woken_first_then_one_without_models(fleet: Fleet) -> None:
    for node, loaded in (("rare", MODELS[RARE]), ("none", frozenset[str]()), ("common", MODELS[COMMON])):
        await fleet.wait(node, LARGE, loaded=loaded)
    fleet.requests.wake_for_jobs(COMMON, 2)
    assert await fleet.settle() == ["common", "none"]
    fleet.requests.wake_for_jobs(COMMON, 3)
    assert await fleet.settle() == ["rare"]


async def test_idle_nodes_are_rated_by_the_warmest_suitable_one(fleet: Fleet) -> None:
    await fleet.wait("small", SMALL, loaded=MODELS[RARE])
    assert fleet.requests.rate_idle_nodes(RARE) is None
    assert fleet.requests.rate_idle_nodes(COMMON) is Warmth.COLD
    await fleet.wait("large", LARGE, loaded=MODELS[COMMON])
    assert fleet.requests.rate_idle_nodes(COMMON) is Warmth.WARM


async def test_recheck_wakes_the_node_that_has_loaded_the_models_of_a_waiting_job(fleet: Fleet) -> None:
    for node, loaded in (("rare", MODELS[RARE]), ("common", MODELS[COMMON])):
        await fleet.wait(node, LARGE, loaded=loaded)
    fleet.requests.wake_each_catalog([COMMON])
    assert await fleet.settle() == ["common"]


async def test_waiting_node_with_a_new_catalog_is_woken_for_what_it_can_run_now(fleet: Fleet) -> None:
    await fleet.wait("1", SMALL)
    await fleet.wait("2", SMALL)
    fleet.requests.set_digests({"1": LARGE})  # the other one is cordoned
    fleet.requests.wake_for_jobs(RARE)
    assert await fleet.settle() == ["1"]
    fleet.requests.wake_for_jobs(COMMON)
    assert await fleet.settle() == []
    assert fleet.requests.list_idle_nodes() == ["2"]


async def test_request_of_a_node_claims_again_once_another_request_of_the_node_is_answered(fleet: Fleet) -> None:
    earlier, _ = await fleet.wait("1"), await fleet.wait("1")
    fleet.requests.wake_for_jobs(COMMON)
    assert await fleet.settle() == ["1"]
    earlier.wake = None  # it got a job, and its executor has disconnected
    fleet.requests.close_request(earlier)
    assert await fleet.settle() == ["1"]


async def test_requests_of_a_stopping_executor_are_answered(fleet: Fleet) -> None:
    stopping = uuid4()
    await fleet.wait("1", boot_id=stopping)
    await fleet.wait("2")
    fleet.requests.end_requests_of_executor(stopping)
    await fleet.settle()
    assert fleet.answered == ["1"]
    fleet.requests.end_all_requests()
    await fleet.settle()
    assert fleet.answered == ["1", "2"]
