"""Keep messages of executors that can never be handled, and end the attempts that they would hold for ever."""

from collections import Counter
from time import monotonic
from typing import NoReturn

from chassis.database.postgres import Database
from chassis.database.statement import Row
from chassis.ids import new_id
from chassis.messaging.serving import Failed
from chassis.telemetry.logs import log
from contracts.scheduler.attempts import FinishAttempt, Outcome
from contracts.scheduler.jobs import JobError
from contracts.wire.dead_letters import (
    DeadLetter,
    DeadLetterNotRedrivable,
    DeadLetterPage,
    ListDeadLetters,
    RedriveDeadLetter,
    UnknownDeadLetter,
)
from contracts.wire.errors import InternalFault
from contracts.wire.text import MAX_NAME, clean
from scheduler.domain.dead_letter import MAX_EXCERPT, MAX_REASON, claimed_ids, shown
from scheduler.store import attempts, dead_letters
from scheduler.usecases.attempt_course import AttemptLifecycle

KEPT_S = 14 * 86_400.0
KEPT = 10_000  # 160 MB at most
AT_MOST = 100  # that one process keeps of one node in an hour: a node in a bad way must not push out all others
HOUR_S = 3_600.0

UNDELIVERABLE = JobError(code="job.undeliverable", message="The job could not be handed to a node.")


class DeadLetters:
    """Keeps them for operators."""

    def __init__(self, database: Database, course: AttemptLifecycle) -> None:
        self._database, self._course = database, course
        self._kept: Counter[str] = Counter()
        self._kept_since = monotonic()

    async def keep(self, failed: Failed) -> None:
        """Keep one. Nothing is kept, but all is logged, of a node that has sent ``AT_MOST`` within the hour."""
        node = failed.address.key or ""
        tenant_id, job_id = claimed_ids(failed.body)
        log.error(
            "scheduler.message.dead",
            subject=failed.subject,
            node=node,
            job_id=str(job_id) if job_id else None,
            code=failed.code,
            reason=clean(failed.reason, MAX_REASON),
        )
        if not self._may_keep(node):
            return
        async with self._database.direct() as connection:
            await dead_letters.add(
                connection,
                id=new_id(),
                subject=failed.subject,
                request_id=clean(failed.request_id, MAX_NAME) or None,
                node=node,
                tenant_id=tenant_id,
                job_id=job_id,
                code=failed.code,
                reason=clean(failed.reason, MAX_REASON),
                excerpt=failed.body[:MAX_EXCERPT],
                size_bytes=len(failed.body),
            )

    async def keep_and_free(self, failed: Failed) -> None:
        """Keep a question for work whose answer meets a bug, and end the attempt that the node so never gets.

        Else each question would renew the lease of an attempt that never begins.
        """
        await self.keep(failed)
        if failed.code != InternalFault.code:
            return
        node = failed.address.key or ""
        async with self._database.direct() as connection:
            ref = await attempts.live_ref(connection, node)
        if ref is not None:
            await self._course.finish(node, FinishAttempt(ref=ref, outcome=Outcome.FAILED, error=UNDELIVERABLE))

    async def page(self, query: ListDeadLetters) -> DeadLetterPage:
        """A page, newest first."""
        async with self._database.single() as connection:
            rows = await dead_letters.page(connection, limit=query.limit, before=query.before, node=query.node)
        letters = tuple(_present(row) for row in rows[: query.limit])
        return DeadLetterPage(letters=letters, more=len(rows) > query.limit)

    async def refuse_to_redrive(self, command: RedriveDeadLetter) -> NoReturn:
        """A request is not handled again: its sender was told that it failed, and went on.

        Raises:
            UnknownDeadLetter: there is none of this id.
            DeadLetterNotRedrivable: there is one.
        """
        async with self._database.single() as connection:
            exists = await dead_letters.exists(connection, command.id)
        if not exists:
            raise UnknownDeadLetter
        raise DeadLetterNotRedrivable(reason="it was a request, and its sender was told that it failed")

    async def prune(self) -> None:
        """Delete what is too old or too much. A duty for ``chassis.loop.Loop``."""
        async with self._database.direct() as connection:
            await dead_letters.prune(connection, age_s=KEPT_S, keep=KEPT)

    def _may_keep(self, node: str) -> bool:
        if monotonic() - self._kept_since > HOUR_S:
            self._kept.clear()
            self._kept_since = monotonic()
        self._kept[node] += 1
        return self._kept[node] <= AT_MOST


def _present(row: Row) -> DeadLetter:
    fields = {**row, "excerpt": shown(row["excerpt"])}
    return DeadLetter(
        service="scheduler", attempts=1, first_failed_at=row["at"], last_failed_at=row["at"], redrivable=False, **fields
    )
