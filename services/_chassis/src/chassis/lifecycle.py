"""Starts and stops a service.

Dependencies start in the background, so that health checks respond from the beginning.
"""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress

from stamina import AsyncRetryingCaller

from chassis.database.migrate import await_schema
from chassis.database.postgres import Database, is_unavailable
from chassis.loop import Loop
from chassis.messaging.bus import Bus
from chassis.telemetry.logs import log
from chassis.telemetry.metrics import Metrics

STARTING = AsyncRetryingCaller(attempts=None, timeout=None, wait_initial=0.2, wait_max=1.0, wait_jitter=0.1)


@asynccontextmanager
async def running(
    service: str,
    bus: Bus,
    *,
    metrics: Metrics | None = None,
    database: Database | None = None,
    url: str = "",
    loops: Sequence[Loop] = (),
) -> AsyncIterator[None]:
    """Start schema, bus and loops in the background, in this order; stop them at the end of the block.

    The block is entered immediately, so health checks respond while PostgreSQL or NATS are still unavailable.
    """

    async def bring_up() -> None:
        try:
            if database is not None:
                await STARTING.on(is_unavailable)(await_schema, service, url, database)
            await bus.start()
            for loop in loops:
                loop.start(metrics)
            log.info("service.started")
        except Exception:
            log.exception("service.start_failed")
            raise

    task = asyncio.create_task(bring_up(), name="bring_up")
    try:
        yield
    finally:
        while not task.done():  # repeatedly, because nats-py swallows a cancellation during a failed connect
            task.cancel()
            await asyncio.wait({task}, timeout=0.1)
        with suppress(asyncio.CancelledError, Exception):
            task.result()
        for loop in loops:
            await loop.stop()
        await bus.stop()
        if database is not None:
            await database.close()
