"""Runs one node of a prompt: resolves its inputs, checks for interrupts, reports progress, and calls it."""

import asyncio
from collections.abc import Callable
from typing import Any

from simnode import frames
from simnode.components import NodeComponents
from simnode.failures import build_broken_device, build_out_of_memory
from simnode.node_class import Call, NodeResult
from simnode.progress import Progress, ProgressThrottle
from simnode.wire import Document, Workflow


class NodeRun:
    """A single execution of a node.

    ``trigger_fault`` is called with ``step`` at each progress update, to trigger a fault that is armed for it.
    """

    def __init__(
        self,
        components: NodeComponents,
        graph: Workflow,
        node_id: str,
        *,
        extra: Document,
        progress: Progress,
        trigger_fault: Callable[[str], None],
    ) -> None:
        self._components = components
        self._graph = graph
        self._node_id = node_id
        self._extra = extra
        self._progress = progress
        self._trigger_fault = trigger_fault
        self._throttle = ProgressThrottle(enabled=components.settings.is_0_33)

    async def call(self, get_output: Callable[[str, int], Any]) -> NodeResult:
        """Call the node once.

        Args:
            get_output: returns the value of an output slot of an earlier node.

        Raises:
            Interrupted: an interrupt check found the flag set.
            Exception: whatever the node raises.
        """
        self._components.interrupts.check()
        self._break_device()
        node_class = self._components.catalog.get_node_class(self._graph[self._node_id])
        if node_class.has_delay and self._components.settings.node_s:
            await asyncio.sleep(self._components.settings.node_s)
        return await node_class.run(self._prepare_inputs(get_output))

    def _prepare_inputs(self, get_output: Callable[[str, int], Any]) -> Call:
        node = self._graph[self._node_id]
        inputs: Document = {}
        for field in self._components.catalog.get_node_class(node).expand_inputs(node["inputs"]):
            if field.name in node["inputs"]:
                value = node["inputs"][field.name]
                inputs[field.name] = get_output(value[0], value[1]) if isinstance(value, list) else value
            else:
                inputs[field.name] = field.options.get("default")
        return Call(
            node_id=self._node_id,
            inputs=inputs,
            prompt=self._graph,
            pnginfo=self._extra.get("extra_pnginfo"),
            resources=self._components.resources,
            report_progress=self._report_progress,
            send_text=lambda text: self._components.hub.send_text(self._node_id, text),
            send_image=lambda image: self._components.hub.send_frame(
                frames.encode_preview(image), self._components.hub.client_id
            ),
            exit_process=self._components.exit_process,
        )

    async def _report_progress(self, value: float, maximum: float, preview: Callable[[], bytes] | None) -> None:
        self._components.interrupts.check()
        self._trigger_fault("step")
        if not self._throttle.admit(value, maximum, has_preview=preview is not None):
            return
        image = await asyncio.to_thread(preview) if preview is not None else None
        self._progress.step(self._node_id, value, maximum, image)

    def _break_device(self) -> None:
        components = self._components
        if components.faults.trigger("oom"):
            raise build_out_of_memory()
        if components.faults.get_params("poisoned") is not None:
            components.poisoned = True
        if components.poisoned:
            components.faults.count_occurrence("poisoned")
            raise build_broken_device()
