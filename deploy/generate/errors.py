"""docs/errors.md: every error code that a client can receive."""

from importlib import import_module

from contracts.registry import REFUSALS
from contracts.scheduler.jobs import JOB_ERRORS, JOB_WARNINGS
from contracts.wire.errors import HTTP_STATUS, Refusal

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


def build_errors_page() -> str:
    """Return the page: one row per code, first those of problems, then those of jobs and their warnings."""
    refusals = {*REFUSALS, *list_refusals("gateway"), *list_refusals("notifier")}
    rows = [
        f"| `{refusal.code}` | {HTTP_STATUS[refusal.kind]} | {' '.join((refusal.__doc__ or '').split())} |\n"
        for refusal in sorted(refusals, key=lambda refusal: refusal.code)
    ]
    failures = [f"| `{code}` | {meaning} |\n" for code, meaning in sorted(JOB_ERRORS.items())]
    warnings = [f"| `{code}` | {meaning} |\n" for code, meaning in sorted(JOB_WARNINGS.items())]
    return HEAD + "".join(rows) + JOBS + "".join(failures) + WARNINGS + "".join(warnings)


def list_refusals(service: str) -> list[type[Refusal]]:
    """Return the refusals that a service declares itself, by code."""
    import_module(f"{service}.app")
    own = {refusal.code: refusal for refusal in Refusal.__subclasses__() if _find_package(refusal) == service}
    return [own[code] for code in sorted(own)]


def _find_package(refusal: type[Refusal]) -> str:
    return refusal.__module__.partition(".")[0]
