"""Runs one prompt from the first event to the last, in the order that ComfyUI 0.3 and 0.33 share."""

import asyncio
import contextlib
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from simnode.cache import CachedResult
from simnode.catalog import find_linked_nodes
from simnode.components import NodeComponents
from simnode.failures import build_exception_message, format_traceback, get_exception_type
from simnode.interrupts import Interrupted
from simnode.node_run import NodeRun
from simnode.progress import Progress
from simnode.schedule import Schedule
from simnode.wire import Document, QueueItem, Workflow, now_ms

SUCCESS, ERROR, INTERRUPTED = "success", "error", "interrupted"


@dataclass(slots=True)
class Outcome:
    """How a prompt ended, as history reports it."""

    kind: str = SUCCESS
    messages: list[list[Any]] = field(default_factory=list)
    outputs: Document = field(default_factory=dict)
    meta: Document = field(default_factory=dict)

    def status(self) -> Document:
        """Return the ``status`` of a history entry. An interrupted prompt counts as an error."""
        done = self.kind == SUCCESS
        return {"status_str": SUCCESS if done else ERROR, "completed": done, "messages": self.messages}


class Execution:
    """One run of one prompt. Events go to its client, history messages into the outcome."""

    def __init__(self, components: NodeComponents, item: QueueItem, trigger_fault: Callable[[str], None]) -> None:
        """Prepare a run.

        Args:
            components: the node.
            item: the queue item.
            trigger_fault: called with the name of each moment at which an armed fault can be triggered.
        """
        _, self._prompt_id, prompt, self._extra, self._targets = item[:5]
        self._components = components
        self._trigger_fault = trigger_fault
        self._graph: Workflow = {node_id: dict(node) for node_id, node in prompt.items()}
        self._progress = Progress(components.hub, self._prompt_id)
        self._results: dict[str, tuple[Any, ...]] = {}
        self._executed: list[str] = []
        self._outcome = Outcome()

    async def run(self) -> Outcome:
        """Run to completion, failure or interruption.

        Raises:
            KeyError: an unreachable node has no ``inputs``. As in ComfyUI this ends the worker.
        """
        components = self._components
        components.interrupts.clear()
        components.hub.client_id = self._extra.get("client_id")
        self._record_event("execution_start", {"prompt_id": self._prompt_id})
        await asyncio.to_thread(self._set_is_changed)
        components.cache.start_prompt(self._graph)
        self._record_event(
            "execution_cached", {"nodes": components.cache.list_cached_nodes(), "prompt_id": self._prompt_id}
        )
        if await self._run_nodes():
            self._trigger_fault("finished")
            self._record_event("execution_success", {"prompt_id": self._prompt_id})
        components.hub.last_node_id = None
        return self._outcome

    async def _run_nodes(self) -> bool:
        components = self._components
        schedule = Schedule(
            self._targets,
            find_inputs=lambda node_id: find_linked_nodes(self._graph, components.catalog, node_id),
            is_cached=lambda node_id: components.cache.get(node_id) is not None,
        )
        while schedule:
            node_id = schedule.choose_next()
            try:
                await self._run_node(node_id)
            except Interrupted:
                self._report_interrupt(node_id)
                return False
            except Exception as error:  # noqa: BLE001 - whatever a node raises is the prompt's error, not ours
                self._report_error(node_id, error)
                return False
            schedule.mark_done(node_id)
        return True

    async def _run_node(self, node_id: str) -> None:
        kept = self._components.cache.get(node_id)
        if kept is not None:
            self._send_cached(node_id, kept)
            return
        self._progress.start(node_id)
        self._announce_node(node_id)
        run = NodeRun(
            self._components,
            self._graph,
            node_id,
            extra=self._extra,
            progress=self._progress,
            trigger_fault=self._trigger_fault,
        )
        result = await run.call(self._get_output)
        await self._run_expansion(node_id, result.expand or {})
        self._executed.append(node_id)
        root = self._progress.find_root(node_id)
        parent = self._progress.parents.get(node_id)
        meta = {"node_id": node_id, "display_node": root, "parent_node": parent, "real_node_id": root}
        entry = CachedResult(result.outputs, result.ui, meta)
        if result.ui:
            self._store_output(node_id, entry)
        self._components.cache.store(node_id, entry)
        self._results[node_id] = result.outputs
        self._progress.finish(node_id)

    async def _run_expansion(self, parent: str, children: Workflow) -> None:
        """Run the nodes that a node expanded into. Their outputs are stored under that node."""
        self._graph |= children
        self._progress.parents |= dict.fromkeys(children, parent)
        self._components.cache.add_expanded_nodes(self._graph, parent, list(children))
        for child in children:
            await self._run_node(child)

    def _send_cached(self, node_id: str, kept: CachedResult) -> None:
        """Send the message of a cached output node again, without executing the node."""
        self._store_output(node_id, kept)
        self._progress.finish(node_id)

    def _store_output(self, node_id: str, entry: CachedResult) -> None:
        if entry.ui:
            self._outcome.outputs[node_id] = entry.ui
            self._outcome.meta[node_id] = entry.meta
        root = self._progress.find_root(node_id)
        shown = {"node": node_id, "display_node": root, "output": entry.ui, "prompt_id": self._prompt_id}
        self._send_event("executed", shown)

    def _announce_node(self, node_id: str) -> None:
        hub, root = self._components.hub, self._progress.find_root(node_id)
        if hub.client_id is not None:
            hub.last_node_id = root
        self._send_event("executing", {"node": node_id, "display_node": root, "prompt_id": self._prompt_id})

    def _get_output(self, node_id: str, slot: int) -> Any:
        if node_id not in self._results:
            kept = self._components.cache.get(node_id)
            self._results[node_id] = kept.outputs if kept is not None else ()
        return self._results[node_id][slot]

    def _set_is_changed(self) -> None:
        """Set ``is_changed`` on nodes whose result depends on more than their inputs, for example on files."""
        for node in self._graph.values():
            node_class = self._components.catalog.find_class(node["class_type"])
            if node_class is None or node_class.fingerprint is None or "is_changed" in node:
                continue
            node["is_changed"] = [None]
            with contextlib.suppress(OSError):
                node["is_changed"] = [node_class.fingerprint(node["inputs"], self._components.resources)]

    def _report_interrupt(self, node_id: str) -> None:
        self._outcome.kind = INTERRUPTED
        self._record_event("execution_interrupted", self._describe_node(node_id), broadcast=True)

    def _report_error(self, node_id: str, error: Exception) -> None:
        self._outcome.kind = ERROR
        details = {
            "exception_message": build_exception_message(error),
            "exception_type": get_exception_type(error),
            "traceback": format_traceback(error),
            "current_inputs": self._quote_inputs(node_id),
            "current_outputs": self._components.cache.list_cached_nodes(),
        }
        self._record_event("execution_error", {**self._describe_node(node_id), **details})

    def _describe_node(self, node_id: str) -> Document:
        node_type = self._graph[node_id]["class_type"]
        return {
            "prompt_id": self._prompt_id,
            "node_id": node_id,
            "node_type": node_type,
            "executed": list(self._executed),
        }

    def _quote_inputs(self, node_id: str) -> Document:
        quoted: Document = {}
        for name, value in self._graph[node_id]["inputs"].items():
            real = self._get_output(value[0], value[1]) if isinstance(value, list) else value
            quoted[name] = [real if real is None or isinstance(real, int | float | str) else str(real)]
        return quoted

    def _record_event(self, event: str, data: Document, *, broadcast: bool = False) -> None:
        stamped = {**data, "timestamp": now_ms()}
        self._outcome.messages.append([event, stamped])
        if self._components.hub.client_id is not None or broadcast:
            self._components.hub.send(event, stamped, self._components.hub.client_id)

    def _send_event(self, event: str, data: Document) -> None:
        if self._components.hub.client_id is not None:
            self._components.hub.send(event, data, self._components.hub.client_id)
