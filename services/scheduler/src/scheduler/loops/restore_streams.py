"""Keeps the JetStream streams as declared. Publishes the messages of a lost stream again from the outbox."""

from dataclasses import replace
from time import monotonic

from chassis.loop import Loop
from chassis.messaging import streams
from chassis.messaging.bus import Bus
from chassis.messaging.outbox import OutboxRelay
from chassis.telemetry.logs import log
from contracts.registry import JOB_EVENTS, JOB_PROGRESS, JOB_PURGES
from contracts.wire.topic import Stream

EVERY_S = 2.0
LOG_AGAIN_AFTER_S = 10.0  # minimum time between two log lines about the same fault of a stream
CHECK_FILL_EVERY_S = 3600.0
FULL_SHARE = 0.95  # a stream that discards its oldest messages is a little below its largest size


class StreamRestorer:
    """Ensures that the streams exist and are as declared, and refills them.

    A stream that had to be recreated is empty, so all messages that the outbox still holds (one hour) are published
    again. Jobs do not depend on a stream: a consumer that missed older events reads them from the scheduler.

    Existing streams are changed to what is declared once per process, so that schedulers of two releases do not
    change them back and forth. A change that is refused is tried again.

    Args:
        replicas: number of replicas of each stream that is not in memory.
        event_bytes: maximum size of the stream of job events.
    """

    def __init__(self, bus: Bus, relay: OutboxRelay, relay_loop: Loop, *, replicas: int, event_bytes: int) -> None:
        self._bus, self._relay, self._relay_loop, self._replicas = bus, relay, relay_loop, replicas
        self._job_events = replace(JOB_EVENTS, max_bytes=event_bytes)
        self._streams = (self._job_events, JOB_PURGES, JOB_PROGRESS)
        self._reconciled: set[str] = set()
        self._refusals: dict[str, str] = {}
        self._logged: dict[str, tuple[str, float]] = {}  # by stream: reason, and when
        self._fill_checked_at: float | None = None

    async def tick(self) -> None:
        """Run one pass. Called by ``chassis.loop.Loop``."""
        if not self._bus.connected:
            return
        lost = {stream.name for stream in self._streams if await self._ensure_stream(stream)} - {JOB_PROGRESS.name}
        if lost:
            log.warning("scheduler.stream_recreated", streams=sorted(lost))
            await self._relay.republish()
            self._relay_loop.wake()
        await self._relay.prune()
        await self._check_stream_fill()

    async def probe(self) -> None:
        """Raise unless all streams are as declared.

        Raises:
            StreamRefused: a stream is missing or different, and why.
        """
        if self._refusals:
            raise streams.StreamRefused(" ".join(self._refusals.values()))

    async def _ensure_stream(self, stream: Stream) -> bool:
        """Create the stream, or change it to what is declared; returns whether it was created."""
        try:
            created = bool(await streams.create_missing_streams(self._bus, (stream,), replicas=self._replicas))
            if not created and stream.name not in self._reconciled:
                await streams.update_stream(self._bus, stream, replicas=self._replicas)
        except streams.StreamRefused as refusal:
            self._refusals[stream.name] = str(refusal)
            self._log_rarely("scheduler.stream_refused", stream, str(refusal))
            return False
        except streams.JetStreamUnavailable as error:
            self._log_rarely("scheduler.stream_unavailable", stream, str(error))
            return False
        self._reconciled.add(stream.name)
        self._refusals.pop(stream.name, None)
        return created

    def _log_rarely(self, event: str, stream: Stream, reason: str) -> None:
        now, (logged, at) = monotonic(), self._logged.get(stream.name, ("", 0.0))
        if reason != logged or now - at >= LOG_AGAIN_AFTER_S:
            self._logged[stream.name] = (reason, now)
            log.error(event, stream=stream.name, reason=reason)

    async def _check_stream_fill(self) -> None:
        """Warn if the stream of job events is so full that it discards events before they reach their maximum age."""
        if self._fill_checked_at is not None and monotonic() - self._fill_checked_at < CHECK_FILL_EVERY_S:
            return
        try:
            fill = await streams.read_stream_usage(self._bus, self._job_events)
        except streams.JetStreamUnavailable:
            return
        self._fill_checked_at = monotonic()
        if (
            fill is not None
            and fill.used_share >= FULL_SHARE
            and fill.oldest_age_s < FULL_SHARE * self._job_events.max_age_s
        ):
            log.warning(
                "scheduler.stream_too_small",
                stream=self._job_events.name,
                kept_hours=round(fill.oldest_age_s / 3600, 1),
                promised_hours=self._job_events.max_age_s / 3600,
                advice="Raise SCHEDULER_EVENT_STREAM_BYTES, and max_file_store of the NATS server.",
            )
