"""Refusals of the notifier."""

from contracts.wire.errors import ErrorKind, Refusal


class InvalidResumePosition(Refusal):
    """Invalid `after`. Send the seq of the last event that you received: a whole number, 0 or more."""

    kind, code = ErrorKind.INVALID, "events.after_invalid"


class SubprotocolNotSupported(Refusal):
    """WebSocket subprotocols are not supported. Send a ticket as ?ticket= or a key as the first message."""

    kind, code = ErrorKind.FORBIDDEN, "socket.no_subprotocol"


class TooManyHandshakes(Refusal):
    """This address opens WebSockets too often. Keep one open: it can watch many jobs."""

    kind, code = ErrorKind.LIMITED, "socket.too_many_handshakes"


class TooManyJobs(Refusal):
    """This WebSocket watches {limit} jobs, the maximum. Unsubscribe from some, or open another one."""

    kind, code = ErrorKind.LIMITED, "socket.too_many_jobs"
