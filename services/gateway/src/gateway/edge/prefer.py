"""The header Prefer (RFC 7240): how long the client is willing to wait."""

import re
from collections.abc import Sequence

DEFAULT_WAIT_S = 60
MIN_WAIT_S, MAX_WAIT_S = 1, 300

_WAIT = re.compile(r'wait\s*=\s*"?([0-9]{1,9})"?', re.IGNORECASE)


def parse_preferred_wait_s(headers: Sequence[str]) -> int | None:
    """Return the first valid ``wait`` in seconds, clamped to ``MIN_WAIT_S`` and ``MAX_WAIT_S``; None if there is none.

    Other and malformed preferences are ignored, as RFC 7240 requires.
    """
    for preference in ",".join(headers).split(","):
        found = _WAIT.fullmatch(preference.partition(";")[0].strip())
        if found:
            return min(max(int(found[1]), MIN_WAIT_S), MAX_WAIT_S)
    return None
