"""Waits for the end of a job."""

import asyncio
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

from chassis.messaging.bus import Bus
from chassis.messaging.metadata import Metadata
from chassis.telemetry.logs import log
from contracts.scheduler.jobs import (
    CANCEL_JOB,
    FINAL_STATES,
    JOB_CHANGED_LIVE,
    READ_JOB,
    CancelJob,
    Job,
    JobEvent,
    ReadJob,
)
from contracts.wire.errors import ErrorKind, Refusal, Unavailable

JOB_READ_INTERVAL_S = 2.0  # interval of reads, because live events can be lost
CANCEL_TRIES, CANCEL_PAUSE_S = 10, 1.0


class JobWaiter:
    """Waits for the end of one job. ``job`` is its last known state."""

    def __init__(self, job: Job, *, bus: Bus) -> None:
        self.job = job
        self._bus, self._tenant = bus, str(job.tenant_id)
        self._ended = asyncio.Event()

    async def wait_for_end(self) -> None:
        """Return once the job has ended, without a time limit. Outages of the scheduler only delay it.

        Raises:
            RelayedRefusal: the job no longer exists.
        """
        if self.job.state in FINAL_STATES:
            return
        async with self._wake_on_end():
            while True:
                await self.refresh_job()
                if self.job.state in FINAL_STATES:
                    return
                with suppress(TimeoutError):
                    async with asyncio.timeout(JOB_READ_INTERVAL_S * random.uniform(0.8, 1.2)):  # noqa: S311 - spreads load
                        await self._ended.wait()
                self._ended.clear()

    async def refresh_job(self) -> None:
        """Update ``job``, unless the scheduler is unavailable."""
        try:
            self.job = (await self._bus.request(READ_JOB, ReadJob(job_id=self.job.job_id), tenant=self._tenant)).job
        except Refusal as refusal:
            if refusal.details.kind is not ErrorKind.UNAVAILABLE:
                raise

    async def cancel_job(self) -> None:
        """Cancel the job, with up to ``CANCEL_TRIES`` attempts. If all fail, the job continues."""
        for _ in range(CANCEL_TRIES):
            try:
                self.job = (
                    await self._bus.request(CANCEL_JOB, CancelJob(job_id=self.job.job_id), tenant=self._tenant)
                ).job
            except Refusal as refusal:
                if refusal.details.kind is not ErrorKind.UNAVAILABLE:
                    break
                await asyncio.sleep(CANCEL_PAUSE_S)
            else:
                log.info("gateway.generate.cancelled", job_id=str(self.job.job_id))
                return
        log.warning("gateway.generate.not_cancelled", job_id=str(self.job.job_id))

    @asynccontextmanager
    async def _wake_on_end(self) -> AsyncIterator[None]:
        """Wake up when an event says that the job has ended. Without a NATS connection there is only polling."""
        try:
            unsubscribe = await self._bus.subscribe(
                JOB_CHANGED_LIVE, self._on_event, tenant=self._tenant, key=str(self.job.job_id)
            )
        except Unavailable:
            yield
            return
        try:
            yield
        finally:
            await unsubscribe()

    async def _on_event(self, event: JobEvent, _: Metadata) -> None:
        if event.state in FINAL_STATES:
            self._ended.set()
