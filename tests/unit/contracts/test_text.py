import json
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

import pytest
from pydantic import BaseModel

from contracts.executor.progress import Progress
from contracts.scheduler.attempts import AttemptRef, FinishAttempt, Outcome
from contracts.scheduler.heartbeats import Heartbeat, ReportCatalog
from contracts.scheduler.jobs import JobError
from contracts.scheduler.outputs import Output, OutputKind
from contracts.wire.text import REPLACEMENT_CHARACTER, clean_text, is_clean_text

UNFIT = "a\x00b\ud800c\udfffd\x1be"
CLEANED = f"a{REPLACEMENT_CHARACTER}b{REPLACEMENT_CHARACTER}c{REPLACEMENT_CHARACTER}d{REPLACEMENT_CHARACTER}e"
REF = AttemptRef(job_id=uuid4(), tenant_id=uuid4(), attempt=1, lease_token=uuid4())


def output(**more: Any) -> Output:
    fields = {"node_id": UNFIT, "name": UNFIT, "content_type": UNFIT, "sha256": UNFIT, **more}
    return Output(id=uuid4(), kind=OutputKind.FILE, size_bytes=1, **fields)


def error() -> JobError:
    return JobError(code=UNFIT, message=UNFIT, node_id=UNFIT, node_class=UNFIT)


@pytest.mark.parametrize(
    "message",
    [
        error(),
        output(),
        FinishAttempt(ref=REF, outcome=Outcome.FAILED, error=error(), outputs=(output(),)),
        Progress(job_id=uuid4(), attempt=1, progress=1, node=UNFIT, node_class=UNFIT, at=datetime.now(UTC)),
        Heartbeat(boot_id=uuid4(), online=True, catalog_digest=UNFIT, attempt=None, loaded=(UNFIT,)),
        ReportCatalog(digest=UNFIT, classes_zlib=""),
    ],
)
def test_executor_messages_contain_only_sendable_and_storable_text(message: BaseModel) -> None:
    written = message.model_dump_json()
    written.encode("utf-8")
    assert "\\u0000" not in written
    assert CLEANED in json.loads(written).values() or CLEANED in written
    assert type(message).model_validate_json(written) == message


def test_message_texts_are_sanitized_on_reading_too() -> None:
    assert JobError.model_validate_json('{"code": "c", "message": "a\\u0000b"}').message == f"a{REPLACEMENT_CHARACTER}b"


def test_long_texts_are_cut() -> None:
    told = JobError(code="c" * 1_000, message="m" * 10_000)
    assert (len(told.code), len(told.message)) == (256, 2_000)


def test_value_that_is_not_text_stays_invalid() -> None:
    with pytest.raises(ValueError, match="string"):
        JobError(code="c", message=["m"])


def test_sanitizing_clean_text_changes_nothing() -> None:
    text = "tab\t, line\n, \U0001f602, \N{LATIN SMALL LETTER E WITH ACUTE}"
    assert is_clean_text(text)
    assert clean_text(text, 1_000) == text
    assert not is_clean_text(UNFIT)
