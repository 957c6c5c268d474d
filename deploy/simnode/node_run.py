"""Runs one node of a prompt: resolves its inputs, checks for interrupts, reports progress, and calls it."""

import asyncio
from collections.abc import Callable
from typing import Any

from simnode import frames
from simnode.failures import build_broken_device, build_out_of_memory
from simnode.node_class import Call, NodeResult
from simnode.parts import Parts
from simnode.progress import Progress, ProgressThrottle
from simnode.wire import Document, Workflow


class NodeRun:
    """A single execution of a node.

    ``checkpoint`` is called with ``step`` at each progress update, where an armed fault can be triggered.
    """

    def __init__(
        self,
        parts: Parts,
        graph: Workflow,
        node_id: str,
        *,
        extra: Document,
        progress: Progress,
        checkpoint: Callable[[str], None],
    ) -> None:
        self._parts = parts
        self._graph = graph
        self._node_id = node_id
        self._extra = extra
        self._progress = progress
        self._checkpoint = checkpoint
        self._throttle = ProgressThrottle(enabled=parts.settings.is_new)

    async def call(self, value_of: Callable[[str, int], Any]) -> NodeResult:
        """Call the node once.

        Args:
            value_of: returns the value of an output slot of an earlier node.

        Raises:
            Interrupted: the interrupt flag was set at a checkpoint.
            Exception: whatever the node raises.
        """
        self._parts.interrupts.check()
        self._break_device()
        node_class = self._parts.catalog.of(self._graph[self._node_id])
        if node_class.paced and self._parts.settings.node_s:
            await asyncio.sleep(self._parts.settings.node_s)
        return await node_class.run(self._prepare_inputs(value_of))

    def _prepare_inputs(self, value_of: Callable[[str, int], Any]) -> Call:
        node = self._graph[self._node_id]
        inputs: Document = {}
        for field in self._parts.catalog.of(node).fields(node["inputs"]):
            if field.name in node["inputs"]:
                value = node["inputs"][field.name]
                inputs[field.name] = value_of(value[0], value[1]) if isinstance(value, list) else value
            else:
                inputs[field.name] = field.options.get("default")
        return Call(
            node_id=self._node_id,
            inputs=inputs,
            prompt=self._graph,
            pnginfo=self._extra.get("extra_pnginfo"),
            shelf=self._parts.shelf,
            tick=self._report_progress,
            tell=lambda text: self._parts.hub.send_text(self._node_id, text),
            send_picture=lambda picture: self._parts.hub.queue_frame(
                frames.preview(picture), self._parts.hub.client_id
            ),
            die=self._parts.die,
        )

    async def _report_progress(self, value: float, maximum: float, preview: Callable[[], bytes] | None) -> None:
        self._parts.interrupts.check()
        self._checkpoint("step")
        if not self._throttle.passes(value, maximum, has_preview=preview is not None):
            return
        picture = await asyncio.to_thread(preview) if preview is not None else None
        self._progress.step(self._node_id, value, maximum, picture)

    def _break_device(self) -> None:
        parts = self._parts
        if parts.faults.fire("oom"):
            raise build_out_of_memory()
        if parts.faults.params("poisoned") is not None:
            parts.poisoned = True
        if parts.poisoned:
            parts.faults.count_occurrence("poisoned")
            raise build_broken_device()
