"""Groups submissions that arrive at the same time, so that they share a transaction."""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from contextvars import Context
from typing import NamedTuple
from uuid import UUID

from chassis.messaging.deadlines import RequestExpired, has_passed
from contracts.scheduler.submissions import SubmitReply
from contracts.wire.errors import Refusal
from scheduler.domain.admission import PendingSubmission
from scheduler.store.submits import INVALID_VALUE_ERRORS

MAX_GROUP_SIZE = 64  # a larger group would hold its tenants' locks for too long
MAX_GROUP_CHARACTERS = 1 << 20  # of all graphs of a group: one statement carries them all

Answer = SubmitReply | Refusal
DecideGroup = Callable[[Sequence[PendingSubmission], bool], Awaitable[Sequence[Answer | None]]]


class _WaitingSubmission(NamedTuple):
    submission: PendingSubmission
    answer: asyncio.Future[Answer]


class SubmitGroups:
    """Group commit: submissions that arrive while a transaction runs share the next one.

    A submission that arrives while no transaction runs starts one at once. A tenant whose lock another transaction
    holds gets a queue of its own, so that only its own submissions wait for the lock.

    Args:
        decide: decides a group in one transaction and answers each submission in order. Called with False, it does not
            wait for locks and answers None for each submission whose tenant it could not lock. If it raises an error,
            every submission of the group gets it, except ``INVALID_VALUE_ERRORS``: then each is tried alone.
    """

    def __init__(self, decide: DecideGroup) -> None:
        self._decide = decide
        # By tenant; None is the shared queue. Each queue has a running task.
        self._queues: dict[UUID | None, deque[_WaitingSubmission]] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    async def submit(self, submission: PendingSubmission) -> Answer:
        """Return the committed decision, or ``RequestExpired``.

        Submissions of one tenant are decided in the order of their arrival.
        """
        waiting = _WaitingSubmission(submission, asyncio.get_running_loop().create_future())
        self._enqueue(submission.tenant_id if submission.tenant_id in self._queues else None, waiting)
        return await waiting.answer

    def _enqueue(self, tenant_id: UUID | None, waiting: _WaitingSubmission) -> None:
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

    async def _process_queue(self, tenant_id: UUID | None, queue: deque[_WaitingSubmission]) -> None:
        while queue:
            if group := _refuse_expired(_take_next_group(queue)):
                await self._answer_group(group, wait_for_locks=tenant_id is not None)
        del self._queues[tenant_id]

    async def _answer_group(self, group: list[_WaitingSubmission], *, wait_for_locks: bool) -> None:
        try:
            answers = await self._decide([waiting.submission for waiting in group], wait_for_locks)
        except INVALID_VALUE_ERRORS as error:
            if len(group) == 1:
                _fail_group(group, error)
            else:
                for waiting in group:
                    await self._answer_group([waiting], wait_for_locks=wait_for_locks)
            return
        except Exception as error:  # noqa: BLE001 - each request of the group raises it
            _fail_group(group, error)
            return
        for waiting, answer in zip(group, answers, strict=True):
            if answer is None:
                self._enqueue(waiting.submission.tenant_id, waiting)
            elif not waiting.answer.done():  # a caller may have been cancelled
                waiting.answer.set_result(answer)


def _take_next_group(queue: deque[_WaitingSubmission]) -> list[_WaitingSubmission]:
    """Remove the submissions that are decided next from the queue, and return them.

    These are as many submissions as fit ``MAX_GROUP_SIZE`` and ``MAX_GROUP_CHARACTERS``, but at least one.
    """
    group = [queue.popleft()]
    size = len(group[0].submission.graph)
    while queue and len(group) < MAX_GROUP_SIZE and size + len(queue[0].submission.graph) <= MAX_GROUP_CHARACTERS:
        size += len(queue[0].submission.graph)
        group.append(queue.popleft())
    return group


def _refuse_expired(group: list[_WaitingSubmission]) -> list[_WaitingSubmission]:
    """Refuse the submissions whose deadline has passed; returns the others."""
    live = []
    for waiting in group:
        if not has_passed(waiting.submission.deadline):
            live.append(waiting)
        elif not waiting.answer.done():
            waiting.answer.set_result(RequestExpired(service="scheduler", retry_after_s=1))
    return live


def _fail_group(group: list[_WaitingSubmission], error: Exception) -> None:
    for waiting in group:
        if not waiting.answer.done():
            waiting.answer.set_exception(error)
