"""Errors of requests for account exports."""

from contracts.wire.errors import ErrorKind, Refusal


class ExportRunning(Refusal):
    """An export of this account is running. Start another one when it has finished."""

    kind, code = ErrorKind.LIMITED, "auth.export_running"
