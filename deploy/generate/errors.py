"""docs/errors.md: every code that a client may meet in a problem."""

from contracts.registry import REFUSALS
from contracts.wire.errors import STATUS

HEAD = """\
# Error codes

Generated from the refusals in `contracts` by `./dev generate`. An error body is `application/problem+json` (RFC 9457)
with `code`; a code is stable and never reused.

| code | HTTP status | message |
| --- | --- | --- |
"""


def error_pages() -> str:
    """The page: one row a code."""
    rows = [
        f"| `{refusal.code}` | {STATUS[refusal.kind]} | {' '.join((refusal.__doc__ or '').split())} |\n"
        for refusal in REFUSALS
    ]
    return HEAD + "".join(rows)
