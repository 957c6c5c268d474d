"""An artifact store and a database are matched by id, age and content."""

from datetime import UTC, datetime, timedelta
from uuid import UUID, uuid4

import pytest

from gateway.artifact_store.domain import (
    REASON_BY_FINDING,
    RESTORED_IF_OLDER_BY,
    Finding,
    PairingFacts,
    StoreIdentity,
    compute_deletion_limit,
    decide_pairing,
    format_marker,
    parse_marker,
    parse_object_id,
)

NOW = datetime(2026, 11, 29, 12, tzinfo=UTC)
ONE = StoreIdentity(UUID("0199f2b0-7c3e-7a51-9d24-5a1be0c0ffee"), NOW)
OTHER = StoreIdentity(UUID("0199f2b0-7c3e-7a51-9d24-5a1be0c0ffef"), NOW)
LATER = StoreIdentity(ONE.store_id, NOW + RESTORED_IF_OLDER_BY)
JUST_LATER = StoreIdentity(ONE.store_id, NOW + RESTORED_IF_OLDER_BY - timedelta(seconds=1))


@pytest.mark.parametrize(
    ("found", "expected"),
    [
        (PairingFacts(ONE, ONE), Finding.PAIRED),
        (PairingFacts(ONE, OTHER), Finding.OTHER_STORE),
        (PairingFacts(LATER, ONE), Finding.PAIRED),
        (PairingFacts(ONE, JUST_LATER), Finding.PAIRED),
        (PairingFacts(ONE, LATER), Finding.DATABASE_OLDER),
        (PairingFacts(ONE, None), Finding.MARKER_MISSING),
        (PairingFacts(ONE, None, is_marker_damaged=True), Finding.MARKER_DAMAGED),
        (PairingFacts(None, None, is_marker_damaged=True), Finding.MARKER_DAMAGED),
        (PairingFacts(None, ONE, has_records=True, has_objects=True), Finding.DATABASE_OLDER),
        (PairingFacts(None, ONE, has_objects=True), Finding.DATABASE_EMPTY),
        (PairingFacts(None, ONE), Finding.PAIRABLE),
        (PairingFacts(None, None), Finding.PAIRABLE),
        (PairingFacts(None, None, has_objects=True), Finding.DATABASE_EMPTY),
        (PairingFacts(None, None, has_records=True), Finding.UNRELATED),
        (PairingFacts(None, None, has_records=True, has_objects=True), Finding.UNRELATED),
        (PairingFacts(None, None, has_records=True, has_objects=True, records_match=True), Finding.PAIRABLE),
    ],
)
def test_store_and_database_are_compared_by_id_age_and_content(found: PairingFacts, expected: Finding) -> None:
    assert decide_pairing(found) is expected


def test_every_mismatch_has_a_reason_that_says_what_to_do() -> None:
    assert REASON_BY_FINDING.keys() == set(Finding) - {Finding.PAIRED, Finding.PAIRABLE}
    assert all("adopt-store" in reason for reason in REASON_BY_FINDING.values())


def test_artifact_store_marker_round_trips() -> None:
    assert parse_marker(format_marker(ONE)) == ONE


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"[]",
        b"{}",
        b"\xff",
        b'{"store_id": 1, "confirmed_at": "2026-11-29T12:00:00+00:00"}',
        b'{"store_id": "0199f2b0-7c3e-7a51-9d24-5a1be0c0ffee", "confirmed_at": "2026-11-29T12:00:00"}',
    ],
)
def test_damaged_artifact_store_marker_is_recognized(content: bytes) -> None:
    assert parse_marker(content) is None


def test_only_names_of_uploads_and_outputs_belong_to_a_record() -> None:
    tenant, job, one = uuid4(), uuid4(), uuid4()
    assert parse_object_id(f"{tenant}/uploads/{one}") == parse_object_id(f"{tenant}/{job}/1/{one}") == one
    assert parse_object_id(f"{tenant}/uploads/{one}#2") == one
    for foreign in ("backup.tar", ".comfyfleet/store.json", f"{tenant}/{one}", f"{tenant}/uploads/{one}/x"):
        assert parse_object_id(foreign) is None


@pytest.mark.parametrize(("objects", "limit"), [(0, 100), (10_099, 100), (10_100, 101), (15_497, 154)])
def test_sweep_deletes_at_most_100_objects_or_one_percent(objects: int, limit: int) -> None:
    assert compute_deletion_limit(objects) == limit
