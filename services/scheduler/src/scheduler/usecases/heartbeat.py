"""Executors live: they renew their leases and say what their nodes can run."""

from chassis.database.postgres import Database
from chassis.telemetry.logs import log
from contracts.scheduler.attempts import AttemptWriteReply
from contracts.scheduler.heartbeats import Heartbeat, HeartbeatReply, LeaseState, ReportCatalog
from contracts.scheduler.jobs import JobState
from contracts.wire.errors import InvalidMessage
from contracts.workflow import is_model
from scheduler.domain.catalog import Catalog, read_catalog
from scheduler.domain.states import is_final
from scheduler.store import attempts, nodes


class Heartbeats:
    """Takes signs of life."""

    def __init__(self, database: Database, *, lease_s: float, forgotten_s: float) -> None:
        self._database, self._lease_s, self._forgotten_s = database, lease_s, forgotten_s

    async def beat(self, node: str, beat: Heartbeat) -> HeartbeatReply:
        """Renew the lease of the attempt at hand, if it is still held, and say what to do about it."""
        async with self._database.direct() as connection:
            noted = await nodes.beat(connection, node, beat, online_s=self._lease_s, forgotten_s=self._forgotten_s)
            state = None
            if beat.attempt is not None:
                state = await attempts.renew(
                    connection, beat.attempt, node, lease_s=self._lease_s, progress=beat.progress
                )
        lease = LeaseState.NONE if beat.attempt is None else _lease(state)
        return HeartbeatReply(
            lease=lease,
            catalog_wanted=beat.catalog_digest is not None and not noted.known,
            clear=noted.clear,
            refresh=noted.refresh,
        )

    async def report(self, node: str, report: ReportCatalog) -> AttemptWriteReply:
        """Keep what the node can run.

        Raises:
            InvalidMessage: the report cannot be read.
        """
        catalog = read_catalog(report.digest, report.classes_zlib)
        if catalog is None:
            raise InvalidMessage
        async with self._database.direct() as connection:
            await nodes.keep_catalog(connection, node, report.digest, report.classes_zlib)
            await nodes.note_models(connection, node, _models_of(catalog))
        log.info("scheduler.node.reported", node=node, classes=len(catalog.classes))
        return AttemptWriteReply(applied=True)


def _models_of(catalog: Catalog) -> list[str]:
    """Every model file that the node has, as ``Class.input=file``."""
    return [
        f"{name}.{field}={option}"
        for name, spec in catalog.classes.items()
        for field, accepted in spec.inputs.items()
        for option in accepted.options or ()
        if is_model(option)
    ]


def _lease(state: JobState | None) -> LeaseState:
    if state is None:
        return LeaseState.LOST
    return LeaseState.CANCELLED if is_final(state) else LeaseState.KEPT
