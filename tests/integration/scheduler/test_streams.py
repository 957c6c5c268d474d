"""The scheduler updates existing streams to their declaration, and is not ready if that is impossible."""

import json

import pytest

import nats
from contracts.registry import JOB_EVENTS
from contracts.scheduler.jobs import JOB_CHANGED
from scheduler.app import create_app
from scheduler.settings import Settings
from tests.kit.http import http_client
from tests.kit.nats import NatsServer
from tests.kit.postgres import PostgresServer
from tests.kit.serving import serving
from tests.kit.waiting import until

EVENT_BYTES = 2 << 30


@pytest.mark.requirement("O-10", "O-15", "setting STREAM_REPLICAS")
async def test_streams_of_an_earlier_release_are_reconfigured_and_too_many_replicas_fail_readiness(
    own_nats: NatsServer, postgres_server: PostgresServer
) -> None:
    tenant, job = "0193a6c0-0000-7000-8000-000000000001", "0193a6c0-0000-7000-8000-00000000000a"
    async with await nats.connect(own_nats.url) as client, http_client() as http:
        jetstream = client.jetstream()
        await jetstream.add_stream(
            name=JOB_EVENTS.name, subjects=[JOB_CHANGED.pattern], max_age=3600, max_bytes=1 << 30
        )
        await jetstream.publish(JOB_CHANGED.subject(tenant, job), b"{}")
        values = {"database_url": await postgres_server.create_database("scheduler"), "nats_url": own_nats.url}
        for replicas, is_ready in ((3, False), (1, True)):
            more = {"stream_replicas": replicas, "event_stream_bytes": EVENT_BYTES}
            async with serving(create_app(Settings.model_validate(values | more))) as at:

                async def is_decided(at: str = at, expected: bool = is_ready) -> bool:
                    checks = (await http.get(f"http://{at}/readyz")).json()["checks"]
                    changed = await jetstream.stream_info(JOB_EVENTS.name)
                    return checks["streams"] is expected and changed.config.max_bytes == EVENT_BYTES

                await until(is_decided)
        reply = await client.request(f"$JS.API.STREAM.INFO.{JOB_EVENTS.name}", b"", timeout=5)
        found = json.loads(reply.data)
        assert found["config"]["max_age"] == JOB_EVENTS.max_age_s * 10**9
        assert found["config"]["description"] == JOB_EVENTS.description
        assert found["state"]["messages"] == 1
