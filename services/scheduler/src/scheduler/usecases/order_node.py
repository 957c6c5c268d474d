"""Operators see the nodes, and order something of them."""

from collections.abc import Callable
from typing import assert_never

from chassis.logs import log
from chassis.postgres import Database
from chassis.statement import Connection
from contracts.operations import NodeAlive, NodeOrder, NodeOrdered, Nodes, NodeStanding, OrderNode, UnknownNode
from scheduler.store import node_orders
from scheduler.usecases.withdraw_attempts import Withdrawals


class NodeOrderer:
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
        return Nodes(nodes=tuple(NodeStanding(**row) for row in rows))

    async def order(self, command: OrderNode) -> NodeOrdered:
        """The node as it stands once the order holds. A drain without grace has taken its attempt by then.

        Raises:
            UnknownNode: none of that name has ever joined.
            NodeAlive: it cannot be forgotten yet.
        """
        async with self._database.direct() as connection:
            await self._find(connection, command.node)
            await self._carry_out(connection, command)
        log.info("scheduler.node.ordered", node=command.node, order=command.order)
        if command.order is NodeOrder.FORGET:
            return NodeOrdered(node=None)
        if command.order is NodeOrder.DRAIN:
            await self._withdrawals.drain()
        if command.order is NodeOrder.UNCORDON:
            self._uncordoned()
        async with self._database.single() as connection:
            return NodeOrdered(node=await self._find(connection, command.node))

    async def _find(self, connection: Connection, node: str) -> NodeStanding:
        row = await node_orders.standing(connection, node, online_s=self._online_s)
        if row is None:
            raise UnknownNode
        return NodeStanding(**row)

    async def _carry_out(self, connection: Connection, command: OrderNode) -> None:
        match command.order:
            case NodeOrder.CORDON:
                await node_orders.cordon(connection, command.node)
            case NodeOrder.UNCORDON:
                await node_orders.uncordon(connection, command.node)
            case NodeOrder.DRAIN:
                await node_orders.drain(connection, command.node, grace_s=command.grace_s)
            case NodeOrder.FORGET:
                if not await node_orders.forget(connection, command.node, online_s=self._online_s):
                    raise NodeAlive
            case _:
                assert_never(command.order)
