"""Sends heartbeats and handles their replies."""

from collections.abc import Callable
from dataclasses import dataclass, field
from uuid import UUID

from chassis.messaging.bus import Bus
from chassis.telemetry.logs import log
from contracts.scheduler.heartbeats import HEARTBEAT, REPORT_CATALOG, Heartbeat, LeaseState, ReportCatalog
from contracts.wire.errors import Refusal
from executor.domain.attempt import Stop
from executor.usecases.at_hand import CurrentAttempt
from executor.usecases.clear_node import ClearNode
from executor.usecases.node_state import NodeState
from executor.usecases.retries import is_temporary
from executor.usecases.watch_occupancy import WatchOccupancy

STOPS = {LeaseState.LOST: Stop.LOST, LeaseState.CANCELLED: Stop.CANCELLED}


@dataclass(slots=True, kw_only=True)
class SendHeartbeat:
    """Sends a heartbeat, which renews the lease of the current attempt, and receives operators' commands.

    Attributes:
        clear_now: called when the reply contains a command to clear the node.
    """

    bus: Bus
    node_name: str
    boot_id: UUID
    at_hand: CurrentAttempt
    state: NodeState
    occupancy: WatchOccupancy
    clear: ClearNode
    clear_now: Callable[[], None]
    _refused: str = field(default="", init=False)  # digest of a catalog that the scheduler refused

    async def __call__(self) -> None:
        """Send one heartbeat. A failure changes nothing here: the scheduler decides whether the lease expired."""
        ref, catalog = self.at_hand.ref, self.state.catalog
        beat = Heartbeat(
            boot_id=self.boot_id,
            online=self.state.online,
            catalog_digest=catalog.digest if catalog else None,
            attempt=ref,
            progress=self.at_hand.percent,
            loaded=self.state.loaded,
            foreign_prompts=self.state.foreign_prompts,
            occupied=self.occupancy.state() if self.state.online else None,
            cleared=self.clear.done,
            refreshed=self.state.refreshed,
        )
        try:
            answer = await self.bus.request(HEARTBEAT, beat, key=self.node_name)
            if ref is not None and answer.lease in STOPS:
                self.at_hand.order(STOPS[answer.lease], ref)
            if answer.refresh is not None:
                self.state.order_refresh(answer.refresh)
            if answer.clear is not None and self.clear.order(answer.clear):
                self.clear_now()
            if answer.catalog_wanted and catalog is not None:
                await self._report(catalog)
            self.state.reported = catalog is not None and catalog.digest != self._refused
        except Refusal as refusal:
            log.info("executor.beat.unheard", code=refusal.refused.code)

    async def _report(self, catalog: ReportCatalog) -> None:
        """Send the catalog, unless the scheduler has refused this one permanently."""
        if catalog.digest == self._refused:
            return
        try:
            await self.bus.request(REPORT_CATALOG, catalog, key=self.node_name)
        except Refusal as refusal:
            if is_temporary(refusal):
                raise
            self._refused = catalog.digest
            log.error("executor.catalog.refused", code=refusal.refused.code, digest=catalog.digest)
