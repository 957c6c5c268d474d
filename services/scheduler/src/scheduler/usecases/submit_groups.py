"""Submits that come at the same time share a transaction."""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from contextvars import Context
from typing import NamedTuple, cast
from uuid import UUID

from contracts.scheduler.submissions import SubmitReply
from contracts.wire.errors import Refusal
from scheduler.domain.admission import Candidate
from scheduler.store.submits import SPOILT

GROUP = 64  # more would hold the locks of their tenants for longer than anybody gains
GROUP_CHARACTERS = 1 << 20  # of their graphs: a group is one statement, which is put together in one go

Answer = SubmitReply | Refusal
Commit = Callable[[Sequence[Candidate], bool], Awaitable[Sequence[Answer | None]]]


class _Batch:
    """Submits that came together and are answered together."""

    def __init__(self, size: int) -> None:
        self.answers: list[Answer | Exception | None] = [None] * size
        self.done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._left = size

    def tell(self, place: int, answer: Answer | Exception) -> None:
        """Answer one of them, once."""
        self.answers[place] = answer
        self._left -= 1
        if not self._left and not self.done.done():
            self.done.set_result(None)


class _Waiting(NamedTuple):
    candidate: Candidate
    batch: _Batch
    place: int


class SubmitGroups:
    """Puts submits into groups: whoever finds nobody at work begins at once; who comes meanwhile is the next group.

    A tenant whose lock somebody else holds gets a lane of its own, so that only its own submits wait for it.

    Args:
        commit: decides a group in one transaction and answers each in order. With False it does not wait for locks,
            and answers None for whom it could not lock. What it raises, each of the group gets: none was committed, or
            nobody knows; only what is one submit's own fault is found out by trying each alone.
    """

    def __init__(self, commit: Commit) -> None:
        self._commit = commit
        self._lanes: dict[UUID | None, deque[_Waiting]] = {}  # one that is empty is not there
        self._tasks: set[asyncio.Task[None]] = set()

    async def submit(self, candidates: Sequence[Candidate]) -> Sequence[Answer | Exception]:
        """The committed decision on each of one submit or more, in order, or what was raised for it.

        Those of one tenant are decided in the order of their coming.
        """
        batch = _Batch(len(candidates))
        for place, candidate in enumerate(candidates):
            whose = candidate.tenant_id if candidate.tenant_id in self._lanes else None
            self._queue(whose, _Waiting(candidate, batch, place))
        await batch.done
        return cast("list[Answer | Exception]", batch.answers)

    def _queue(self, whose: UUID | None, waiting: _Waiting) -> None:
        lane = self._lanes.get(whose)
        if lane is None:
            lane = self._lanes[whose] = deque()
            # It works for several requests: none of them may lend it its name in the log.
            task = asyncio.create_task(self._work(whose, lane), name="scheduler.submits", context=Context())
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
        lane.append(waiting)

    async def _work(self, whose: UUID | None, lane: deque[_Waiting]) -> None:
        while lane:
            await self._decide(_next_group(lane), patient=whose is not None)
        del self._lanes[whose]

    async def _decide(self, group: list[_Waiting], *, patient: bool) -> None:
        try:
            answers = await self._commit([waiting.candidate for waiting in group], patient)
        except SPOILT as error:
            if len(group) == 1:
                _tell_all(group, error)
            else:
                for waiting in group:
                    await self._decide([waiting], patient=patient)
            return
        except Exception as error:  # noqa: BLE001 - each of them gets it
            _tell_all(group, error)
            return
        for waiting, answer in zip(group, answers, strict=True):
            if answer is None:
                self._queue(waiting.candidate.tenant_id, waiting)
            else:
                waiting.batch.tell(waiting.place, answer)


def _next_group(lane: deque[_Waiting]) -> list[_Waiting]:
    """The first that wait, one at least."""
    group = [lane.popleft()]
    size = len(group[0].candidate.graph)
    while lane and len(group) < GROUP and size + len(lane[0].candidate.graph) <= GROUP_CHARACTERS:
        size += len(lane[0].candidate.graph)
        group.append(lane.popleft())
    return group


def _tell_all(group: list[_Waiting], error: Exception) -> None:
    for waiting in group:
        waiting.batch.tell(waiting.place, error)
