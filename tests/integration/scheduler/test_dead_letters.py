"""Messages of executors that can never be handled are refused permanently and stored as dead letters for operators."""

import asyncio
import base64
import hashlib
import json
import sys
import threading
import time
import zlib
from collections.abc import Awaitable
from types import FrameType
from typing import Any
from uuid import UUID, uuid4

import pytest

from chassis.ids import new_id
from contracts.scheduler.attempts import FINISH_ATTEMPT, REQUEST_WORK, Outcome
from contracts.scheduler.dead_letters import LIST_DEAD_LETTERS
from contracts.scheduler.heartbeats import HEARTBEAT, REPORT_CATALOG, ReportCatalog
from contracts.scheduler.jobs import JobError, JobState
from contracts.wire.dead_letters import DeadLetter, ListDeadLetters
from contracts.wire.errors import ErrorKind, InvalidMessage, RelayedRefusal
from scheduler.domain.catalog import decode_catalog
from scheduler.store import dead_letters
from tests.integration.scheduler.conftest import Node, World
from tests.kit.calling_bus import REPLY_WITHIN_S
from tests.kit.postgres import database_with_long_timeout
from tests.kit.waiting import until

ADMIN = "0199f2b0-7c3e-7a51-9d24-5a1be0c0ffee"
MIN_STEP_S = 0.001
MIN_STEPS = 15  # decoding a whole catalog is a few calls into C, which would block the event loop


async def send(node: Node, topic, body: bytes) -> tuple[str, str]:
    """Send a raw message and return status and code of the refusal."""
    reply = await node.system.bus._client.request(topic.subject(key=node.name), body, timeout=REPLY_WITHIN_S)
    headers = reply.headers or {}
    return headers["Nats-Service-Error-Code"], headers["Nats-Service-Error"]


async def letters(node: Node, **query) -> list[DeadLetter]:
    page = await node.system.bus.request(LIST_DEAD_LETTERS, ListDeadLetters(node=node.name, **query), tenant=ADMIN)
    return list(page.letters)


def finish_of(ref, *, attempt: int | None = None, **more) -> dict[str, Any]:
    sent = ref.model_dump(mode="json") | ({} if attempt is None else {"attempt": attempt})
    return {"ref": sent, "outcome": "succeeded", "images": 1, "gpu_seconds": 1.0} | more


async def test_nul_characters_in_an_error_are_replaced(world: World) -> None:
    node, tenant = await world.add_node(), world.add_tenant()
    job_id = await world.submit_job(tenant)
    ref = (await node.claim_attempt()).ref
    error = {"code": "workflow.execution_failed", "message": "a\x00b", "node_id": "1\x00", "node_class": "C\x00"}
    body = finish_of(ref, outcome="failed", error=error)
    reply = await world.system.bus._client.request(
        FINISH_ATTEMPT.subject(key=node.name), json.dumps(body).encode(), timeout=REPLY_WITHIN_S
    )
    assert json.loads(reply.data)["applied"] is True
    job = await world.read_job(tenant, job_id)
    assert job.state is JobState.FAILED
    assert job.error == JobError(code=error["code"], message="a\ufffdb", node_id="1\ufffd", node_class="C\ufffd")
    assert await letters(node) == []


@pytest.mark.requirement("table scheduler.dead_letters")
@pytest.mark.parametrize(
    ("change", "status", "code"),
    [
        ({"attempt": 2**40}, "422", "message.invalid"),  # too large for PostgreSQL's integer
        ({"outputs": [{"id": "no uuid"}]}, "422", "message.invalid"),
        ({"outcome": "exploded"}, "422", "message.invalid"),
        ({"gpu_seconds": -1}, "422", "message.invalid"),
        ({"error": {"code": "x", "message": ["not", "text"]}}, "422", "message.invalid"),
    ],
)
async def test_invalid_finish_report_is_recorded_as_a_dead_letter(
    world: World, change: dict[str, Any], status: str, code: str
) -> None:
    node, tenant = await world.add_node(), world.add_tenant()
    job_id = await world.submit_job(tenant)
    ref = (await node.claim_attempt()).ref
    assert await send(node, FINISH_ATTEMPT, json.dumps(finish_of(ref, **change)).encode()) == (status, code)
    (letter,) = await letters(node)
    assert (letter.code, letter.tenant_id, letter.job_id) == (code, tenant, job_id)
    assert letter.subject == FINISH_ATTEMPT.subject(key=node.name)
    assert str(job_id) in letter.excerpt
    assert letter.reason
    assert await node.finish(ref, Outcome.FAILED)
    assert (await world.read_job(tenant, job_id)).state is JobState.FAILED


@pytest.mark.requirement("F-70")
@pytest.mark.parametrize(
    "body", [b"", b"\xff\xfe\x00", b"[]", b'{"ref": "\\ud800"}', b"[" * 100_000, b'{"a":' + b"9" * 5_000 + b"}"]
)
async def test_dead_letter_of_a_message_that_is_not_json_has_a_bounded_excerpt(world: World, body: bytes) -> None:
    node = await world.add_node()
    assert (await send(node, FINISH_ATTEMPT, body))[0] == "422"
    (letter,) = await letters(node)
    assert letter.size_bytes == len(body)
    assert len(letter.excerpt) <= 16 << 10
    assert "\x00" not in letter.excerpt
    assert (letter.tenant_id, letter.job_id) == (None, None)


async def test_nul_characters_are_replaced_in_heartbeats_and_refused_in_catalogs(world: World) -> None:
    node = await world.add_node()
    beat = {"boot_id": str(node.boot_id), "online": True, "catalog_digest": node.models.digest, "attempt": None}
    told = {**beat, "loaded": ["CheckpointLoaderSimple.ckpt_name=a\x00b.safetensors"], "catalog_digest": "\x00"}
    reply = await world.system.bus._client.request(
        HEARTBEAT.subject(key=node.name), json.dumps(told).encode(), timeout=REPLY_WITHIN_S
    )
    assert {"lease": "none", "catalog_wanted": True}.items() <= json.loads(reply.data).items()
    report = {"digest": "\x00", "classes_zlib": "no base64"}
    assert await send(node, REPORT_CATALOG, json.dumps(report).encode()) == ("422", "message.invalid")
    assert [letter.code for letter in await letters(node)] == ["message.invalid"]


async def test_attempt_that_cannot_be_sent_to_its_node_fails_and_frees_the_node(world: World) -> None:
    node, tenant = await world.add_node(), world.add_tenant()
    job_id = await world.submit_job(tenant)
    await node.claim_attempt()
    await world.system.sql.execute("UPDATE graphs SET graph = '[1]' WHERE job_id = $1", job_id)
    body = json.dumps({"boot_id": str(node.boot_id), "wait_s": 0}).encode()

    async def failed() -> bool:
        reply = await world.system.bus._client.request(
            REQUEST_WORK.subject(key=node.name), body, timeout=REPLY_WITHIN_S
        )
        if reply.headers:
            assert reply.headers["Nats-Service-Error"] == "internal"
        return (await world.read_job(tenant, job_id)).state is JobState.FAILED

    await until(failed)
    assert {letter.code for letter in await letters(node)} == {"internal"}
    following = await world.submit_job(tenant)
    ref = (await node.claim_attempt()).ref
    assert ref.job_id == following
    assert await node.finish(ref)


async def test_dead_letters_are_listed_in_pages_newest_first(world: World) -> None:
    node = await world.add_node()
    for number in range(5):
        await send(node, FINISH_ATTEMPT, b"%d" % number)
    first = await letters(node, limit=3)
    rest = await letters(node, limit=3, before=first[-1].id)
    assert [letter.excerpt for letter in [*first, *rest]] == ["4", "3", "2", "1", "0"]


async def test_number_of_dead_letters_per_node_and_hour_is_bounded(world: World) -> None:
    node = await world.add_node()
    for _ in range(110):
        assert await send(node, FINISH_ATTEMPT, b"x") == ("422", "message.invalid")
    kept = await world.system.sql.fetchval("SELECT count(*) FROM dead_letters WHERE node = $1", node.name)
    assert kept == 100


async def test_dead_letters_are_pruned_by_age_and_by_number(world: World) -> None:
    database = database_with_long_timeout(world.system.database_url)
    name = f"n-{uuid4().hex[:12]}"

    async def add(age_s: float) -> UUID:
        letter: dict[str, Any] = {
            "id": new_id(), "subject": "s", "request_id": None, "node": name, "tenant_id": None, "job_id": None,
            "code": "c", "reason": "r", "excerpt": b"", "size_bytes": 0,
        }  # fmt: skip
        async with database.transaction() as connection:
            await dead_letters.add_letter(connection, **letter)
            await connection.execute(
                "UPDATE dead_letters SET at = now() - make_interval(secs => $2) WHERE id = $1", letter["id"], age_s
            )
        return UUID(str(letter["id"]))

    try:
        made = [await add(age_s) for age_s in (500, 0, 0, 0)]
        async with database.transaction() as connection:
            await dead_letters.prune_letters(connection, age_s=100, keep=10**6)
        left = "SELECT id FROM dead_letters WHERE node = $1 ORDER BY id"
        assert [row["id"] for row in await world.system.sql.fetch(left, name)] == made[1:]
        async with database.transaction() as connection:
            await dead_letters.prune_letters(connection, age_s=10**9, keep=2)
        assert [row["id"] for row in await world.system.sql.fetch(left, name)] == made[2:]
    finally:
        await database.close()


async def test_catalog_with_a_wrong_digest_is_refused_as_invalid(world: World) -> None:
    node = await world.add_node()
    with pytest.raises(RelayedRefusal) as refused:
        await world.system.bus.request(
            REPORT_CATALOG, node.models.model_copy(update={"digest": "0" * 64}), key=node.name
        )
    assert refused.value.details.kind is ErrorKind.INVALID


def measure_decoding_thread() -> float | None:
    """Return the CPU seconds of the thread that decodes a catalog; None if no thread is decoding."""
    for thread, top in sys._current_frames().items():
        frame: FrameType | None = top if thread != threading.get_ident() else None
        while frame is not None:
            if frame.f_code is decode_catalog.__code__:
                return time.clock_gettime(time.pthread_getcpuclockid(thread))
            frame = frame.f_back
    return None


async def count_steps_of_decoding(work: Awaitable[object]) -> int:
    """Wait for ``work``; count how often the event loop ran while the decoding thread made progress."""
    task, steps, last_s = asyncio.ensure_future(work), 0, 0.0
    while not task.done():
        await asyncio.sleep(0)
        used_s = measure_decoding_thread()
        if used_s is not None and used_s > last_s + MIN_STEP_S:
            steps, last_s = steps + 1, used_s
    await asyncio.wait({task})
    return steps


async def test_decoding_a_large_catalog_does_not_block_the_event_loop(world: World) -> None:
    node = await world.add_node()
    inputs = {f"input_{number}": {"type": "INT", "required": True} for number in range(50)}
    spec = {"inputs": inputs, "outputs": [], "output_node": False}
    classes = {f"Class{number}": spec for number in range(2_000)} | {"Last": "not a class"}
    body = json.dumps(classes).encode()
    digest, classes_zlib = hashlib.sha256(body).hexdigest(), base64.b64encode(zlib.compress(body)).decode()
    report = ReportCatalog(digest=digest, classes_zlib=classes_zlib)

    async def runs_while_a_thread_decodes() -> bool:
        reply = asyncio.ensure_future(world.system.bus.request(REPORT_CATALOG, report, key=node.name))
        steps = await count_steps_of_decoding(reply)
        with pytest.raises(RelayedRefusal) as refused:
            await reply
        assert refused.value.details.code == InvalidMessage.code  # the catalog is invalid only at its end
        return steps >= MIN_STEPS

    await until(runs_while_a_thread_decodes, within_s=60)
