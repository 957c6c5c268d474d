"""Says what an operator's action on a node would do, without doing it."""

from collections.abc import Collection

from chassis.database.postgres import Database
from contracts.preview import Preview
from contracts.scheduler.nodes import NodeAction, NodeAlive, RunNodeAction, UnknownNode
from contracts.wire.errors import InvalidMessage
from scheduler.domain.node_effects import Dependence, list_effects
from scheduler.domain.node_view import build_node
from scheduler.store import node_actions, nodes
from scheduler.usecases.fleet_state import FleetState

MAX_JOBS_READ = 100_000  # queued jobs: counting those that depend on a node has no index


class NodeActionPreviewer:
    def __init__(self, database: Database, fleet: FleetState, *, online_s: float) -> None:
        self._database, self._fleet, self._online_s = database, fleet, online_s

    async def preview_action(self, command: RunNodeAction) -> Preview:
        """Return what the action would do now.

        Raises:
            UnknownNode, NodeAlive, InvalidMessage: the action would be refused.
        """
        if command.node is None:
            raise InvalidMessage
        async with self._database.transaction() as connection:
            row = await node_actions.find_node(connection, command.node, online_s=self._online_s)
            if row is None:
                raise UnknownNode
            if command.order is NodeAction.FORGET and (row["is_reporting"] or row["job_id"] is not None):
                raise NodeAlive
            dependence = Dependence(jobs=0, is_exact=True, is_last=False)
            if command.order in {NodeAction.CORDON, NodeAction.DRAIN} and row["online"]:
                runnable: Collection[int] = ()
                if row["catalog_digest"] is not None:
                    runnable = sorted(await self._fleet.load_runnable_requirements(connection, row["catalog_digest"]))
                exclusive = await self._fleet.list_exclusive_requirements(connection, command.node, runnable)
                jobs, read = await node_actions.count_queued(connection, exclusive, most_read=MAX_JOBS_READ)
                others = await nodes.list_other_catalogs(connection, command.node, online_s=self._online_s)
                dependence = Dependence(jobs=jobs, is_exact=read < MAX_JOBS_READ, is_last=not others)
        node = build_node(dict(row), jobs_last_hour=0, faults=())
        return Preview(effects=list_effects(command, node, dependence))
