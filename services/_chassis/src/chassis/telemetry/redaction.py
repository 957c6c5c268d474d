"""Removes credentials from log lines, for example from the text of an exception, a URL or a header."""

import json
import re
from collections.abc import Iterable

REDACTED = b"***"

_CREDENTIALS = re.compile(
    rb"""
    (?P<id>cf_[0-9A-Za-z]{12}_)[0-9A-Za-z]{38}                                # API key: its id stays readable
  | (?P<kind>cf[rtil]_)[0-9A-Za-z_-]{43}                                      # refresh, ticket, invite, login link
  | eyJ[0-9A-Za-z_-]{8,}\.[0-9A-Za-z_-]{8,}\.[0-9A-Za-z_-]{16,}               # access token (JWT)
  | (?P<link>/internal/(?:inputs|outputs)/)[0-9A-Za-z_.-]{8,}                 # link of an executor
  | (?P<user>://[^/:@\s"\\]{0,64}:)[^/@\s"\\]{1,256}(?=@)                     # password in a URL
  | (?P<query>[?&](?:X-Amz-(?:Signature|Credential|Security-Token)|Signature|sig|token|ticket|key|api_key)=)[^&\s"\\]+
  | (?P<scheme>\b(?:[Bb]earer|[Bb]asic)\s+)[0-9A-Za-z._~+/=-]{8,}             # Authorization header
    """,
    re.VERBOSE,
)
# A line without any of these matches nothing above. The search for them is much faster.
_MARKERS = (b"cf_", b"cfr_", b"cft_", b"cfi_", b"cfl_", b"eyJ", b"/internal/", b"://", b"?", b"&", b"earer ", b"asic ")


class Redactor:
    """Replaces credentials in log lines by ``***``.

    Known forms are API keys, all tokens, links of executors, signed URLs, passwords in URLs and the Authorization
    header.

    Args:
        secrets: other strings that no line may contain, such as the settings' secrets.
    """

    def __init__(self, secrets: Iterable[str] = ()) -> None:
        in_json = {json.dumps(secret, ensure_ascii=False)[1:-1].encode() for secret in secrets if secret}
        self._secrets = sorted(in_json, key=len, reverse=True)

    def redact(self, line: bytes) -> bytes:
        """Return the line, which is JSON, without credentials."""
        for secret in self._secrets:
            if secret in line:
                line = line.replace(secret, REDACTED)
        return _CREDENTIALS.sub(_hide_secret, line) if any(marker in line for marker in _MARKERS) else line


def _hide_secret(found: re.Match[bytes]) -> bytes:
    kept = found[found.lastgroup] if found.lastgroup else b""
    return kept + REDACTED
