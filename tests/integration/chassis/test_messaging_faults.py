"""All faults of NATS in one process, with a short outage; ``./dev chaos`` runs it with a long one."""

import gc
from collections.abc import AsyncIterator

import pytest

from tests.integration.chassis.conftest import bus_at
from tests.integration.chassis.messaging_faults import BAD, login, redrive_all, survive
from tests.integration.chassis.note_consumers import POISON, letters_at
from tests.kit.nats import NatsServer
from tests.kit.postgres import PostgresServer

OUTAGE_S = 2.0


@pytest.fixture
async def guarded() -> AsyncIterator[NatsServer]:
    server = NatsServer(login("right"))
    try:
        await server.start()
        yield server
    finally:
        server.remove()
        gc.collect()  # nats-py leaves the socket of a refused attempt to the garbage collector


@pytest.mark.filterwarnings("ignore:unclosed <StreamWriter:ResourceWarning")
async def test_no_message_is_stuck_or_lost_through_any_fault_of_nats(
    guarded: NatsServer, postgres_server: PostgresServer
) -> None:
    async with letters_at(await postgres_server.create_database("notifier")) as letters:
        faults = await survive(guarded, letters, outage_s=OUTAGE_S)
        bus = bus_at(guarded.url, user="echo", password="right")
        await bus.start()
        try:
            refused = await redrive_all(faults, bus)
        finally:
            await bus.stop()
        assert {BAD, BAD + 1} <= set(faults.handler.seqs)
        assert len(refused) == len(await faults.dead_letters()) == 2 * len(POISON)
