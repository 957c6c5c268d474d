"""The header Idempotency-Key."""

import re
from collections.abc import Sequence

from gateway.edge.errors import BadIdempotencyKey

_KEY = re.compile(r"[\x21-\x7e]{1,255}")


def parse_idempotency_key(headers: Sequence[str]) -> str | None:
    """Return the key in the Idempotency-Key headers of a request; None if there is no such header.

    Raises:
        BadIdempotencyKey: the key is malformed, or there are several.
    """
    if not headers:
        return None
    if len(headers) > 1 or not _KEY.fullmatch(headers[0]):
        raise BadIdempotencyKey
    return headers[0]
