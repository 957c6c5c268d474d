"""The start of a service, in this process."""

import asyncio
import secrets
from dataclasses import replace

import asyncpg
import pytest

from chassis.database.postgres import Database
from chassis.database.schema import SchemaCheck
from chassis.database.url import DatabaseUrl
from chassis.http.app import NotReady
from chassis.lifecycle import Startup, run_service
from chassis.loop import Loop
from chassis.messaging.bus import Bus
from contracts.wire.errors import Unavailable
from contracts.wire.topic import Address
from tests.integration.chassis.conftest import ECHO, Answer, Question, bus_at, connected
from tests.kit.nats import NatsServer
from tests.kit.postgres import PostgresServer
from tests.kit.waiting import until

CREATE_ROLE = "CREATE ROLE {} LOGIN PASSWORD '{}' IN ROLE pg_read_all_data"


async def is_served(asker: Bus) -> bool:
    try:
        await asker.request(ECHO, Question(text="hello"), within_s=20)
    except Unavailable:
        return False
    return True


async def test_start_continues_once_its_faults_are_fixed(own_nats: NatsServer, postgres_server: PostgresServer) -> None:
    url = DatabaseUrl.parse(await postgres_server.create_database("notifier"))
    name, password = f"late_{secrets.token_hex(4)}", secrets.token_hex(8)
    database, bus = Database(replace(url, user=name, password=password), name="late"), bus_at(own_nats.url)

    async def answer(question: Question, _: Address) -> Answer:
        return Answer(text=question.text)

    bus.serve(ECHO, answer)
    own_nats.kill()
    startup, schema, has_run = Startup(), SchemaCheck("notifier", database), asyncio.Event()

    async def tick() -> None:
        has_run.set()

    loops = (Loop("test", tick, every_s=60),)
    async with run_service(bus, database=database, schema=schema, within_s=60, startup=startup, loops=loops):
        await until(lambda: bus.fault is not None)
        await own_nats.start()
        await until(lambda: bus.connected and bus.fault is None)
        async with connected(own_nats.url, "asker") as asker:
            assert not await is_served(asker)
            with pytest.raises(NotReady):
                await startup.probe()
            assert not has_run.is_set()
            superuser = await asyncpg.connect(url.render())
            await superuser.execute(CREATE_ROLE.format(name, password))
            await superuser.close()
            await until(lambda: startup.finished)
            await startup.probe()
            assert await is_served(asker)
            async with asyncio.timeout(20):
                await has_run.wait()
    await database.close()
