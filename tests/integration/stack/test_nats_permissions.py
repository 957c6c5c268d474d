"""Subjects that the real server refuses to each NATS login."""

import json
from pathlib import Path
from subprocess import run

import pytest
from nats.aio.msg import Msg
from nats.errors import NoRespondersError

from contracts.auth.credentials import VERIFY_CREDENTIAL
from contracts.executor.attempts import CANCEL_ATTEMPT
from contracts.executor.progress import PROGRESS
from contracts.gateway.nats_api import NATS_SUBMIT_JOB
from contracts.permissions import inbox_prefix
from contracts.scheduler.heartbeats import HEARTBEAT
from contracts.scheduler.jobs import JOB_CHANGED, JOB_CHANGED_LIVE
from contracts.scheduler.submissions import SUBMIT_JOB
from stack.credentials import EXTERNAL_SYSTEM_USER
from stack.nats_config import ExternalSystem, NatsConfig, list_logins, render_nats_config
from stack.nats_server import NatsServer, find_nats_server
from tests.integration.stack.conftest import OTHER_TENANT, TENANT, Clients
from tests.kit.nats import wait_until_processed

JOB = "0193a6c0-0000-7000-8000-00000000000a"


@pytest.mark.requirement("S-75")
async def test_executor_publishes_for_its_own_node_only(connect: Clients) -> None:
    node = await connect("executor-node-1", inbox_prefix("executor", "node-1"))
    with pytest.raises(NoRespondersError):  # allowed, but without a responder
        await node.request(HEARTBEAT.subject(key="node-1"), b"{}", timeout=10)
    await node.publish(HEARTBEAT.subject(key="node-2"), b"{}")
    await connect.wait_for_refusal(HEARTBEAT.subject(key="node-2"))


async def test_executor_receives_messages_of_its_own_node_only(connect: Clients) -> None:
    node = await connect("executor-node-1", inbox_prefix("executor", "node-1"))
    await node.subscribe(CANCEL_ATTEMPT.subject(key="node-2"))
    await connect.wait_for_refusal(CANCEL_ATTEMPT.subject(key="node-2"))


@pytest.mark.requirement("S-75")
async def test_no_service_can_subscribe_to_another_inbox(connect: Clients) -> None:
    notifier = await connect("notifier", inbox_prefix("notifier"))
    for inbox in (">", "_INBOX.>", f"{inbox_prefix('gateway')}.>"):
        await notifier.subscribe(inbox)
        await connect.wait_for_refusal(inbox)


@pytest.mark.requirement("F-77")
async def test_service_without_topics_publishes_only_replies(connect: Clients) -> None:
    auth_client = await connect("auth", inbox_prefix("auth"))
    gateway_client = await connect("gateway", inbox_prefix("gateway"))

    async def answer(message: Msg) -> None:
        await message.respond(b"you")

    await auth_client.subscribe(VERIFY_CREDENTIAL.pattern, cb=answer)
    await wait_until_processed(auth_client)
    replied = await gateway_client.request(VERIFY_CREDENTIAL.subject(), b"{}", timeout=10)
    assert replied.data == b"you"
    await auth_client.publish(JOB_CHANGED.subject(TENANT, JOB), b"{}")
    await connect.wait_for_refusal(JOB_CHANGED.subject(TENANT, JOB))


async def test_nats_server_sets_the_tenant_of_external_systems(connect: Clients) -> None:
    outside = await connect(EXTERNAL_SYSTEM_USER)
    inside = await connect("gateway", inbox_prefix("gateway"))

    async def answer(message: Msg) -> None:
        await message.respond(message.subject.encode())

    await inside.subscribe(NATS_SUBMIT_JOB.pattern, cb=answer)
    await wait_until_processed(inside)
    replied = await outside.request("jobs.submit", b'{"tenant": "somebody else"}', timeout=10)
    assert replied.data.decode() == NATS_SUBMIT_JOB.subject(TENANT)


async def test_external_system_receives_only_its_own_jobs(connect: Clients) -> None:
    outside = await connect(EXTERNAL_SYSTEM_USER)
    node = await connect("executor-node-1", inbox_prefix("executor", "node-1"))
    heard = await outside.subscribe("jobs.progress.>")
    await wait_until_processed(outside)
    await node.publish(PROGRESS.subject(OTHER_TENANT, JOB), b"theirs")
    await node.publish(PROGRESS.subject(TENANT, JOB), b"mine")
    first = await heard.next_msg(timeout=10)
    assert (first.subject, first.data) == (f"jobs.progress.{JOB}", b"mine")


@pytest.mark.requirement("F-77")
@pytest.mark.parametrize(
    "subject",
    [
        NATS_SUBMIT_JOB.subject(TENANT),
        NATS_SUBMIT_JOB.subject(OTHER_TENANT),
        SUBMIT_JOB.subject(TENANT),
        JOB_CHANGED_LIVE.subject(TENANT, JOB),
        f"jobs.submit.{OTHER_TENANT}",
        f"jobs.event.{JOB}",
        "$JS.API.STREAM.NAMES",
        "$JS.API.STREAM.CREATE.MINE",
    ],
)
async def test_external_system_may_publish_only_requests(connect: Clients, subject: str) -> None:
    outside = await connect(EXTERNAL_SYSTEM_USER)
    await outside.publish(subject, b"{}")
    await connect.wait_for_refusal(subject)


@pytest.mark.parametrize("subject", [">", "evt.>", "live.>", JOB_CHANGED_LIVE.pattern, "$SYS.>"])
async def test_external_system_cannot_subscribe_to_internal_subjects(connect: Clients, subject: str) -> None:
    outside = await connect(EXTERNAL_SYSTEM_USER)
    await outside.subscribe(subject)
    await connect.wait_for_refusal(subject)


def test_nats_configuration_is_readable_only_by_its_owner(nats_server: NatsServer) -> None:
    assert nats_server.config_path.stat().st_mode & 0o777 == 0o600


def test_nats_passwords_can_come_from_the_environment(tmp_path: Path) -> None:
    nodes = ("node-1",)
    names = ["sys", *(login for login, _, _ in list_logins(nodes))]
    variable = {name: f"NATS_{name.upper().replace('-', '_')}_PASSWORD" for name in names}
    plan = NatsConfig(
        passwords={name: f"${variable[name]}" for name in names},
        nodes=nodes,
        external_systems=(
            ExternalSystem("ACME", "acme", "$NATS_ACME_PASSWORD", TENANT),
            ExternalSystem("GLOBEX", "globex", "literal", JOB),
        ),
        listen="0.0.0.0:4222",
        monitor="0.0.0.0:8222",
        store="/data",
    )
    path = tmp_path / "nats.conf"
    path.write_text(render_nats_config(plan))
    environment = {name: f"k{number}" for number, name in enumerate([*variable.values(), "NATS_ACME_PASSWORD"])}
    checked = run([find_nats_server(), "-t", "-c", path], env=environment, capture_output=True, text=True, check=False)
    assert checked.returncode == 0, checked.stderr
    assert json.dumps("literal") in path.read_text()
