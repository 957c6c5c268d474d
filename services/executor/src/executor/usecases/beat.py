"""A sign of life, and what the scheduler says to it."""

from collections.abc import Callable
from dataclasses import dataclass, field
from uuid import UUID

from chassis.messaging.bus import Bus
from chassis.telemetry.logs import log
from contracts.scheduler import BEAT, REPORT_CATALOG, Beat, LeaseState, ReportCatalog
from contracts.wire.errors import Refusal
from executor.domain.attempt import Stop
from executor.usecases.at_hand import AtHand
from executor.usecases.clear_node import ClearNode
from executor.usecases.node_state import NodeState
from executor.usecases.retries import is_temporary
from executor.usecases.watch_occupancy import WatchOccupancy

STOPS = {LeaseState.LOST: Stop.LOST, LeaseState.CANCELLED: Stop.CANCELLED}


@dataclass(slots=True, kw_only=True)
class SendBeat:
    """Says that this executor lives, which renews the lease of the attempt at hand; hears what operators order.

    Attributes:
        clear_now: called when there is an order to clear the node.
    """

    bus: Bus
    node_name: str
    boot_id: UUID
    at_hand: AtHand
    state: NodeState
    occupancy: WatchOccupancy
    clear: ClearNode
    clear_now: Callable[[], None]
    _refused: str = field(default="", init=False)  # digest of a catalog that the scheduler does not take

    async def __call__(self) -> None:
        """Beat once. Not being heard changes nothing here: whether the lease lapsed is the scheduler's to say."""
        ref, catalog = self.at_hand.ref, self.state.catalog
        beat = Beat(
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
            answer = await self.bus.request(BEAT, beat, key=self.node_name)
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
        """Send the catalog, unless it was refused for good: megabytes with every beat would change nothing."""
        if catalog.digest == self._refused:
            return
        try:
            await self.bus.request(REPORT_CATALOG, catalog, key=self.node_name)
        except Refusal as refusal:
            if is_temporary(refusal):
                raise
            self._refused = catalog.digest
            log.error("executor.catalog.refused", code=refusal.refused.code, digest=catalog.digest)
