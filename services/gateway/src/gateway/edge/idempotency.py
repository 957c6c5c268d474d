"""The header Idempotency-Key."""

import re
from collections.abc import Sequence

from gateway.edge.errors import BadIdempotencyKey

SHAPE = re.compile(r"[\x21-\x7e]{1,255}")


def idempotency_key(sent: Sequence[str]) -> str | None:
    """Return the key of the request, if it has one.

    Raises:
        BadIdempotencyKey: the key is malformed, or there are several.
    """
    if not sent:
        return None
    if len(sent) > 1 or not SHAPE.fullmatch(sent[0]):
        raise BadIdempotencyKey
    return sent[0]
