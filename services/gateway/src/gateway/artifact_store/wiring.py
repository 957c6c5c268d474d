"""Builds the routes and loops that check the store."""

from datetime import timedelta
from time import monotonic

from gateway.admin.operations import AdminActions
from gateway.artifact_store import routes
from gateway.artifact_store.loops import create_store_loops
from gateway.artifact_store.orphans import OrphanSweeper, SweepRules
from gateway.artifact_store.service import StoreMonitor
from gateway.artifact_store.store import ArtifactStoreRecord
from gateway.wiring import Feature, Infrastructure


def wire_artifact_store(infra: Infrastructure, operations: AdminActions) -> Feature:
    """Construct the artifact store feature."""
    settings = infra.settings
    record = ArtifactStoreRecord(infra.database)
    monitor = StoreMonitor(record, infra.objects)
    rules = SweepRules(
        interval=timedelta(seconds=settings.orphans_sweep_s),
        min_age=timedelta(seconds=settings.orphan_age_s),
        delete_orphans=settings.delete_orphans,
    )
    sweeper = OrphanSweeper(record, infra.objects, monitor, rules, clock=monotonic)
    return Feature(
        routers=(routes.create_router(status=infra.objects.status, sweeper=sweeper, operations=operations),),
        loops=create_store_loops(monitor, sweeper, check_every_s=settings.store_check_s),
    )
