"""Batches: each submission has its own outcome, and a repeated request returns the same jobs."""

import asyncio
from time import monotonic
from typing import Any

import httpx
import pytest

from contracts.auth.tiers import Tier
from contracts.scheduler.submissions import SubmitJob
from contracts.scheduler.usage import QuotaExceeded
from contracts.wire.errors import Unavailable
from tests.integration.gateway.conftest import ALICE, Gateway
from tests.kit.scripted import Script
from tests.kit.scripted_auth import UNLIMITED
from tests.kit.waiting import until


def prompts(count: int) -> list[dict[str, Any]]:
    return [{"prompt": f"picture {n}"} for n in range(count)]


async def send(gateway: Gateway, jobs: Any, key: str | None = None) -> httpx.Response:
    headers = ALICE | ({"Idempotency-Key": key} if key else {})
    return await gateway.http.post("/api/v1/jobs/batch", headers=headers, json={"jobs": jobs})


def quota_of(script: Script, left: int) -> None:
    """Make the scheduler accept this many jobs and refuse further ones with QuotaExceeded."""
    accepted = 0

    def admit(_: SubmitJob) -> None:
        nonlocal accepted
        if accepted == left:
            raise QuotaExceeded(limit=10, left=0, images=1, advice="Wait", retry_after_s=60)
        accepted += 1

    script.scheduler.before_submit = admit


async def test_batch_items_have_their_own_results_in_order(gateway: Gateway, script: Script) -> None:
    bad_graph = {"1": {"class_type": 5, "inputs": {}}}
    answer = await send(
        gateway, [{"prompt": "a"}, {"prompt": "b", "steps": 999}, {"workflow": bad_graph}, 7, *prompts(2)]
    )
    assert answer.status_code == 200, answer.text
    items = answer.json()["jobs"]
    assert [(item["index"], item["status"]) for item in items] == [
        (0, 201),
        (1, 422),
        (2, 422),
        (3, 422),
        (4, 201),
        (5, 201),
    ]
    assert [item["problem"] and item["problem"]["code"] for item in items] == [
        None, "request.invalid", "workflow.invalid", "request.invalid", None, None,
    ]  # fmt: skip
    pointers = [item["problem"]["errors"][0]["pointer"] for item in items[1:4]]
    assert pointers == ["/jobs/1/steps", "/jobs/2/workflow/1", "/jobs/3"]
    made = [item["job"]["job_id"] for item in items if item["job"]]
    assert sorted(made) == sorted(str(job_id) for job_id in script.scheduler.jobs)
    by_id = {str(asked.job_id): asked.graph["positive"]["inputs"]["text"] for asked in script.scheduler.submits}
    assert [by_id[job_id] for job_id in made] == ["a", "picture 0", "picture 1"]
    assert answer.headers["x-quota-remaining"] == "7"  # the quota after the last item
    assert "location" not in answer.headers


async def test_batch_accepts_as_many_jobs_as_the_quota_allows(gateway: Gateway, script: Script) -> None:
    quota_of(script, 3)
    items = (await send(gateway, prompts(10))).json()["jobs"]
    assert sorted(item["status"] for item in items) == [201] * 3 + [429] * 7
    assert {item["problem"]["code"] for item in items if item["problem"]} == {"quota.images_exceeded"}


async def test_repeated_batch_with_the_same_key_returns_the_same_jobs(gateway: Gateway, script: Script) -> None:
    batch = [{"steps": 0, "prompt": "refused"}, *prompts(4)]
    first = await send(gateway, batch, "k1")
    again = await send(gateway, [dict(reversed(one.items())) for one in batch], "k1")
    assert "idempotent-replayed" not in first.headers
    assert again.headers["idempotent-replayed"] == "true"
    ids = [[item["job"] and item["job"]["job_id"] for item in answer.json()["jobs"]] for answer in (first, again)]
    assert ids[0] == ids[1]
    assert [item["replayed"] for item in again.json()["jobs"]] == [False, True, True, True, True]
    assert len(script.scheduler.jobs) == 4


async def test_refused_batch_items_are_retried_on_repetition(gateway: Gateway, script: Script) -> None:
    quota_of(script, 2)
    first = await send(gateway, prompts(4), "k2")
    script.scheduler.before_submit = lambda _: None
    again = await send(gateway, prompts(4), "k2")
    assert [item["status"] for item in again.json()["jobs"]] == [201] * 4
    assert [item["replayed"] for item in again.json()["jobs"]] == [
        item["status"] == 201 for item in first.json()["jobs"]
    ]
    assert "idempotent-replayed" not in again.headers


@pytest.mark.parametrize(
    "changed", [prompts(3), prompts(5), [*prompts(3), {"prompt": "x"}], [{"prompt": "x"}, *prompts(3)]]
)
async def test_reused_key_with_a_different_batch_creates_nothing(
    gateway: Gateway, script: Script, changed: Any
) -> None:
    await send(gateway, prompts(4), "k3")
    answer = await send(gateway, changed, "k3")
    assert (answer.status_code, answer.json()["code"]) == (422, "idempotency.key_reused")
    assert len(script.scheduler.jobs) == 4


async def test_reused_key_with_a_different_batch_creates_nothing_after_a_refused_first_item(
    gateway: Gateway, script: Script
) -> None:
    refused = {"steps": 0, "prompt": "refused"}
    await send(gateway, [refused, *prompts(2)], "k5")
    answer = await send(gateway, [refused, *prompts(3)], "k5")
    assert (answer.status_code, answer.json()["code"]) == (422, "idempotency.key_reused")
    assert len(script.scheduler.jobs) == 2


async def test_outage_during_one_batch_item_fails_only_that_item(gateway: Gateway, script: Script) -> None:
    """The response lists the accepted jobs, so that the client does not submit them again."""

    def admit(asked: SubmitJob) -> None:
        if asked.labels:
            raise Unavailable(service="scheduler", retry_after_s=1)

    script.scheduler.before_submit = admit
    answer = await send(gateway, [{"prompt": "b", "labels": {"n": "1"}}, *prompts(2)])
    assert answer.status_code == 200, answer.text
    items = answer.json()["jobs"]
    assert [(item["status"], item["job"] is None) for item in items] == [(503, True), (201, False), (201, False)]
    assert items[0]["problem"]["code"] == "service.unavailable"


@pytest.mark.parametrize(
    "body", [{}, [], {"jobs": []}, {"jobs": {}}, {"jobs": prompts(101)}, {"jobs": prompts(1), "x": 1}]
)
async def test_malformed_batch_is_refused_as_a_whole(shared_gateway: Gateway, shared_script: Script, body: Any) -> None:
    answer = await shared_gateway.http.post("/api/v1/jobs/batch", headers=ALICE, json=body)
    assert (answer.status_code, answer.json()["code"]) == (422, "request.invalid")
    assert not shared_script.scheduler.submits


async def test_batch_accepts_a_hundred_items_within_the_workflow_body_limit(gateway: Gateway, script: Script) -> None:
    padding = "x" * 20_000
    answer = await send(gateway, [{"prompt": padding, "labels": {"n": str(n)}} for n in range(100)])
    assert {item["status"] for item in answer.json()["jobs"]} == {201}
    assert [item["job"]["labels"]["n"] for item in answer.json()["jobs"]] == [str(n) for n in range(100)]
    large = await gateway.http.post(
        "/api/v1/jobs/batch", headers=ALICE | {"Content-Type": "application/json"}, content=b" " * (8 << 20) + b"{}"
    )
    assert (large.status_code, large.json()["code"]) == (413, "request.too_large")
    assert len(script.scheduler.jobs) == 100


@pytest.mark.parametrize("key", [None, "k4"])
async def test_batch_is_refused_as_a_whole_without_a_scheduler(
    gateway: Gateway, script: Script, key: str | None
) -> None:
    await script.scheduler_bus.stop()
    answer = await send(gateway, [{"prompt": "a", "model": "m"}] * 5, key)
    assert (answer.status_code, answer.json()["code"]) == (503, "service.unavailable")
    assert int(answer.headers["retry-after"]) >= 1


async def test_malformed_idempotency_key_of_a_batch_is_refused(gateway: Gateway, script: Script) -> None:
    answer = await send(gateway, prompts(1), "a b")
    assert (answer.status_code, answer.json()["code"]) == (400, "idempotency.key_malformed")
    assert not script.scheduler.submits


async def test_wrong_method_on_the_batch_path_is_answered_with_405_and_allows_only_post(gateway: Gateway) -> None:
    answer = await gateway.http.put("/api/v1/jobs/batch", headers=ALICE, json={})
    assert (answer.status_code, answer.headers["allow"]) == (405, "POST")
    other = await gateway.http.put("/api/v1/jobs/bbbbb", headers=ALICE, json={})
    assert (other.status_code, other.headers["allow"]) == (405, "GET, DELETE")


async def limited(gateway: Gateway, script: Script, requests: int) -> None:
    """Limit all users to this many requests per minute, and wait until the gateway applies the limit."""
    limits = UNLIMITED.model_copy(update={"requests_per_minute": requests})
    script.auth.user(script.alice)
    await script.publish_change(script.auth.change_tier(Tier.PRO, limits))

    async def known() -> bool:
        answer = await gateway.http.get("/api/v1/models", headers=ALICE)
        return answer.headers.get_list("x-ratelimit-limit") == [str(requests)]

    await until(known)


async def test_each_submission_of_a_batch_counts_as_a_request(gateway: Gateway, script: Script) -> None:
    await limited(gateway, script, 4)  # one token every 15 s, so that none is added meanwhile
    first = await send(gateway, prompts(2))
    assert (first.status_code, first.headers["x-ratelimit-remaining"]) == (200, "2")
    assert first.headers.get_list("ratelimit-policy") == ['"write";q=4;w=60']
    second = await send(gateway, prompts(4))
    assert (second.status_code, second.json()["code"]) == (429, "rate.exceeded")
    assert int(second.headers["retry-after"]) == int(second.headers["x-ratelimit-reset"]) >= 10
    assert second.headers["x-ratelimit-remaining"] == "1"  # the refused request itself counts
    assert len(script.scheduler.jobs) == 2
    third = await send(gateway, prompts(1))
    assert (third.status_code, third.headers["x-ratelimit-remaining"]) == (200, "0")
    alone = await gateway.http.post("/api/v1/jobs", headers=ALICE, json={"prompt": "a"})
    assert alone.status_code == 429
    assert len(script.scheduler.jobs) == 3


async def test_concurrent_batches_stay_within_the_request_rate_limit(gateway: Gateway, script: Script) -> None:
    await limited(gateway, script, 60)
    began = monotonic()
    answers = await asyncio.gather(*[send(gateway, prompts(10)) for _ in range(12)])
    refilled = monotonic() - began  # one token per second
    passed = [answer for answer in answers if answer.status_code == 200]
    assert {answer.status_code for answer in answers} == {200, 429}
    assert len(script.scheduler.jobs) == 10 * len(passed)
    assert 40 <= len(script.scheduler.jobs) <= 60 + refilled


async def test_batch_larger_than_the_rate_limit_is_refused_for_good(gateway: Gateway, script: Script) -> None:
    await limited(gateway, script, 5)
    answer = await send(gateway, prompts(6))
    assert (answer.status_code, answer.json()["code"]) == (422, "batch.too_large")
    assert "6 jobs" in answer.json()["detail"]
    assert "retry-after" not in answer.headers
    assert not script.scheduler.submits
    assert (await send(gateway, prompts(4))).status_code == 200


async def test_repeated_batch_counts_again_for_the_rate_limit(gateway: Gateway, script: Script) -> None:
    await limited(gateway, script, 4)
    codes = [(await send(gateway, prompts(2), "counted")).status_code for _ in range(3)]
    assert codes == [200, 200, 429]
    assert len(script.scheduler.jobs) == 2


@pytest.mark.parametrize("body", [{"jobs": prompts(101)}, {"jobs": 7}, {"jobs": []}])
async def test_malformed_batch_counts_as_one_request(gateway: Gateway, script: Script, body: Any) -> None:
    await limited(gateway, script, 10)
    answer = await gateway.http.post("/api/v1/jobs/batch", headers=ALICE, json=body)
    assert (answer.status_code, answer.headers["x-ratelimit-remaining"]) == (422, "9")


async def test_number_of_errors_in_a_batch_response_is_bounded(gateway: Gateway) -> None:
    broken = {str(n): {"class_type": 5, "inputs": {}} for n in range(60)}
    items = (await send(gateway, [{"workflow": broken}] * 50)).json()["jobs"]
    assert [len(item["problem"]["errors"]) for item in items] == [4] * 50
    alone = await gateway.http.post("/api/v1/jobs", headers=ALICE, json={"workflow": broken})
    assert len(alone.json()["errors"]) == 60


async def test_large_batch_items_give_the_same_results_as_single_submissions(gateway: Gateway, script: Script) -> None:
    text = {"1": {"class_type": "A", "inputs": {"text": "x" * 9_000}}}
    bad = {"1": {"class_type": 5, "inputs": {}}}
    items = (await send(gateway, [{"workflow": text}, {"workflow": bad}, {"steps": 0}] * 10, "large")).json()["jobs"]
    assert [item["status"] for item in items] == [201, 422, 422] * 10
    assert items[1]["problem"]["errors"][0]["pointer"] == "/jobs/1/workflow/1"
    again = (await send(gateway, [{"workflow": text}, {"workflow": bad}, {"steps": 0}] * 10, "large")).json()["jobs"]
    assert [item["replayed"] for item in again] == [True, False, False] * 10
    assert len(script.scheduler.jobs) == 10
