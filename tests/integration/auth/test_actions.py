"""Actions of admins in other services are audited before they happen, and only admins can read the audit log."""

from datetime import timedelta
from typing import Any

import pytest

from contracts.auth.accounts import Role
from contracts.auth.audit import READ_AUDIT, RECORD_ACTION, AuditPage, ReadAudit, RecordAction
from tests.integration.auth.conftest import System
from tests.integration.auth.people import Person, somebody


async def read(admin: Person, **query: Any) -> AuditPage:
    page: AuditPage = await admin.ask(READ_AUDIT, ReadAudit(**query))
    return page


@pytest.mark.requirement("S-82")
async def test_admin_actions_are_audited_and_searchable(system: System) -> None:
    admin, other = await somebody(system, Role.ADMIN), await somebody(system, Role.ADMIN)
    ada = await somebody(system)
    orders = (
        (admin, RecordAction(action="node.drain", detail={"node": "node-1", "grace_seconds": 1.5}, ip="192.0.2.7")),
        (admin, RecordAction(action="job.hold", subject_id=ada.id, key_id="k1")),
        (other, RecordAction(action="job.hold", subject_id=ada.id)),
    )
    for who, order in orders:
        await who.ask(RECORD_ACTION, order)
    by_admin = (await read(other, actor_id=admin.id)).entries
    assert [entry.action for entry in by_admin[:2]] == ["job.hold", "node.drain"]
    assert (by_admin[0].subject_id, by_admin[0].detail) == (ada.id, {"key_id": "k1"})
    assert (by_admin[1].detail, by_admin[1].ip) == ({"node": "node-1", "grace_seconds": 1.5}, "192.0.2.7")
    of_ada = (await read(admin, subject_id=ada.id)).entries
    assert [(entry.action, entry.actor_id) for entry in of_ada] == [
        ("job.hold", other.id), ("job.hold", admin.id), ("account.bootstrapped", None),
    ]  # fmt: skip
    assert [entry.id for entry in of_ada] == sorted((entry.id for entry in of_ada), reverse=True)
    assert all(len(bytes.fromhex(entry.hash)) == 32 for entry in of_ada)
    page = await read(admin, subject_id=ada.id, limit=2)
    assert page.more
    rest = await read(admin, subject_id=ada.id, before_id=page.entries[-1].id)
    assert [entry.action for entry in rest.entries] == ["account.bootstrapped"]
    assert not rest.more
    since = of_ada[1].at
    assert len((await read(admin, subject_id=ada.id, after=since)).entries) == 2
    assert len((await read(admin, subject_id=ada.id, before=since)).entries) == 1
    assert (await read(admin, subject_id=ada.id, after=since + timedelta(days=1))).entries == ()
    assert [entry.action for entry in (await read(admin, subject_id=ada.id, action="job.hold")).entries] == [
        "job.hold", "job.hold",
    ]  # fmt: skip
    looked = (await read(admin, actor_id=other.id, action="audit.read")).entries
    assert looked[0].detail["actor_id"] == str(admin.id)


@pytest.mark.requirement("S-4")
async def test_only_an_active_admin_records_actions_or_reads_the_audit_log(system: System) -> None:
    ada = await somebody(system)
    kept = "SELECT count(*) FROM audit_log WHERE actor_id = $1"
    before = await system.sql.fetchval(kept, ada.id)
    assert (await ada.refused(RECORD_ACTION, RecordAction(action="node.drain"))).code == "auth.scope.missing"
    assert (await ada.refused(READ_AUDIT, ReadAudit())).code == "auth.scope.missing"
    assert await system.sql.fetchval(kept, ada.id) == before
