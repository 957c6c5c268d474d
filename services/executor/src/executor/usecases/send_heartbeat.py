"""Sends heartbeats and handles their replies."""

from collections.abc import Callable
from dataclasses import dataclass, field
from uuid import UUID

from chassis.messaging.bus import Bus
from chassis.telemetry.logs import log
from contracts.scheduler.heartbeats import (
    HEARTBEAT,
    REPORT_CATALOG,
    Heartbeat,
    HeartbeatReply,
    LeaseState,
    OccupancyCause,
    ReportCatalog,
)
from contracts.wire.errors import InvalidMessage, Refusal
from executor.domain.attempt import StopReason
from executor.usecases.clear_node import NodeCleaner
from executor.usecases.live_attempts import AttemptPlace, LiveAttempt, LiveAttempts
from executor.usecases.node_state import NodeState
from executor.usecases.read_system import SystemMonitor
from executor.usecases.retries import is_temporary
from executor.usecases.watch_occupancy import OccupancyMonitor

FIRST_RETRY_S, MAX_RETRY_S = 0.1, 3.0  # between heartbeats until the first reply, doubled each time

STOP_BY_LEASE_STATE = {LeaseState.LOST: StopReason.LOST, LeaseState.CANCELLED: StopReason.CANCELLED}


@dataclass(slots=True, kw_only=True)
class HeartbeatSender:
    """Sends heartbeats, which renew the leases of all attempts, and applies replies, which carry operators' commands.

    Attributes:
        wake_cleaner: called when the reply contains a command to clear the node.
    """

    bus: Bus
    node_name: str
    boot_id: UUID
    live_attempts: LiveAttempts
    state: NodeState
    occupancy: OccupancyMonitor
    system_monitor: SystemMonitor
    cleaner: NodeCleaner
    wake_cleaner: Callable[[], None]
    _send_within: Callable[[float], None] = field(default=lambda _: None, init=False)
    _retry_in_s: float | None = field(default=FIRST_RETRY_S, init=False)  # None once the scheduler has answered
    _refused_digest: str = field(default="", init=False)  # digest of a catalog that the scheduler refused

    def register_unanswered_callback(self, callback: Callable[[float], None]) -> None:
        """Register a callback for a heartbeat without a reply. It gets the seconds until the next one is due."""
        self._send_within = callback

    async def send_heartbeat(self) -> None:
        """Send one heartbeat and apply the reply.

        After a failure the attempts continue: the scheduler decides whether their leases have expired. Until the
        scheduler's first reply, a failed heartbeat is retried sooner: both may be starting up, and the node gets no
        work until then.
        """
        try:
            await self._send_heartbeat()
            self._retry_in_s = None
        except Refusal as refusal:
            log.info("executor.heartbeat.failed", code=refusal.details.code)
            if self._retry_in_s is not None:
                self._send_within(self._retry_in_s)
                self._retry_in_s = min(2 * self._retry_in_s, MAX_RETRY_S)

    async def _send_heartbeat(self) -> None:
        attempts, catalog = self.live_attempts.list_in_order(), self.state.catalog
        current, other = (*attempts, None, None)[:2]
        further = attempts[2:]
        heartbeat = Heartbeat(
            boot_id=self.boot_id,
            online=self.state.online,
            catalog_digest=catalog.digest if catalog else None,
            attempt=current.ref if current else None,
            other_attempt=other.ref if other else None,
            further_attempts=tuple(attempt.ref for attempt in further),
            left_node=tuple(attempt.ref.job_id for attempt in attempts if attempt.place is AttemptPlace.LEFT_NODE),
            progress=current.percent if current else 0.0,
            graph_node=current.graph_node if current else None,
            graph_node_class=current.graph_node_class if current else None,
            loaded=self.state.loaded_models,
            foreign_prompts=self.state.foreign_prompts,
            occupied=self.occupancy.get_report() if self.state.online else None,
            cleared=self.cleaner.completed_command_at,
            refreshed=self.state.refreshed_at,
            system=self.system_monitor.get_last_report(),
        )
        reply = await self._request(heartbeat)
        self.live_attempts.max_attempts = reply.max_attempts
        _apply_lease_state(current, reply.lease)
        _apply_lease_state(other, reply.other_lease)
        for attempt, lease in zip(further, reply.further_leases, strict=False):  # the reply may be to none of them
            _apply_lease_state(attempt, lease)
        if reply.refresh is not None:
            self.state.accept_refresh_command(reply.refresh)
        if reply.clear is not None and self.cleaner.accept_clear_command(reply.clear):
            self.wake_cleaner()
        if reply.catalog_wanted and catalog is not None:
            await self._report_catalog(catalog)
        self.state.is_catalog_reported = catalog is not None and catalog.digest != self._refused_digest

    async def _request(self, heartbeat: Heartbeat) -> HeartbeatReply:
        """Send a heartbeat. A scheduler of an earlier version, which refuses it, gets the newest one that it knows."""
        versions = list_heartbeat_versions(heartbeat)
        for version in versions[:-1]:
            try:
                return await self.bus.request(HEARTBEAT, version, key=self.node_name)
            except Refusal as refusal:
                if refusal.details.code != InvalidMessage.code:
                    raise
        return await self.bus.request(HEARTBEAT, versions[-1], key=self.node_name)

    async def _report_catalog(self, catalog: ReportCatalog) -> None:
        """Send the catalog, unless the scheduler has refused this one permanently."""
        if catalog.digest == self._refused_digest:
            return
        try:
            await self.bus.request(REPORT_CATALOG, catalog, key=self.node_name)
        except Refusal as refusal:
            if is_temporary(refusal):
                raise
            self._refused_digest = catalog.digest
            log.error("executor.catalog.refused", code=refusal.details.code, digest=catalog.digest)


def list_heartbeat_versions(heartbeat: Heartbeat) -> list[Heartbeat]:
    """Return the heartbeat as schedulers of this and of earlier versions accept it, newest first, each once."""
    occupied = heartbeat.occupied
    if occupied is not None and occupied.by is OccupancyCause.JOURNAL:
        occupied = None
    earlier = heartbeat.model_copy(update={"left_node": (), "occupied": occupied})
    earliest = earlier.model_copy(update={"further_attempts": ()})
    return [heartbeat, *([earlier] if earlier != heartbeat else []), *([earliest] if earliest != earlier else [])]


def _apply_lease_state(attempt: LiveAttempt | None, lease: LeaseState) -> None:
    """Stop an attempt whose lease is lost or whose job was cancelled."""
    if attempt is not None and lease in STOP_BY_LEASE_STATE:
        attempt.request_stop(STOP_BY_LEASE_STATE[lease])
