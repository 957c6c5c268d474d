"""Submits that arrive at the same time share a transaction."""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from contextvars import Context
from typing import NamedTuple
from uuid import UUID

from chassis.messaging.deadlines import RequestExpired, has_passed
from contracts.scheduler.submissions import SubmitReply
from contracts.wire.errors import Refusal
from scheduler.domain.admission import Candidate
from scheduler.store.submits import INVALID_VALUES

GROUP = 64  # submits; a larger group would hold its tenants' locks for too long
GROUP_CHARACTERS = 1 << 20  # of all graphs of a group: one statement carries them, written in one go

Answer = SubmitReply | Refusal
Commit = Callable[[Sequence[Candidate], bool], Awaitable[Sequence[Answer | None]]]


class _WaitingSubmit(NamedTuple):
    candidate: Candidate
    answer: asyncio.Future[Answer]


class SubmitGroups:
    """Group commit: submits that arrive while a transaction runs share the next one.

    A submit that arrives while no transaction runs starts at once. A tenant whose lock another transaction holds gets a
    queue of its own, so that only its own submits wait for the lock.

    Args:
        commit: decides a group in one transaction and answers each submit in order. Called with False, it does not wait
            for locks and answers None for each submit whose tenant it could not lock. Every submit of the group gets
            the error that it raises, except ``INVALID_VALUES``: then each submit is tried alone.
    """

    def __init__(self, commit: Commit) -> None:
        self._commit = commit
        self._queues: dict[
            UUID | None, deque[_WaitingSubmit]
        ] = {}  # each queue has a running task; None: the shared queue
        self._tasks: set[asyncio.Task[None]] = set()

    async def submit_candidate(self, candidate: Candidate) -> Answer:
        """Return the committed decision, or ``RequestExpired``.

        Submits of one tenant are decided in the order of their arrival.
        """
        waiting = _WaitingSubmit(candidate, asyncio.get_running_loop().create_future())
        self._enqueue(candidate.tenant_id if candidate.tenant_id in self._queues else None, waiting)
        return await waiting.answer

    def _enqueue(self, tenant_id: UUID | None, waiting: _WaitingSubmit) -> None:
        queue = self._queues.get(tenant_id)
        if queue is None:
            queue = self._queues[tenant_id] = deque()
            # An empty context: the task serves several requests, so no single request id belongs on its log lines.
            task = asyncio.create_task(
                self._process_queue(tenant_id, queue), name="scheduler.submits", context=Context()
            )
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
        queue.append(waiting)

    async def _process_queue(self, tenant_id: UUID | None, queue: deque[_WaitingSubmit]) -> None:
        while queue:
            if group := _refuse_expired(_take_next_group(queue)):
                await self._decide_group(group, wait_for_locks=tenant_id is not None)
        del self._queues[tenant_id]

    async def _decide_group(self, group: list[_WaitingSubmit], *, wait_for_locks: bool) -> None:
        try:
            answers = await self._commit([waiting.candidate for waiting in group], wait_for_locks)
        except INVALID_VALUES as error:
            if len(group) == 1:
                _fail_group(group, error)
            else:
                for waiting in group:
                    await self._decide_group([waiting], wait_for_locks=wait_for_locks)
            return
        except Exception as error:  # noqa: BLE001 - each request of the group raises it
            _fail_group(group, error)
            return
        for waiting, answer in zip(group, answers, strict=True):
            if answer is None:
                self._enqueue(waiting.candidate.tenant_id, waiting)
            elif not waiting.answer.done():  # a caller may have been cancelled
                waiting.answer.set_result(answer)


def _take_next_group(queue: deque[_WaitingSubmit]) -> list[_WaitingSubmit]:
    """Take the first waiting submits off the queue, at least one."""
    group = [queue.popleft()]
    size = len(group[0].candidate.graph)
    while queue and len(group) < GROUP and size + len(queue[0].candidate.graph) <= GROUP_CHARACTERS:
        size += len(queue[0].candidate.graph)
        group.append(queue.popleft())
    return group


def _refuse_expired(group: list[_WaitingSubmit]) -> list[_WaitingSubmit]:
    """Refuse the submits whose deadline has passed; returns the others."""
    live = []
    for waiting in group:
        if not has_passed(waiting.candidate.deadline):
            live.append(waiting)
        elif not waiting.answer.done():
            waiting.answer.set_result(RequestExpired(service="scheduler", retry_after_s=1))
    return live


def _fail_group(group: list[_WaitingSubmit], error: Exception) -> None:
    for waiting in group:
        if not waiting.answer.done():
            waiting.answer.set_exception(error)
