"""Reads which software and GPUs the node has, and how much GPU memory is free."""

from importlib.metadata import version
from time import monotonic

from chassis.telemetry.logs import log
from contracts.scheduler.heartbeats import NodeSystem
from executor.clients.comfyui import ComfyUIClient
from executor.clients.comfyui_responses import NodeUnavailable
from executor.domain.system_stats import NodeHardware, parse_system_stats
from executor.usecases.node_state import NodeState

CHECK_EVERY_S = 1.0
READ_EVERY_S = 10.0


class SystemMonitor:
    """Keeps the last report of the node. A node that cannot report is used all the same."""

    def __init__(self, node: ComfyUIClient, state: NodeState) -> None:
        self._node, self._state = node, state
        self._executor_version = version("comfyfleet-executor")
        self._hardware = NodeHardware()
        self._next_read_at = 0.0

    async def tick(self) -> None:
        """Read if the last report is older than ``READ_EVERY_S``. For ``chassis.loop.Loop``."""
        if not self._state.online or monotonic() < self._next_read_at:
            return
        self._next_read_at = monotonic() + READ_EVERY_S
        try:
            self._hardware = parse_system_stats(await self._node.read_system_stats())
        except NodeUnavailable as unavailable:
            log.info("executor.system.read_failed", why=str(unavailable))

    def get_last_report(self) -> NodeSystem:
        return NodeSystem(
            executor_version=self._executor_version,
            comfyui_version=self._hardware.comfyui_version,
            gpus=self._hardware.gpus,
        )
