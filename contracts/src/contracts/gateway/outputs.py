"""Errors about outputs and results."""

from contracts.wire.errors import Kind, Refusal


class UnknownOutput(Refusal):
    """There is no such output. The route /outputs of the job lists all that there are."""

    kind, code = Kind.NOT_FOUND, "output.not_found"


class JobNotFinished(Refusal):
    """The job has no result: {reason}."""

    kind, code = Kind.CONFLICT, "job.not_finished"
