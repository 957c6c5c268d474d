"""The header Idempotency-Key."""

import re
from collections.abc import Sequence

from gateway.errors import BadIdempotencyKey

SHAPE = re.compile(r"[\x21-\x7e]{1,255}")


def idempotency_key(sent: Sequence[str]) -> str | None:
    """The one key that was sent, if any.

    Raises:
        BadIdempotencyKey: it is malformed, or there are several.
    """
    if not sent:
        return None
    if len(sent) > 1 or not SHAPE.fullmatch(sent[0]):
        raise BadIdempotencyKey
    return sent[0]
