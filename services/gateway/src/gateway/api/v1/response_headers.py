"""Headers that middleware adds to every response, for the OpenAPI document."""

from collections.abc import Iterator

RESPONSE_HEADERS: dict[str, tuple[str, str]] = {
    "X-Request-Id": ("string", "The request's own id if it sent a valid one, else a new one; every log line has it."),
    "RateLimit-Policy": ("string", "The limit and its window in seconds, by class of endpoint (IETF draft)."),
    "RateLimit": ("string", "Requests left, and the seconds until the limit resets (IETF draft)."),
    "X-RateLimit-Limit": ("string", "Requests allowed in a window."),
    "X-RateLimit-Remaining": ("string", "Requests left."),
    "X-RateLimit-Reset": ("string", "Seconds until the limit resets."),
    "Retry-After": ("string", "Seconds until the request may be sent again."),
    "WWW-Authenticate": ("string", "The authentication scheme to use."),
}
_RATE_LIMIT = tuple(name for name in RESPONSE_HEADERS if "RateLimit" in name)
_BY_STATUS = {"401": ("WWW-Authenticate",), "429": ("Retry-After",), "503": ("Retry-After",)}
_NOT_RATE_LIMITED = ("/healthz", "/readyz")


def list_header_names(path: str, status: str) -> Iterator[str]:
    """Yield the headers of a response of this status, on this path."""
    yield "X-Request-Id"
    if path not in _NOT_RATE_LIMITED:
        yield from _RATE_LIMIT
    yield from _BY_STATUS.get(status, ())
