"""The header Prefer (RFC 7240): how long a client would wait."""

import re
from collections.abc import Sequence

DEFAULT_WAIT_S = 60
MIN_WAIT_S, MAX_WAIT_S = 1, 300

_WAIT = re.compile(r'wait\s*=\s*"?([0-9]{1,9})"?', re.IGNORECASE)


def preferred_wait_s(sent: Sequence[str]) -> int | None:
    """The whole seconds of the first ``wait``, brought within our bounds; None if there is none that can be read.

    What else is preferred, or malformed, is passed over: RFC 7240 has a preference be no demand.
    """
    for preference in ",".join(sent).split(","):
        found = _WAIT.fullmatch(preference.partition(";")[0].strip())
        if found:
            return min(max(int(found[1]), MIN_WAIT_S), MAX_WAIT_S)
    return None
