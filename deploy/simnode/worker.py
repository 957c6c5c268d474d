"""The worker: runs prompts one at a time, writes history, and reports the end.

As with ComfyUI's worker thread, an error outside of a node ends it permanently, while HTTP continues.
"""

import asyncio
import sys
import traceback
from collections.abc import Iterator

from simnode.components import NodeComponents
from simnode.execution import SUCCESS, Execution, Outcome
from simnode.failures import EXIT_STATUS, WorkerDied
from simnode.wire import QueueItem

HISTORY_DELAY_S = (0.002, 0.02)
"""Time between execution_success and the history entry. On real servers it has no limit."""
THREAD = "Thread-1 (prompt_worker)"


class Worker:
    """Runs queued prompts until it is stopped or dies."""

    def __init__(self, components: NodeComponents) -> None:
        self._components = components
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        self._task = asyncio.create_task(self._run(), name="prompt_worker")
        self._task.add_done_callback(self._log_worker_error)

    async def stop(self) -> None:
        """Stop immediately; a running prompt is lost."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task])

    async def _run(self) -> None:
        components = self._components
        while True:
            await components.queue.wait_for_work()
            if components.queue.pending:
                self._trigger_fault("idle")
                await self._run_item(components.queue.start_next())
            flags = components.queue.take_flags()
            if flags.get("free_memory"):
                components.cache.clear()
                if (components.faults.get_params("oom") or {}).get("until_freed"):
                    components.faults.disarm("oom")

    async def _run_item(self, item: QueueItem) -> None:
        components, prompt_id = self._components, item[1]
        components.ledger.record_start(prompt_id)
        await asyncio.sleep(0)  # the window in which a cancellation is lost
        self._trigger_fault("started")
        outcome = await Execution(components, item, self._trigger_fault).run()
        await asyncio.sleep(components.rng.uniform(*HISTORY_DELAY_S))
        if components.faults.trigger("history_held"):
            await components.faults.wait_until_disarmed("history_held")
        components.queue.finish(item, lambda: self._write_history(item, outcome))
        if components.hub.client_id is not None:
            components.hub.send("executing", {"node": None, "prompt_id": prompt_id}, components.hub.client_id)
        components.ledger.record_end(prompt_id, outcome.kind)

    def _write_history(self, item: QueueItem, outcome: Outcome) -> None:
        faults, history = self._components.faults, self._components.history
        status, outputs, meta = outcome.status(), outcome.outputs, outcome.meta
        if outcome.kind == "error" and faults.trigger("error_as_success"):
            status = {**status, "status_str": SUCCESS, "completed": True}
        if faults.trigger("no_outputs"):
            outputs, meta = {}, {}
        history.add(item, outputs, meta, status)
        if faults.trigger("history_cleared"):
            history.clear()

    def _trigger_fault(self, moment: str) -> None:
        """Let an armed fault end the process or this worker at a named moment."""
        if self._components.faults.trigger("exit", when=moment):
            self._components.exit_process(EXIT_STATUS)
        if self._components.faults.trigger("worker_death", when=moment):
            raise WorkerDied

    def _log_worker_error(self, task: asyncio.Task[None]) -> None:
        """Log the worker's error like Python's message about a dead thread."""
        error = None if task.cancelled() else task.exception()
        if error is None:
            return
        pieces = ["Exception in thread ", THREAD, ":\n", *_split_traceback(error)]
        for piece in pieces:
            self._components.log.write(piece)
        print("".join(pieces), file=sys.stderr)


def _split_traceback(error: BaseException) -> Iterator[str]:
    """Split a traceback into the writes of Python 3.11, which writes the lines of ``^`` marks separately."""
    yield "Traceback (most recent call last):\n"
    for frame in traceback.extract_tb(error.__traceback__):
        yield f'  File "{frame.filename}", line {frame.lineno}, in {frame.name}\n'
        yield from ("    ", frame.line or "", "\n", "    ", *"^" * len(frame.line or ""), "\n")
    yield from (type(error).__name__, "\n")
