"""Operators see the nodes, and order something of them."""

from collections.abc import Callable
from typing import assert_never

from chassis.database.postgres import Database
from chassis.database.statement import Connection, Row
from chassis.telemetry.logs import log
from contracts.scheduler.nodes import (
    NodeAction,
    NodeActionReply,
    NodeAlive,
    NodeOccupancy,
    Nodes,
    NodeStatus,
    RunNodeAction,
    UnknownNode,
)
from contracts.wire.errors import InvalidMessage
from scheduler.store import node_orders
from scheduler.usecases.withdraw_attempts import Withdrawals


class AdminNodeActions:
    """Keeps what operators want of nodes; ``uncordoned`` is called when one may be given work again."""

    def __init__(
        self, database: Database, withdrawals: Withdrawals, *, online_s: float, uncordoned: Callable[[], None]
    ) -> None:
        self._database, self._withdrawals = database, withdrawals
        self._online_s, self._uncordoned = online_s, uncordoned

    async def list(self) -> Nodes:
        """Every node."""
        async with self._database.single() as connection:
            rows = await node_orders.standings(connection, online_s=self._online_s)
        return Nodes(nodes=tuple(map(_standing, rows)))

    async def order(self, command: RunNodeAction) -> NodeActionReply:
        """The node as it stands once the order holds. A drain without grace has taken its attempt by then.

        A node is cleared, and its catalog read again, once its executor heard so: a heartbeat later.

        Raises:
            UnknownNode: none of that name has ever joined.
            NodeAlive: it cannot be forgotten yet.
            InvalidMessage: this cannot be ordered of all nodes.
        """
        if command.node is None:
            return await self._order_all(command.order)
        async with self._database.direct() as connection:
            await self._find(connection, command.node)
            await self._carry_out(connection, command.node, command)
        log.info("scheduler.node.ordered", node=command.node, order=command.order)
        if command.order is NodeAction.FORGET:
            return NodeActionReply(node=None)
        if command.order is NodeAction.DRAIN:
            await self._withdrawals.drain()
        if command.order is NodeAction.UNCORDON:
            self._uncordoned()
        async with self._database.single() as connection:
            return NodeActionReply(node=await self._find(connection, command.node))

    async def _order_all(self, order: NodeAction) -> NodeActionReply:
        if order is not NodeAction.REFRESH:
            raise InvalidMessage
        async with self._database.direct() as connection:
            await node_orders.refresh(connection, None)
        log.info("scheduler.nodes.ordered", order=order)
        return NodeActionReply(node=None)

    async def _find(self, connection: Connection, node: str) -> NodeStatus:
        row = await node_orders.standing(connection, node, online_s=self._online_s)
        if row is None:
            raise UnknownNode
        return _standing(row)

    async def _carry_out(self, connection: Connection, node: str, command: RunNodeAction) -> None:
        match command.order:
            case NodeAction.CORDON:
                await node_orders.cordon(connection, node)
            case NodeAction.UNCORDON:
                await node_orders.uncordon(connection, node)
            case NodeAction.DRAIN:
                await node_orders.drain(connection, node, grace_s=command.grace_s)
            case NodeAction.CLEAR:
                await node_orders.clear(connection, node)
            case NodeAction.REFRESH:
                await node_orders.refresh(connection, node)
            case NodeAction.FORGET:
                if not await node_orders.forget(connection, node, online_s=self._online_s):
                    raise NodeAlive
            case _:
                assert_never(command.order)


def _standing(row: Row) -> NodeStatus:
    """A node and, where it is occupied, by what."""
    fields = {name: value for name, value in row.items() if not name.startswith("occupied_")}
    occupied = None
    if row["occupied_by"] is not None:
        occupied = NodeOccupancy(
            by=row["occupied_by"],
            prompt_id=row["occupied_prompt_id"],
            job_id=row["occupied_job_id"],
            since=row["occupied_since"],
        )
    return NodeStatus(**fields, occupied=occupied)
