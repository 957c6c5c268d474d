import pytest
from structlog.testing import capture_logs

from chassis.database.schema import Schema, SchemaFit, compare_revisions
from chassis.faults import Fault, FaultLog

KNOWN = ("0001", "0002", "0003")


@pytest.mark.parametrize(
    ("revision", "oldest_code", "found"),
    [
        (None, None, SchemaFit.MISSING),
        ("0002", "0001", SchemaFit.OLDER),
        ("0003", "0001", SchemaFit.CURRENT),
        ("0003", "0009", SchemaFit.CURRENT),
        ("0005", "0003", SchemaFit.NEWER),
        ("0005", "0001", SchemaFit.NEWER),
        ("0005", "0004", SchemaFit.INCOMPATIBLE),
        ("0005", None, SchemaFit.INCOMPATIBLE),
    ],
)
def test_code_works_with_its_own_schema_and_with_newer_ones_that_allow_it(
    revision: str | None, oldest_code: str | None, found: SchemaFit
) -> None:
    assert compare_revisions(Schema(revision, oldest_code), head="0003", known=KNOWN) is found


def test_faults_are_logged_at_once_and_then_every_ten_seconds() -> None:
    now = 0.0
    waiting = FaultLog(lambda: now)
    with capture_logs() as lines:
        for now in (0.0, 0.2, 9.9, 10.0, 10.1, 25.0):
            waiting.report(Fault("database", "db", f"at {now}", "Wait."))
    assert [line["reason"] for line in lines] == ["at 0.0", "at 10.0", "at 25.0"]
    assert waiting.latest is not None
    waiting.clear()
    assert waiting.latest is None
