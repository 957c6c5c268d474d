"""Errors of requests for results."""

from contracts.gateway.outputs import JobNotFinished, UnknownOutput
from contracts.scheduler.jobs import UnknownJob
from contracts.wire.errors import ErrorKind, Refusal
from gateway.images.errors import ConversionFailed, NotConvertible, TooManyConversions, TooManyPixels


class BadLink(Refusal):
    """The link is invalid or has expired. GET /api/v1/outputs gives new links."""

    kind, code = ErrorKind.FORBIDDEN, "link.invalid"


class TooManyFiles(Refusal):
    """These jobs have more than {limit} outputs. Choose fewer jobs."""

    kind, code = ErrorKind.INVALID, "archive.too_many_files"


RESULT_PROBLEMS: tuple[type[Refusal], ...] = (
    UnknownJob, UnknownOutput, JobNotFinished, NotConvertible, TooManyPixels, ConversionFailed, TooManyConversions,
)  # fmt: skip
"""Refusals of a request for the bytes of an output."""
