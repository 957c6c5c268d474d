"""Records messages of executors that can never be handled, and ends attempts that would never start for that reason."""

from collections import Counter
from time import monotonic
from typing import NoReturn

from chassis.database.postgres import Database
from chassis.database.statement import Row
from chassis.ids import new_id
from chassis.messaging.serving import Failed
from chassis.telemetry.logs import log
from contracts.scheduler.attempts import AttemptRef, FinishAttempt, Outcome, RequestWork
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
from scheduler.domain.dead_letter import MAX_EXCERPT, MAX_REASON, decode_excerpt, extract_claimed_ids
from scheduler.store import attempts, dead_letters
from scheduler.usecases.attempt_lifecycle import AttemptLifecycle

MAX_AGE_S = 14 * 86_400.0
MAX_LETTERS = 10_000  # 160 MB at most
MAX_PER_NODE = 100  # per hour and process, so that the letters of one broken node do not displace all others
HOUR_S = 3_600.0

UNDELIVERABLE = JobError(code="job.undeliverable", message="The job could not be handed to a node.")


class DeadLetters:
    """Records dead letters, lists them for operators and deletes old ones."""

    def __init__(self, database: Database, lifecycle: AttemptLifecycle) -> None:
        self._database, self._lifecycle = database, lifecycle
        self._recorded: Counter[str] = Counter()
        self._window_start = monotonic()

    async def record_message(self, failed: Failed) -> None:
        """Log the message and record it. Beyond ``MAX_PER_NODE`` messages of a node per hour it is only logged."""
        node = failed.address.key or ""
        tenant_id, job_id = extract_claimed_ids(failed.body)
        log.error(
            "scheduler.dead_letter",
            subject=failed.subject,
            node=node,
            job_id=str(job_id) if job_id else None,
            code=failed.code,
            reason=clean(failed.reason, MAX_REASON),
        )
        if not self._may_record(node):
            return
        async with self._database.direct() as connection:
            await dead_letters.add_letter(
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

    async def record_and_end_attempt(self, failed: Failed) -> None:
        """Record a work request that failed. If that was because of a bug, end the attempt that it would have returned.

        Otherwise each repeated request would renew the lease of an attempt that never starts.
        """
        await self.record_message(failed)
        if failed.code != InternalFault.code:
            return
        node = failed.address.key or ""
        async with self._database.direct() as connection:
            ref = await attempts.find_live_attempt_on_node(connection, node, held=_parse_held_attempts(failed.body))
        if ref is not None:
            await self._lifecycle.finish_attempt(
                node, FinishAttempt(ref=ref, outcome=Outcome.FAILED, error=UNDELIVERABLE)
            )

    async def list_letters(self, query: ListDeadLetters) -> DeadLetterPage:
        """List a page of dead letters, newest first."""
        async with self._database.single() as connection:
            rows = await dead_letters.list_letters(connection, limit=query.limit, before=query.before, node=query.node)
        letters = tuple(_build_letter(row) for row in rows[: query.limit])
        return DeadLetterPage(letters=letters, more=len(rows) > query.limit)

    async def refuse_redrive(self, command: RedriveDeadLetter) -> NoReturn:
        """Refuse to handle a letter again: it was a request, and its sender received an error.

        Raises:
            UnknownDeadLetter: there is no letter with this id.
            DeadLetterNotRedrivable: the letter exists.
        """
        async with self._database.single() as connection:
            exists = await dead_letters.has_letter(connection, command.id)
        if not exists:
            raise UnknownDeadLetter
        raise DeadLetterNotRedrivable(reason="it was a request, and its sender received an error")

    async def prune_letters(self) -> None:
        """Delete letters beyond ``MAX_AGE_S`` and ``MAX_LETTERS``. For ``chassis.loop.Loop``."""
        async with self._database.direct() as connection:
            await dead_letters.prune_letters(connection, age_s=MAX_AGE_S, keep=MAX_LETTERS)

    def _may_record(self, node: str) -> bool:
        if monotonic() - self._window_start > HOUR_S:
            self._recorded.clear()
            self._window_start = monotonic()
        self._recorded[node] += 1
        return self._recorded[node] <= MAX_PER_NODE


def _parse_held_attempts(body: bytes) -> tuple[AttemptRef, ...]:
    """Return the attempts that the executor had when it requested another one."""
    try:
        return RequestWork.model_validate_json(body).all_held
    except ValueError:
        return ()


def _build_letter(row: Row) -> DeadLetter:
    fields = {**row, "excerpt": decode_excerpt(row["excerpt"])}
    return DeadLetter(
        service="scheduler", attempts=1, first_failed_at=row["at"], last_failed_at=row["at"], redrivable=False, **fields
    )
