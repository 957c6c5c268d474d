"""Errors about outputs and results."""

from contracts.wire.errors import ErrorKind, Refusal


class UnknownOutput(Refusal):
    """There is no such output. GET /api/v1/jobs/<id>/outputs lists the outputs of a job."""

    kind, code = ErrorKind.NOT_FOUND, "output.not_found"


class JobNotFinished(Refusal):
    """The job has no result, because {reason}."""

    kind, code = ErrorKind.CONFLICT, "job.not_finished"
