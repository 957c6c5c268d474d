"""Reads credentials from ``X-API-Key`` and ``Authorization: Bearer``."""

import re

from starlette.datastructures import Headers

CREDENTIAL_PATTERN = re.compile(r"[\x21-\x7e]{1,4096}")
BEARER = re.compile(r"bearer +(\S+)", re.IGNORECASE)


def read_credentials(headers: Headers) -> list[str | None]:
    """Return every credential of a request, None for each malformed one.

    A request needs exactly one well-formed credential: with two, it would be arbitrary which one counts.
    """
    keys, tokens = [], []
    for name, value in headers.raw:
        if name == b"x-api-key":
            keys.append(_validate_credential(value.decode("latin-1")))
        elif name == b"authorization":
            tokens.append(_parse_bearer(value.decode("latin-1")))
    return keys + tokens


def _parse_bearer(value: str) -> str | None:
    match = BEARER.fullmatch(value)
    return _validate_credential(match[1]) if match else None


def _validate_credential(value: str) -> str | None:
    return value if CREDENTIAL_PATTERN.fullmatch(value) else None
