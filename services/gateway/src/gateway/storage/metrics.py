"""Exports the state of the artifact store as metrics."""

from chassis.telemetry.metrics import Metrics
from contracts.metrics import ARTIFACT_FREE_BYTES, ARTIFACT_WRITES, ORPHANS_DELETED
from gateway.storage.status import StoreStatus, WriteResult


def export_store_status(metrics: Metrics, status: StoreStatus) -> None:
    """Export writes by result, free space and deleted orphans, read from ``status`` at each scrape."""
    metrics.read_at_scrape(ARTIFACT_WRITES, lambda: {(result.value,): status.writes[result] for result in WriteResult})
    metrics.read_at_scrape(ARTIFACT_FREE_BYTES, lambda: {} if status.free_bytes is None else {(): status.free_bytes})
    metrics.read_at_scrape(ORPHANS_DELETED, lambda: {(): status.orphans_deleted})
