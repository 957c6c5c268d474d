"""Starts and stops a service.

Dependencies start in the background, so that health checks respond from the beginning. A dependency that is still
missing after ``within_s`` seconds ends the process.
"""

import asyncio
import random
from collections.abc import AsyncIterator, Callable, Coroutine, Iterable, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import asdict
from typing import Any

from chassis import process
from chassis.database.connection_faults import describe_connection_fault
from chassis.database.postgres import Database, is_unavailable
from chassis.database.schema import SchemaCheck, SchemaFit
from chassis.faults import Fault, FaultLog
from chassis.http.app import NotReady
from chassis.loop import Loop
from chassis.messaging.bus import Bus
from chassis.telemetry.logs import log
from chassis.telemetry.metrics import Metrics

FIRST_PAUSE_S, LONGEST_PAUSE_S = 0.2, 2.0
SCHEMA_RECHECK_S = 10.0  # how soon a service notices that a newer schema does not work with it


class Startup:
    """Whether a service has started, as a readiness check.

    The checks of its dependencies may pass a little earlier, because the start repeats its checks with growing pauses.
    """

    def __init__(self) -> None:
        self.finished = False

    async def probe(self) -> None:
        """Raise ``NotReady`` until everything that ``run_service`` starts has started."""
        if not self.finished:
            raise NotReady("The service is still starting.")


@asynccontextmanager
async def run_service(
    bus: Bus,
    *,
    database: Database,
    schema: SchemaCheck,
    within_s: float,
    startup: Startup | None = None,
    metrics: Metrics | None = None,
    loops: Sequence[Loop] = (),
    serves_without_database: bool = False,
) -> AsyncIterator[None]:
    """Start bus, schema check and loops in the background; stop them at the end of the block.

    The block is entered immediately, so health checks respond while PostgreSQL or NATS are still unavailable.

    Args:
        bus: connects at once; its requests are served once the schema is right.
        database: its schema is checked; the caller closes it.
        schema: compares the database's schema with the code.
        within_s: the process ends if the start takes longer.
        startup: finished once requests are served and all loops run.
        metrics: records the runs of the loops.
        loops: start after the bus.
        serves_without_database: bus and loops do not wait for the schema.
    """
    waiting = FaultLog()
    checked = asyncio.Event()
    recheck = Loop("schema.recheck", lambda: _end_if_incompatible(schema), every_s=SCHEMA_RECHECK_S)

    async def check_schema() -> None:
        await _wait_until_database_is_usable(database, schema, waiting)
        checked.set()
        recheck.start(metrics)

    async def serve() -> None:
        await bus.connect()
        if not serves_without_database:
            await checked.wait()
        await bus.start()
        for loop in loops:
            loop.start(metrics)

    def faults() -> Iterable[Fault | None]:
        return waiting.latest, bus.fault

    try:
        async with run_start_steps((check_schema(), serve()), faults=faults, within_s=within_s, startup=startup):
            yield
    finally:
        for loop in (recheck, *loops):
            await loop.stop()
        await bus.stop()


@asynccontextmanager
async def run_start_steps(
    steps: Iterable[Coroutine[Any, Any, None]],
    *,
    faults: Callable[[], Iterable[Fault | None]],
    within_s: float,
    startup: Startup | None = None,
) -> AsyncIterator[None]:
    """Run the steps of a start concurrently in the background; cancel them at the end of the block.

    The process ends if a step raises, or if one takes longer than ``within_s`` seconds.

    Args:
        steps: each returns when its part of the service has started.
        faults: returns what the steps wait for, for the log.
        within_s: maximum duration of a step, seconds.
        startup: finished when all steps have returned.
    """
    tasks = [asyncio.create_task(step) for step in steps]
    supervising = asyncio.create_task(_supervise_start(tasks, faults, within_s, startup or Startup()), name="start")
    try:
        yield
    finally:
        for task in (supervising, *tasks):
            while not task.done():  # repeatedly, because nats-py swallows a cancellation during a failed connect
                task.cancel()
                await asyncio.wait({task}, timeout=0.1)
            with suppress(asyncio.CancelledError, Exception):
                task.result()


async def retry_with_backoff(find_fault: Callable[[], Coroutine[Any, Any, Fault | None]], waiting: FaultLog) -> None:
    """Call ``find_fault`` until it returns no fault; log what it waits for."""
    pause_s = FIRST_PAUSE_S
    while (fault := await find_fault()) is not None:
        waiting.report(fault)
        await asyncio.sleep(pause_s * random.uniform(0.8, 1.2))  # noqa: S311 - jitter
        pause_s = min(2 * pause_s, LONGEST_PAUSE_S)
    waiting.clear()


async def _supervise_start(
    tasks: Sequence[asyncio.Task[None]],
    faults: Callable[[], Iterable[Fault | None]],
    within_s: float,
    startup: Startup,
) -> None:
    done, pending = await asyncio.wait(tasks, timeout=within_s, return_when=asyncio.FIRST_EXCEPTION)
    error = next((task.exception() for task in done if task.exception() is not None), None)
    if error is not None:
        log.error("service.start_failed", exc_info=error)
    elif pending:
        for fault in filter(None, faults()):
            log.error("service.start_failed", waited_s=within_s, **asdict(fault))
    else:
        startup.finished = True
        log.info("service.started")
        return
    process.stop_with_failure()


async def _wait_until_database_is_usable(database: Database, schema: SchemaCheck, waiting: FaultLog) -> None:
    async def find_fault() -> Fault | None:
        try:
            return schema.find_fault(await schema.read_schema())
        except Exception as error:
            fault = describe_connection_fault(error, database.address)
            if fault is None:
                raise
            return fault

    await retry_with_backoff(find_fault, waiting)


async def _end_if_incompatible(schema: SchemaCheck) -> None:
    """End the process if the schema was migrated to one that this code does not work with."""
    try:
        found = await schema.read_schema()
    except Exception as error:
        if not is_unavailable(error):
            raise
        return  # requests report an outage; the schema is checked again
    fault = schema.find_fault(found)
    if fault is not None and schema.compare_with_code(found) is SchemaFit.INCOMPATIBLE:
        log.error("service.schema_incompatible", **asdict(fault))
        process.stop_with_failure()
