"""Submits many jobs at once; each is accepted or refused on its own."""

import asyncio
import hashlib
import json
from collections.abc import Sequence
from typing import Any

from chassis.offload import offload
from contracts.scheduler.submissions import IdempotencyKeyReused
from contracts.wire.errors import ErrorKind, Refusal
from gateway.edge.idempotency import parse_idempotency_key
from gateway.jobs.submit import AcceptedJob, JobSubmitter
from gateway.workflows.submission_formats import ParsedSubmission, parse_submission

SUBMIT_ENDPOINT = "POST /api/v1/jobs/batch"
MAX_CONCURRENT = 24  # concurrent submissions of a batch: more would block the scheduler's event loop
MAX_CONCURRENT_LARGE = 8  # concurrent submissions of a large batch
Outcome = AcceptedJob | Refusal


class BatchSubmitter:
    """Submits the batch of one tenant.

    With an Idempotency-Key each submission gets a key derived from it and from its index, and is compared by the whole
    batch: sending the batch again returns the same jobs, and retries the refused submissions.
    """

    def __init__(
        self,
        items: Sequence[Any],
        *,
        tenant: str,
        idempotency_keys: list[str],
        submitter: JobSubmitter,
        is_large: bool = False,
    ) -> None:
        self._items, self._tenant, self._submitter, self._is_large = items, tenant, submitter, is_large
        self._key = parse_idempotency_key(idempotency_keys)
        self._digest = ""
        self._slots = asyncio.Semaphore(MAX_CONCURRENT_LARGE if is_large else MAX_CONCURRENT)

    async def submit_batch(self) -> list[Outcome]:
        """Return the outcome of each submission, in order.

        Raises:
            IdempotencyKeyReused, RelayedRefusal: the key was used with another batch.
            Refusal: all submissions failed because a service is unavailable.
        """
        if self._key is not None:
            self._digest = (
                await offload(_compute_digest, self._items) if self._is_large else _compute_digest(self._items)
            )
        first = await self._submit_until_accepted() if self._key is not None else []
        rest = range(len(first), len(self._items))
        outcomes = [*first, *await asyncio.gather(*[self._submit_item(index) for index in rest])]
        if all(map(_is_outage, outcomes)) and isinstance(outcomes[0], Refusal):
            raise outcomes[0]
        return outcomes

    async def _submit_until_accepted(self) -> list[Outcome]:
        """Submit one by one until one is accepted: if the key was used with another batch, none may be accepted."""
        outcomes: list[Outcome] = []
        for index in range(len(self._items)):
            outcome = await self._submit_item(index)
            if isinstance(outcome, Refusal) and (
                outcome.details.code == IdempotencyKeyReused.code or _is_outage(outcome)
            ):
                raise outcome  # no submission has been accepted so far
            outcomes.append(outcome)
            if isinstance(outcome, AcceptedJob):
                break
        return outcomes

    async def _submit_item(self, index: int) -> Outcome:
        async with self._slots:
            try:
                return await self._submitter.submit_job(
                    await self._read_item(index),
                    tenant=self._tenant,
                    idempotency_keys=[] if self._key is None else [_derive_item_key(self._key, index)],
                    endpoint=SUBMIT_ENDPOINT,
                    batch_digest=self._digest,
                    is_large=self._is_large,
                )
            except Refusal as refusal:
                return refusal

    async def _read_item(self, index: int) -> ParsedSubmission:
        if self._is_large:
            return await offload(parse_submission, self._items[index])
        return parse_submission(self._items[index])


def _is_outage(outcome: Outcome) -> bool:
    return isinstance(outcome, Refusal) and outcome.details.kind is ErrorKind.UNAVAILABLE


def _derive_item_key(key: str, index: int) -> str:
    """Return the key of one submission. No client can send a key that is equal to it."""
    return hashlib.sha256(f"batch\n{key}\n{index}".encode()).hexdigest()


def _compute_digest(items: Sequence[Any]) -> str:
    return hashlib.sha256(json.dumps(items, sort_keys=True, separators=(",", ":")).encode()).hexdigest()
