"""Errors of requests for saved workflows."""

from contracts.wire.errors import ErrorKind, Refusal


class UnknownWorkflow(Refusal):
    """There is no saved workflow of this name and version. GET /api/v1/workflows lists yours."""

    kind, code = ErrorKind.NOT_FOUND, "workflow.not_found"


class TooManyWorkflows(Refusal):
    """You have {limit} saved workflows, the maximum. Delete one first."""

    kind, code = ErrorKind.CONFLICT, "workflow.too_many"


class TooManyVersions(Refusal):
    """This workflow has {limit} versions, the maximum. Delete it, or save under another name."""

    kind, code = ErrorKind.CONFLICT, "workflow.too_many_versions"


class BadParameters(Refusal):
    """The parameters do not fit the saved workflow. See the field "errors" for each one and what is valid."""

    kind, code = ErrorKind.INVALID, "workflow.parameters_invalid"
