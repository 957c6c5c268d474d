"""How the notifier says no."""

from contracts.wire.errors import Kind, Refusal


class BadResume(Refusal):
    """after is the seq of an event of this job that was seen: a whole number, 0 or more."""

    kind, code = Kind.INVALID, "events.after_invalid"
