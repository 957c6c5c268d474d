"""How the notifier says no."""

from contracts.wire.errors import Kind, Refusal


class BadResume(Refusal):
    """after is the seq of an event of this job that was seen: a whole number, 0 or more."""

    kind, code = Kind.INVALID, "events.after_invalid"


class NoSubprotocol(Refusal):
    """No subprotocol is spoken here: ask for none, and send a ticket as ?ticket= or a key as the first message."""

    kind, code = Kind.FORBIDDEN, "socket.no_subprotocol"


class TooManyHandshakes(Refusal):
    """This address opens sockets too often: keep one, which may watch many jobs, or open the next one later."""

    kind, code = Kind.LIMITED, "socket.too_many_handshakes"


class TooManyJobs(Refusal):
    """{limit} jobs are watched over this socket, which is as many as may be: unsubscribe from some, or open another."""

    kind, code = Kind.LIMITED, "socket.too_many_jobs"
