"""Tracks whether the node is reachable and what it can run."""

import asyncio
import time
from collections.abc import Callable
from datetime import datetime
from typing import Any

from chassis.telemetry.logs import log
from contracts.scheduler.heartbeats import ReportCatalog
from executor.clients.comfyui import ComfyUI
from executor.clients.comfyui_answers import NodeAway, UnusableAnswer
from executor.domain.catalog import NodeClasses, flexible_classes, keepers_of_png_info, read_catalog, report

AGAIN_S = 10.0  # seconds before retrying an unreadable catalog
MISSES = 2  # consecutive timeouts before the node counts as offline; a refused connection counts at once


class NodeState:
    """Probes the node and reads its catalog.

    That happens at start, after every absence, when model files change, on an operator's command, and periodically.

    Args:
        catalog_every_s: interval between catalog readings.

    Attributes:
        refreshed: time of the newest completed refresh command.
    """

    def __init__(self, node: ComfyUI, *, catalog_every_s: float) -> None:
        self._node, self._catalog_every_s = node, catalog_every_s
        self._changed: Callable[[], None] = lambda: None
        self._misses = 0
        self._read_next = 0.0
        self._read_now: Callable[[], None] = lambda: None
        self._models: str | None = None
        self._refresh: datetime | None = None
        self.refreshed: datetime | None = None
        self.classes: NodeClasses | None = None  # None until the catalog was read
        self.online = False
        self.came = asyncio.Event()
        self.catalog: ReportCatalog | None = None
        self.reported = False  # received by the scheduler
        self.foreign_prompts = 0  # foreign prompts that keep the node from requesting work
        self.loaded: tuple[
            str, ...
        ] = ()  # model files of the last prompt; cleared after an absence, because the node may have restarted

    def when_changed(self, callback: Callable[[], None]) -> None:
        """Register a callback for changes of reachability or catalog."""
        self._changed = callback

    def when_reading_is_due(self, callback: Callable[[], None]) -> None:
        """Register a callback for a commanded catalog refresh."""
        self._read_now = callback

    def order_refresh(self, ordered_at: datetime) -> None:
        """Accept an operator's command to refresh the catalog."""
        if self._refresh is None or ordered_at > self._refresh:
            self._refresh = ordered_at
            self._expect_change()

    async def look_at_models(self) -> None:
        """Check cheaply whether model files changed, and have the catalog read if so."""
        if not self.online:
            return
        digest = await self._models_digest()
        if digest is not None and self._models not in {None, digest}:
            log.info("executor.models.changed")
            self._expect_change()
        self._models = digest or self._models

    async def _models_digest(self) -> str | None:
        try:
            return await self._node.models_digest()
        except NodeAway as away:
            log.info("executor.models.unread", why=str(away))
            return None

    def _expect_change(self) -> None:
        self._read_next = 0.0
        self._read_now()

    def note_foreign_prompts(self, count: int) -> None:
        """Record how many foreign prompts are in the node's queue. Changes from and to 0 are reported at once."""
        is_news = (count > 0) != (self.foreign_prompts > 0)
        self.foreign_prompts = count
        if is_news:
            self._changed()

    async def look(self) -> None:
        """Probe once, and read the catalog when due."""
        try:
            await self._node.probe()
            self._misses = 0
            if not self.online or time.monotonic() >= self._read_next:
                await self._read()
        except NodeAway as away:
            self._misses += 1
            if not away.heard or self._misses >= MISSES:
                self._turn(online=False, why=str(away))
        else:
            self._turn(online=True)

    async def _read(self) -> None:
        """Read the catalog. If it cannot be read, the previous one stays in use."""
        ordered, self._read_next = self._refresh, time.monotonic() + self._catalog_every_s
        if self._models is None:  # before the catalog, so that changes in between are noticed
            self._models = await self._models_digest()
        try:
            described = await self._node.object_info()
            written = await self._node.written_models()
        except UnusableAnswer as unusable:
            log.error("executor.catalog.unusable", why=str(unusable))
            self._read_next = time.monotonic() + min(AGAIN_S, self._catalog_every_s)
            return
        except NodeAway:
            self._read_next = 0.0
            raise
        # Tens of milliseconds for hundreds of classes: in a thread, so that the websocket is read meanwhile.
        self.classes, catalog = await asyncio.to_thread(_read_and_report, described, written)
        is_news, self.refreshed = ordered != self.refreshed, ordered
        if self.catalog is None or self.catalog.digest != catalog.digest:
            self.catalog, self.reported, is_news = catalog, False, True
            log.info("executor.catalog.read", classes=len(described), digest=catalog.digest)
        if is_news and self.online:
            self._changed()

    def _turn(self, *, online: bool, why: str = "") -> None:
        if online == self.online:
            return
        self.online = online
        if online:
            self.came.set()
        else:
            self.came.clear()
            self.loaded, self.foreign_prompts, self._models = (), 0, None
        if online:
            log.info("executor.node.online")
        else:
            log.warning("executor.node.away", why=why)
        self._changed()


def _read_and_report(described: dict[str, Any], written: frozenset[str]) -> tuple[NodeClasses, ReportCatalog]:
    specs = read_catalog(described, written)
    return NodeClasses(specs, flexible_classes(described), keepers_of_png_info(described)), report(specs)
