"""Bodies of the routes of dead letters."""

from datetime import datetime
from enum import StrEnum
from uuid import UUID

from pydantic import BaseModel, ConfigDict
from pydantic.config import JsonDict

from contracts.wire.dead_letters import DeadLetter

_EXAMPLE: JsonDict = {
    "id": "0199f2b0-7c3e-7a51-9d24-5a1be0c0ffee",
    "at": "2026-11-29T12:00:36Z",
    "service": "notifier",
    "subject": "evt.scheduler.job.changed.v1.0199f2b0-7c3e-7a51-9d24-5a1be0c0ff00.0199f2b0-7c3e-7a51-9d24-5a1be0c0ff01",
    "request_id": None,
    "node": None,
    "stream": "EVENT",
    "consumer": "notifier",
    "sequence": 1207,
    "tenant_id": "0199f2b0-7c3e-7a51-9d24-5a1be0c0ff00",
    "job_id": "0199f2b0-7c3e-7a51-9d24-5a1be0c0ff01",
    "code": "internal",
    "reason": "KeyError: 'state'",
    "attempts": 5,
    "first_failed_at": "2026-11-29T12:00:00Z",
    "last_failed_at": "2026-11-29T12:00:36Z",
    "redrivable": True,
    "excerpt": '{"job_id": "0199f2b0-7c3e-7a51-9d24-5a1be0c0ff01"}',
    "size_bytes": 50,
}


class DeadLetterService(StrEnum):
    """A service that has dead letters."""

    GATEWAY = "gateway"
    NOTIFIER = "notifier"
    SCHEDULER = "scheduler"


class DeadLetterBody(BaseModel):
    """A message that could not be processed.

    ``stream``, ``consumer``, ``sequence``: where a service read it, null for a request. ``node``: the node whose
    executor sent it, null for a message of a stream. ``tenant_id``, ``job_id``: as the message claims, where readable.
    ``code``: ``message.invalid``, ``message.unknown_type``, ``message.too_large`` or ``internal``. ``attempts``:
    deliveries and redrives. ``redrivable``: whether it can be redriven. ``excerpt``: the first 16 KiB as text.
    ``size_bytes``: size of the whole message.
    """

    model_config = ConfigDict(json_schema_extra={"examples": [_EXAMPLE]})

    id: UUID
    at: datetime
    service: str
    subject: str
    request_id: str | None
    node: str | None
    stream: str | None
    consumer: str | None
    sequence: int | None
    tenant_id: UUID | None
    job_id: UUID | None
    code: str
    reason: str
    attempts: int
    first_failed_at: datetime
    last_failed_at: datetime
    redrivable: bool
    excerpt: str
    size_bytes: int


class DeadLettersBody(BaseModel):
    """A page of dead letters, newest first. ``next_cursor`` is null on the last page."""

    dead_letters: list[DeadLetterBody]
    next_cursor: str | None


def build_dead_letter_body(letter: DeadLetter) -> DeadLetterBody:
    return DeadLetterBody(**letter.model_dump())
