"""Lists nodes for operators and runs their actions: cordon, uncordon, drain, clear, refresh, forget."""

from collections.abc import Callable
from typing import assert_never

from chassis.database.postgres import Database
from chassis.database.statement import Connection
from chassis.telemetry.logs import log
from contracts.scheduler.nodes import (
    NodeAction,
    NodeActionReply,
    NodeAlive,
    Nodes,
    NodeStatus,
    RunNodeAction,
    UnknownNode,
)
from contracts.wire.errors import InvalidMessage
from scheduler.store import node_actions
from scheduler.usecases.node_history import NodeHistoryReader
from scheduler.usecases.reclaim_prefetched import PrefetchReclaimer
from scheduler.usecases.withdraw_attempts import AttemptWithdrawer


class AdminNodeActions:
    """Runs operators' actions on nodes. ``on_uncordon`` is called after a node was uncordoned."""

    def __init__(
        self,
        database: Database,
        withdrawer: AttemptWithdrawer,
        reclaimer: PrefetchReclaimer,
        *,
        offline_after_s: float,
        on_uncordon: Callable[[], None],
    ) -> None:
        self._database, self._withdrawer, self._history = database, withdrawer, NodeHistoryReader(database)
        self._reclaimer = reclaimer
        self._offline_after_s, self._on_uncordon = offline_after_s, on_uncordon

    async def list_nodes(self) -> Nodes:
        async with self._database.single() as connection:
            rows = await node_actions.list_nodes(connection, offline_after_s=self._offline_after_s)
        history = await self._history.read_history()
        return Nodes(nodes=tuple(history.build_node_status(row) for row in rows))

    async def run_action(self, command: RunNodeAction) -> NodeActionReply:
        """Run the action and return the node; a drain without grace has withdrawn its attempt by then.

        Clear and refresh take effect after the next heartbeat of the node.

        Raises:
            UnknownNode: no node with this name has ever joined.
            NodeAlive: the node is online or has a live attempt, so it cannot be forgotten.
            InvalidMessage: the action cannot be applied to all nodes at once.
        """
        if command.node is None:
            return await self._run_on_all_nodes(command.order)
        async with self._database.direct() as connection:
            if await node_actions.find_node(connection, command.node, offline_after_s=self._offline_after_s) is None:
                raise UnknownNode
            await self._run_on_node(connection, command.node, command)
        log.info("scheduler.node.admin_action", node=command.node, action=command.order)
        if command.order is NodeAction.FORGET:
            return NodeActionReply(node=None)
        if command.order in {NodeAction.CORDON, NodeAction.DRAIN}:
            await self._reclaimer.reclaim_from_node(command.node)
        if command.order is NodeAction.DRAIN:
            await self._withdrawer.withdraw_from_drained_nodes()
        if command.order is NodeAction.UNCORDON:
            self._on_uncordon()
        return NodeActionReply(node=await self._read_node(command.node))

    async def _run_on_all_nodes(self, action: NodeAction) -> NodeActionReply:
        if action is not NodeAction.REFRESH:
            raise InvalidMessage
        async with self._database.direct() as connection:
            await node_actions.request_refresh(connection, None)
        log.info("scheduler.nodes.admin_action", action=action)
        return NodeActionReply(node=None)

    async def _read_node(self, node: str) -> NodeStatus:
        async with self._database.single() as connection:
            row = await node_actions.find_node(connection, node, offline_after_s=self._offline_after_s)
        if row is None:
            raise UnknownNode
        return (await self._history.read_history()).build_node_status(row)

    async def _run_on_node(self, connection: Connection, node: str, command: RunNodeAction) -> None:
        match command.order:
            case NodeAction.CORDON:
                await node_actions.cordon_node(connection, node)
            case NodeAction.UNCORDON:
                await node_actions.uncordon_node(connection, node)
            case NodeAction.DRAIN:
                await node_actions.drain_node(connection, node, grace_s=command.grace_s)
            case NodeAction.CLEAR:
                await node_actions.request_clear(connection, node)
            case NodeAction.REFRESH:
                await node_actions.request_refresh(connection, node)
            case NodeAction.FORGET:
                if not await node_actions.delete_node(connection, node, offline_after_s=self._offline_after_s):
                    raise NodeAlive
            case _:
                assert_never(command.order)
