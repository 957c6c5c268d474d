"""Log lines contain no credentials, and infrastructure faults have no traceback."""

import errno
import json
import logging
from collections.abc import Callable, Iterator

import pytest
import structlog

from chassis.infrastructure_faults import is_infrastructure_fault
from chassis.telemetry import logs
from chassis.telemetry.redaction import Redactor

KEY = "cf_0123456789ab_" + "k" * 38
JWT = "eyJhbGciOiJFZERTQSJ9.eyJzdWIiOiJhbGljZSJ9.c2lnbmF0dXJlLXNpZ25hdHVyZQ"
LINK = "http://gateway:8000/internal/outputs/WyJhIiwiYiJd.Zm9v_YmFy-YmF6"


@pytest.mark.requirement("log.no-credentials")
@pytest.mark.parametrize(
    ("text", "shown"),
    [
        (f"refused {KEY}", "refused cf_0123456789ab_***"),
        ("cfr_" + "r" * 43, "cfr_***"),
        ("cfl_" + "l" * 43, "cfl_***"),
        ("GET /ws?ticket=cft_" + "t" * 43, "GET /ws?ticket=***"),
        (f"token {JWT} expired", "token *** expired"),
        (f"PUT {LINK} failed", "PUT http://gateway:8000/internal/outputs/*** failed"),
        ("postgresql+asyncpg://auth:pa55word@db/auth", "postgresql+asyncpg://auth:***@db/auth"),
        ("Authorization: Bearer opaque-token-1", "Authorization: Bearer ***"),
        ("https://b/o?X-Amz-Signature=abc123&part=1", "https://b/o?X-Amz-Signature=***&part=1"),
        ('the "setting" of a test', "the *** of a test"),
        ("job 0199f2b0 key=value a://b cf_short", "job 0199f2b0 key=value a://b cf_short"),
    ],
)
def test_credentials_in_log_lines_are_redacted(text: str, shown: str) -> None:
    line = Redactor(['"setting"']).redact(json.dumps({"event": text}).encode())
    assert json.loads(line)["event"] == shown


@pytest.fixture
def lines(capfdbinary: pytest.CaptureFixture[bytes]) -> Iterator[Callable[[], list[dict[str, str]]]]:
    root = logging.getLogger()
    before, handlers, level = structlog.get_config(), list(root.handlers), root.level
    yield lambda: [json.loads(line) for line in capfdbinary.readouterr().out.splitlines()]
    structlog.configure(**before)
    root.handlers[:] = handlers  # the handler of this test would write to a closed stream
    root.setLevel(level)


@pytest.mark.requirement("log.faults-without-traceback")
def test_infrastructure_fault_is_logged_in_one_line(lines: Callable[[], list[dict[str, str]]]) -> None:
    logs.configure("test", "INFO", secrets=["a-secret"], is_fault=is_infrastructure_fault)
    log = structlog.get_logger()
    for error in (OSError(errno.ENOSPC, "No space left on device"), RuntimeError("a bug with a-secret")):
        try:
            raise error  # noqa: TRY301 - log.exception needs one that was raised
        except Exception:
            log.exception("work.failed")
    full, bug = lines()
    assert full["error"] == "OSError: [Errno 28] No space left on device"
    assert "exception" not in full
    assert "Traceback" in bug["exception"]
    assert "a bug with ***" in bug["exception"]
