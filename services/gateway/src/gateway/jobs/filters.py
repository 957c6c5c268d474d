"""Filters in the queries of lists."""

from uuid import UUID

from contracts.wire.errors import FieldError
from gateway.edge.errors import InvalidRequest


def parse_label(text: str | None) -> tuple[str, str] | None:
    """Return the key and value of a filter ``key:value``.

    Raises:
        InvalidRequest: it has another form.
    """
    if text is None:
        return None
    key, colon, value = text.partition(":")
    if not key or not colon or not value:
        message = "A label filter is key:value."
        raise InvalidRequest(errors=(FieldError(pointer="/label", code="label_malformed", message=message),))
    return key, value


def parse_job_ids(text: str, pointer: str, *, at_most: int) -> tuple[UUID, ...]:
    """Return the comma-separated ids of jobs, each once.

    Raises:
        InvalidRequest: one is not a UUID, or there are too many.
    """
    try:
        ids = tuple(dict.fromkeys(UUID(one.strip()) for one in text.split(",")))
    except ValueError:
        message = "This is not the id of a job. Separate several by commas."
        raise InvalidRequest(errors=(FieldError(pointer=pointer, code="job_id_malformed", message=message),)) from None
    if len(ids) > at_most:
        message = f"{len(ids)} jobs are named; the maximum is {at_most}."
        raise InvalidRequest(errors=(FieldError(pointer=pointer, code="too_many_jobs", message=message),))
    return ids
