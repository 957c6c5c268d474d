"""Filters in the queries of lists."""

from uuid import UUID

from contracts.wire.errors import FieldError
from gateway.edge.errors import InvalidRequest


def parse_label(text: str | None) -> tuple[str, str] | None:
    """Return the key and value of a filter ``key:value``.

    Raises:
        InvalidRequest: the filter has another form.
    """
    if text is None:
        return None
    key, colon, value = text.partition(":")
    if not key or not colon or not value:
        message = "A label filter is key:value."
        raise InvalidRequest(errors=(FieldError(pointer="/label", code="label_malformed", message=message),))
    return key, value


def parse_job_ids(text: str, pointer: str, *, limit: int) -> tuple[UUID, ...]:
    """Return the comma-separated ids of jobs, each once.

    Raises:
        InvalidRequest: one is not a UUID, or there are too many.
    """
    try:
        ids = tuple(dict.fromkeys(UUID(part.strip()) for part in text.split(",")))
    except ValueError:
        message = "This is not a job id. Separate several ids by commas."
        raise InvalidRequest(errors=(FieldError(pointer=pointer, code="job_id_malformed", message=message),)) from None
    if len(ids) > limit:
        message = f"{len(ids)} jobs are listed; the maximum is {limit}."
        raise InvalidRequest(errors=(FieldError(pointer=pointer, code="too_many_jobs", message=message),))
    return ids
