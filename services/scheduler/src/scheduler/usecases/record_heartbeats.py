"""Records heartbeats and catalogs that executors send."""

from time import monotonic

from chassis.database.postgres import Database
from chassis.offload import offload
from chassis.telemetry.logs import log
from contracts.scheduler.attempts import AttemptRef, AttemptWriteReply
from contracts.scheduler.heartbeats import Heartbeat, HeartbeatReply, LeaseState, ReportCatalog
from contracts.scheduler.jobs import JobState
from contracts.wire.errors import InvalidMessage
from contracts.workflow import is_model_file_name
from scheduler.domain.catalog import Catalog, decode_catalog
from scheduler.domain.duplicate_executors import DuplicateExecutorDetector
from scheduler.domain.states import is_final
from scheduler.store import attempts, nodes
from scheduler.usecases.fleet_state import FleetState
from scheduler.usecases.job_metrics import JobMetrics
from scheduler.usecases.loaded_models import LoadedModels

REPORT_DUPLICATE_EVERY_S = 60.0


class HeartbeatRecorder:
    """Records heartbeats and catalogs.

    Args:
        node_attempts: live attempts that a node may have.
    """

    def __init__(
        self,
        database: Database,
        fleet: FleetState,
        loaded: LoadedModels,
        *,
        lease_s: float,
        forget_after_s: float,
        node_attempts: int,
        metrics: JobMetrics,
    ) -> None:
        self._database, self._fleet, self._loaded = database, fleet, loaded
        self._lease_s, self._forget_after_s = lease_s, forget_after_s
        self._node_attempts, self._metrics = node_attempts, metrics
        self._duplicates = DuplicateExecutorDetector()
        self._reported_at: dict[str, float] = {}

    async def record_heartbeat(self, node: str, heartbeat: Heartbeat) -> HeartbeatReply:
        """Record a heartbeat and renew the leases of its attempts.

        The reply says whether the leases still hold, whether the catalog must be sent, and what operators requested.
        """
        self._loaded.record_heartbeat(node, heartbeat.loaded if heartbeat.online else ())
        if self._duplicates.record_heartbeat(node, heartbeat.boot_id):
            self._report_duplicate(node)
        async with self._database.transaction() as connection:
            recorded = await nodes.save_heartbeat(
                connection, node, heartbeat, offline_after_s=self._lease_s, forget_after_s=self._forget_after_s
            )
            state = None
            if heartbeat.attempt is not None:
                state = await attempts.renew_lease(
                    connection,
                    heartbeat.attempt,
                    node,
                    lease_s=self._lease_s,
                    progress=heartbeat.progress,
                    left_node=heartbeat.attempt.job_id in heartbeat.left_node,
                )
        lease = LeaseState.NONE if heartbeat.attempt is None else _to_lease_state(state)
        return HeartbeatReply(
            lease=lease,
            other_lease=await self._renew_other_lease(node, heartbeat.other_attempt, heartbeat),
            further_leases=tuple(
                [await self._renew_other_lease(node, ref, heartbeat) for ref in heartbeat.further_attempts]
            ),
            max_attempts=self._node_attempts,
            catalog_wanted=heartbeat.catalog_digest is not None and not recorded.is_catalog_known,
            clear=recorded.clear_requested_at,
            refresh=recorded.refresh_requested_at,
        )

    def _report_duplicate(self, node: str) -> None:
        self._metrics.count_duplicate_executor(node)
        now = monotonic()
        if now - self._reported_at.get(node, -REPORT_DUPLICATE_EVERY_S) >= REPORT_DUPLICATE_EVERY_S:
            self._reported_at[node] = now
            log.error(
                "scheduler.node.duplicate_executor",
                node=node,
                reason="Two running executors have this node name. Both get the same attempts, so each job runs twice.",
                action="Stop one of them, or give it another EXECUTOR_NODE.",
            )

    async def _renew_other_lease(self, node: str, ref: AttemptRef | None, heartbeat: Heartbeat) -> LeaseState:
        """Renew the lease of another attempt that the heartbeat reports.

        It has a transaction of its own, because locking the rows of two jobs in one transaction could deadlock.
        """
        if ref is None:
            return LeaseState.NONE
        async with self._database.transaction() as connection:
            state = await attempts.renew_lease(
                connection,
                ref,
                node,
                lease_s=self._lease_s,
                progress=None,
                left_node=ref.job_id in heartbeat.left_node,
            )
            return _to_lease_state(state)

    async def save_catalog(self, node: str, report: ReportCatalog) -> AttemptWriteReply:
        """Save the catalog of a node. Submissions to this process that start afterwards see its models.

        The catalog is decoded in a thread, because that takes up to seconds.

        Raises:
            InvalidMessage: the catalog cannot be decoded.
        """
        catalog = await offload(decode_catalog, report.digest, report.classes_zlib)
        if catalog is None:
            raise InvalidMessage
        async with self._database.transaction() as connection:
            await nodes.save_catalog(connection, node, report.digest, report.classes_zlib)
            await nodes.save_models_at_join(connection, node, _list_models(catalog))
        self._fleet.mark_nodes_stale()
        log.info("scheduler.node.catalog_reported", node=node, classes=len(catalog.classes))
        return AttemptWriteReply(applied=True)


def _list_models(catalog: Catalog) -> list[str]:
    """List all model files of the catalog, as ``Class.input=file``."""
    return [
        f"{name}.{field}={option}"
        for name, spec in catalog.classes.items()
        for field, accepted in spec.inputs.items()
        for option in accepted.options or ()
        if is_model_file_name(option)
    ]


def _to_lease_state(state: JobState | None) -> LeaseState:
    if state is None:
        return LeaseState.LOST
    return LeaseState.CANCELLED if is_final(state) else LeaseState.KEPT
