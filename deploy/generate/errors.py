"""docs/errors.md: every error code that a client can receive."""

from collections.abc import Iterator

import gateway.errors
import notifier.domain.errors
from contracts.registry import REFUSALS
from contracts.scheduler.jobs import JOB_ERRORS, JOB_WARNINGS
from contracts.wire.errors import STATUS, Refusal

HEAD = """\
# Error codes

Generated from the refusals in `contracts` and in the two public services by `./dev generate`. An error body is
`application/problem+json` (RFC 9457) with `code`; a code is stable and never reused.

| code | HTTP status | message |
| --- | --- | --- |
"""

JOBS = """
## Failed jobs

What `error.code` of a job with status `failed` may be.

| code | meaning |
| --- | --- |
"""


WARNINGS = """
## Warnings

What `warnings[].code` of a completed job may be.

| code | meaning |
| --- | --- |
"""


def error_pages() -> str:
    """Return the page: one row per code, first those of problems, then those of jobs and their warnings."""
    rows = [
        f"| `{refusal.code}` | {STATUS[refusal.kind]} | {' '.join((refusal.__doc__ or '').split())} |\n"
        for refusal in sorted({*REFUSALS, *_own()}, key=lambda refusal: refusal.code)
    ]
    failures = [f"| `{code}` | {meaning} |\n" for code, meaning in sorted(JOB_ERRORS.items())]
    warnings = [f"| `{code}` | {meaning} |\n" for code, meaning in sorted(JOB_WARNINGS.items())]
    return HEAD + "".join(rows) + JOBS + "".join(failures) + WARNINGS + "".join(warnings)


def _own() -> Iterator[type[Refusal]]:
    """Return refusals that the public services raise themselves."""
    for module in (gateway.errors, notifier.domain.errors):
        for found in vars(module).values():
            if isinstance(found, type) and issubclass(found, Refusal) and found is not Refusal:
                yield found
