"""Describes what an operator's action on a node would do, without running it."""

from collections.abc import Collection

from chassis.database.postgres import Database
from contracts.preview import Preview
from contracts.scheduler.nodes import NodeAction, NodeAlive, RunNodeAction, UnknownNode
from contracts.wire.errors import InvalidMessage
from scheduler.domain.node_effects import QueueDependence, list_effects
from scheduler.domain.node_view import build_node_status
from scheduler.store import node_actions, nodes
from scheduler.usecases.fleet_state import FleetState

MAX_JOBS_READ = 100_000  # queued jobs: counting those that depend on a node has no index


class NodeActionPreviewer:
    def __init__(self, database: Database, fleet: FleetState, *, offline_after_s: float) -> None:
        self._database, self._fleet, self._offline_after_s = database, fleet, offline_after_s

    async def preview_action(self, command: RunNodeAction) -> Preview:
        """Return what the action would do now.

        Raises:
            UnknownNode, NodeAlive, InvalidMessage: the action would be refused.
        """
        if command.node is None:
            raise InvalidMessage
        async with self._database.direct() as connection:
            row = await node_actions.find_node(connection, command.node, offline_after_s=self._offline_after_s)
            if row is None:
                raise UnknownNode
            if command.order is NodeAction.FORGET and (row["is_reporting"] or row["job_id"] is not None):
                raise NodeAlive
            dependence = QueueDependence(jobs=0, is_exact=True, is_last=False)
            if command.order in {NodeAction.CORDON, NodeAction.DRAIN} and row["online"]:
                runnable: Collection[int] = ()
                if row["catalog_digest"] is not None:
                    runnable = sorted(await self._fleet.load_runnable_requirements(connection, row["catalog_digest"]))
                exclusive = await self._fleet.list_exclusive_requirements(connection, command.node, runnable)
                jobs, read = await node_actions.count_queued_jobs(connection, exclusive, max_read=MAX_JOBS_READ)
                others = await nodes.list_other_catalogs(
                    connection, command.node, offline_after_s=self._offline_after_s
                )
                dependence = QueueDependence(jobs=jobs, is_exact=read < MAX_JOBS_READ, is_last=not others)
        node = build_node_status(dict(row), jobs_last_hour=0, faults=())
        return Preview(effects=list_effects(command, node, dependence))
