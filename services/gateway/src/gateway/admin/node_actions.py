"""Performs or previews actions of admins on nodes."""

from collections.abc import Sequence

from contracts.scheduler.nodes import NodeAction, NodeStatus
from gateway.admin.dry_run import DryRunBody, build_dry_run_body
from gateway.admin.operation_schemas import NodeBody, build_node_body
from gateway.admin.operations import AdminActions, AdminContext
from gateway.admin.usernames import UsernameDirectory


class NodeActionService:
    def __init__(self, operations: AdminActions, usernames: UsernameDirectory) -> None:
        self._operations, self._usernames = operations, usernames

    async def change_node(self, admin: AdminContext, node: str, action: NodeAction) -> NodeBody:
        return await self._change_node(admin, node, action, 0)

    async def change_or_preview(
        self, admin: AdminContext, node: str, action: NodeAction, *, dry_run: bool, grace_s: float = 0
    ) -> NodeBody | DryRunBody:
        """Change a node and return it, or return only what would happen."""
        if dry_run:
            return build_dry_run_body(await self._operations.preview_node_action(admin, node, action, grace_s=grace_s))
        return await self._change_node(admin, node, action, grace_s)

    async def forget_node(self, admin: AdminContext, node: str, *, dry_run: bool) -> DryRunBody | None:
        """Remove a node, or return what would happen."""
        if dry_run:
            return build_dry_run_body(await self._operations.preview_node_action(admin, node, NodeAction.FORGET))
        await self._operations.run_node_action(admin, node, NodeAction.FORGET)
        return None

    async def build_node_bodies(self, nodes: Sequence[NodeStatus], *, admin: str) -> list[NodeBody]:
        """Return the bodies of nodes, with the names of the users whose jobs they run."""
        tenants = (node.running.tenant_id for node in nodes if node.running)
        names = await self._usernames.read_usernames(tenants, admin=admin)
        return [build_node_body(node, names) for node in nodes]

    async def _change_node(self, admin: AdminContext, node: str, action: NodeAction, grace_s: float) -> NodeBody:
        node_status = await self._operations.run_node_action(admin, node, action, grace_s=grace_s)
        assert node_status is not None  # noqa: S101 - None only after FORGET
        (body,) = await self.build_node_bodies([node_status], admin=admin.tenant)
        return body
