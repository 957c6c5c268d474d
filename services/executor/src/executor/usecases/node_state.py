"""Tracks whether the node is reachable and what it can run."""

import asyncio
import time
from collections.abc import Callable
from datetime import datetime
from typing import Any

from chassis.telemetry.logs import log
from contracts.scheduler.heartbeats import ReportCatalog
from executor.clients.comfyui import ComfyUIClient
from executor.clients.comfyui_responses import NodeUnavailable, UnreadableResponse
from executor.domain.catalog import (
    NodeClasses,
    build_catalog_report,
    find_classes_keeping_png_info,
    find_classes_with_undeclared_inputs,
    parse_catalog,
)

CATALOG_RETRY_S = 10.0  # seconds before retrying an unreadable catalog
MAX_TIMEOUTS = 2  # consecutive timeouts before the node counts as offline; a refused connection counts at once


class NodeState:
    """Probes the node and reads its catalog.

    It reads the catalog at start, after every absence, when model files change, on an operator's command, and
    periodically.

    Args:
        catalog_every_s: interval between catalog readings.

    Attributes:
        refreshed_at: when the newest completed refresh command was given.
    """

    def __init__(self, node: ComfyUIClient, *, catalog_every_s: float) -> None:
        self._node, self._catalog_every_s = node, catalog_every_s
        self._on_change: Callable[[], None] = lambda: None
        self._consecutive_timeouts = 0
        self._next_read_at = 0.0
        self._on_catalog_due: Callable[[], None] = lambda: None
        self._last_models_digest: str | None = None
        self._refresh_commanded_at: datetime | None = None
        self.refreshed_at: datetime | None = None
        self.classes: NodeClasses | None = None  # None until the catalog was read
        self.online = False
        self.reachable = asyncio.Event()
        self.catalog: ReportCatalog | None = None
        self.is_catalog_reported = False  # received by the scheduler
        self.foreign_prompts = 0  # foreign prompts that keep the node from requesting work
        self.loaded_models: tuple[str, ...] = ()  # model files of our latest prompt; empty if they may be unloaded

    def register_change_callback(self, callback: Callable[[], None]) -> None:
        """Register a callback that runs when reachability or catalog change, or foreign prompts appear or are gone."""
        self._on_change = callback

    def register_refresh_callback(self, callback: Callable[[], None]) -> None:
        """Register a callback for when the catalog should be read at once."""
        self._on_catalog_due = callback

    def accept_refresh_command(self, commanded_at: datetime) -> None:
        """Accept an operator's command to refresh the catalog."""
        if self._refresh_commanded_at is None or commanded_at > self._refresh_commanded_at:
            self._refresh_commanded_at = commanded_at
            self._schedule_catalog_read()

    async def check_models(self) -> None:
        """Schedule a reading of the catalog if model files have changed. Cheaper than reading it."""
        if not self.online:
            return
        digest = await self._read_models_digest()
        if digest is not None and self._last_models_digest not in {None, digest}:
            log.info("executor.models.changed")
            self._schedule_catalog_read()
        self._last_models_digest = digest or self._last_models_digest

    async def _read_models_digest(self) -> str | None:
        try:
            return await self._node.compute_models_digest()
        except NodeUnavailable as unavailable:
            log.info("executor.models.read_failed", why=str(unavailable))
            return None

    def _schedule_catalog_read(self) -> None:
        self._next_read_at = 0.0
        self._on_catalog_due()

    def record_foreign_prompts(self, count: int) -> None:
        """Record how many foreign prompts are in the node's queue. Changes from and to 0 are reported at once.

        Foreign prompts may unload our models.
        """
        has_changed = (count > 0) != (self.foreign_prompts > 0)
        self.foreign_prompts = count
        if count > 0:
            self.loaded_models = ()
        if has_changed:
            self._on_change()

    async def check_node(self) -> None:
        """Probe once, and read the catalog when due."""
        try:
            await self._node.probe()
            self._consecutive_timeouts = 0
            if not self.online or time.monotonic() >= self._next_read_at:
                await self._read_catalog()
        except NodeUnavailable as unavailable:
            self._consecutive_timeouts += 1
            if not unavailable.may_have_arrived or self._consecutive_timeouts >= MAX_TIMEOUTS:
                self._set_online(online=False, why=str(unavailable))
        else:
            self._set_online(online=True)

    async def _read_catalog(self) -> None:
        """Read the catalog. If it cannot be read, the previous one stays in use."""
        commanded_at, self._next_read_at = self._refresh_commanded_at, time.monotonic() + self._catalog_every_s
        if self._last_models_digest is None:  # read before the catalog, so that a change in between is noticed later
            self._last_models_digest = await self._read_models_digest()
        try:
            object_info = await self._node.read_object_info()
            written = await self._node.list_written_models()
        except UnreadableResponse as unreadable:
            log.error("executor.catalog.unreadable", why=str(unreadable))
            self._next_read_at = time.monotonic() + min(CATALOG_RETRY_S, self._catalog_every_s)
            return
        except NodeUnavailable:
            self._next_read_at = 0.0
            raise
        # Tens of milliseconds for hundreds of classes: in a thread, so that the websocket is read meanwhile.
        self.classes, catalog = await asyncio.to_thread(_build_classes_and_report, object_info, written)
        has_changed, self.refreshed_at = commanded_at != self.refreshed_at, commanded_at
        if self.catalog is None or self.catalog.digest != catalog.digest:
            self.catalog, self.is_catalog_reported, has_changed = catalog, False, True
            log.info("executor.catalog.read", classes=len(object_info), digest=catalog.digest)
        if has_changed and self.online:
            self._on_change()

    def _set_online(self, *, online: bool, why: str = "") -> None:
        if online == self.online:
            return
        self.online = online
        if online:
            self.reachable.set()
        else:
            self.reachable.clear()
            self.loaded_models, self.foreign_prompts, self._last_models_digest = (), 0, None
        if online:
            log.info("executor.node.online")
        else:
            log.warning("executor.node.offline", why=why)
        self._on_change()


def _build_classes_and_report(
    object_info: dict[str, Any], written: frozenset[str]
) -> tuple[NodeClasses, ReportCatalog]:
    specs = parse_catalog(object_info, written)
    keeping_png_info = find_classes_keeping_png_info(object_info)
    return NodeClasses(specs, find_classes_with_undeclared_inputs(object_info), keeping_png_info), build_catalog_report(
        specs
    )
