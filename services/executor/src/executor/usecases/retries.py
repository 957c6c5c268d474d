"""How requests and transfers are repeated. They have no limit of their own: the lease of the attempt bounds them."""

from stamina import AsyncRetryingCaller

from contracts.wire.errors import ErrorKind, Refusal

TEMPORARY = frozenset({ErrorKind.UNAVAILABLE, ErrorKind.LIMITED})

REQUESTS = AsyncRetryingCaller(attempts=None, timeout=None, wait_initial=0.2, wait_max=2.0, wait_jitter=0.2)
TRANSFERS = AsyncRetryingCaller(attempts=None, timeout=None, wait_initial=0.1, wait_max=5.0, wait_jitter=0.1)


def is_temporary(error: BaseException) -> bool:
    """Whether this is a refusal, and the same request may succeed later."""
    return isinstance(error, Refusal) and error.details.kind in TEMPORARY
