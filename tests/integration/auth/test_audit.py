"""The audit log is complete, ordered and protected against changes."""

import asyncio
import json
from datetime import timedelta
from pathlib import Path

import asyncpg
import pytest
from pydantic import SecretStr

from auth.domain.audit_chain import GENESIS_HASH, hash_entry
from auth.store import audit
from auth.store.audit import NewAuditEntry
from auth.usecases import audit_log
from auth.usecases.archive_audit import ArchiveDamaged, AuditArchiver
from chassis.database.postgres import Database
from chassis.messaging.bus import Bus
from chassis.telemetry.logs import log_context
from contracts.auth.audit import RECORD_DENIAL, RecordDenial
from contracts.auth.sessions import OPEN_SESSION, OpenSession
from tests.integration.auth.conftest import (
    PASSWORD,
    AuthCommands,
    Person,
    System,
    login,
    new_name,
    refused,
)
from tests.kit.postgres import PostgresServer, database_with_long_timeout


async def actions(sql: asyncpg.Pool, person: Person) -> list[str]:
    rows = await sql.fetch("SELECT action FROM audit_log WHERE subject_id = $1 ORDER BY id", person.id)
    return [row["action"] for row in rows]


@pytest.mark.requirement("S-82", "table auth.audit_log")
async def test_audit_entry_records_actor_action_address_and_request(
    bus: Bus, sql: asyncpg.Pool, person: Person
) -> None:
    with log_context(request_id="r-1"):
        await login(bus, person)
        await refused(login(bus, person, "not my password"))
        denial = RecordDenial(what="GET /admin/users", code="auth.scope.missing", ip="2001:db8::1")
        await bus.request(RECORD_DENIAL, denial, tenant=person.tenant)
    assert await actions(sql, person) == ["account.made", "session.opened", "session.refused", "access.denied"]
    rows = await sql.fetch("SELECT * FROM audit_log WHERE subject_id = $1 ORDER BY id", person.id)
    _, opened, wrong, denied = rows
    assert [row["request_id"] for row in rows] == [None, "r-1", "r-1", "r-1"]
    assert (opened["actor_id"], opened["ip"]) == (person.id, "192.0.2.7")
    assert (wrong["actor_id"], json.loads(wrong["detail"])) == (None, {"reason": "wrong"})
    assert denied["ip"] == "2001:db8::1"
    assert json.loads(denied["detail"])["what"] == "GET /admin/users"
    assert all(row["at"].utcoffset().total_seconds() == 0 for row in rows)


@pytest.mark.requirement("S-82")
async def test_attempted_username_is_not_audited(bus: Bus, sql: asyncpg.Pool) -> None:
    name = new_name()
    await refused(bus.request(OPEN_SESSION, OpenSession(username=name, password=SecretStr(PASSWORD))))
    kept = await sql.fetch("SELECT * FROM audit_log")
    assert not any(name in str(row) or PASSWORD in str(row) for row in kept)


@pytest.mark.requirement("S-82")
@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE audit_log SET action = 'nothing.happened'",
        "DELETE FROM audit_log WHERE id = 1",
        "TRUNCATE audit_log",
    ],
)
async def test_database_refuses_to_change_the_audit_log(sql: asyncpg.Pool, person: Person, statement: str) -> None:
    assert await actions(sql, person) == ["account.made"]
    with pytest.raises(asyncpg.RaiseError, match="append-only"):
        await sql.execute(statement)
    assert await actions(sql, person) == ["account.made"]


@pytest.mark.requirement("S-82")
async def test_concurrent_audit_entries_form_one_gapless_chain(system: System) -> None:
    database = database_with_long_timeout(system.database_url, pool_size=8)

    async def write(number: int) -> None:
        detail = {"n": number, "weight": 2.0, "small": 1e-7, "big": 1e22, "text": 'é\u2028"', "list": [None, True]}
        async with database.transaction() as connection:
            await audit.append_entry(connection, NewAuditEntry("user.changed", detail=detail))
            if number % 5 == 0:
                raise ZeroDivisionError

    try:
        await asyncio.gather(*(write(number) for number in range(40)), return_exceptions=True)
        rows = await system.sql.fetch("SELECT id FROM audit_log ORDER BY id")
        assert [row["id"] for row in rows] == list(range(1, len(rows) + 1))
        verdict = await audit_log.verify_chain(database)
        assert (verdict.valid_count, verdict.broken_id) == (len(rows), None)
    finally:
        await database.close()


@pytest.mark.requirement("S-82")
async def test_audit_log_is_exported_and_verification_finds_tampering(
    postgres_server: PostgresServer, auth_commands: AuthCommands
) -> None:
    url = await postgres_server.create_database("auth")
    database, sql = database_with_long_timeout(url), await asyncpg.connect(url.replace("+asyncpg", ""))
    try:
        for number in range(5):
            async with database.transaction() as connection:
                await audit.append_entry(connection, NewAuditEntry("session.opened", ip="::1", detail={"n": number}))
        verified, export = await asyncio.gather(
            auth_commands.run(url, "audit", "verify"), auth_commands.run(url, "audit", "export")
        )
        assert (verified.returncode, verified.stderr) == (0, "")
        assert verified.stdout.startswith("5 entries are valid")
        exported = [json.loads(line) for line in export.stdout.splitlines()]
        assert [(entry["id"], entry["detail"]) for entry in exported] == [(n + 1, {"n": n}) for n in range(5)]
        assert exported[-1]["hash"] in verified.stdout
        await sql.execute("ALTER TABLE audit_log DISABLE TRIGGER USER")
        await sql.execute("UPDATE audit_log SET ip = '::2' WHERE id = 3")
        touched = await auth_commands.run(url, "audit", "verify")
        assert (touched.returncode, touched.stderr) == (1, "Entry 3 was changed, or one before it was removed.\n")
        await sql.execute("UPDATE audit_log SET ip = '::1' WHERE id = 3")
        await sql.execute("DELETE FROM audit_log WHERE id = 2")
        removed = await audit_log.verify_chain(database)
        assert (removed.valid_count, removed.broken_id) == (1, 3)
    finally:
        await sql.close()
        await database.close()


@pytest.mark.requirement("audit.archive", "table auth.audit_archives")
async def test_old_audit_entries_move_to_files_and_the_chain_stays_verifiable(
    postgres_server: PostgresServer, auth_commands: AuthCommands, tmp_path: Path
) -> None:
    url = await postgres_server.create_database("auth")
    database, sql = database_with_long_timeout(url), await asyncpg.connect(url.replace("+asyncpg", ""))
    keeping = {"AUTH_AUDIT_DAYS": "30", "AUTH_AUDIT_ARCHIVE": str(tmp_path)}
    try:
        await fill_audit_log(database, sql, old=5, young=2)
        await AuditArchiver(database, tmp_path, age=timedelta(days=30), max_entries=3).archive_old_entries()
        names = await asyncio.to_thread(lambda: sorted(path.name for path in tmp_path.iterdir()))
        assert names == ["audit-000000000001.jsonl", "audit-000000000004.jsonl"]
        rows = await sql.fetch("SELECT id, action FROM audit_log ORDER BY id")
        assert [row["id"] for row in rows] == [6, 7, 8, 9]
        assert [row["action"] for row in rows[2:]] == ["audit.archived"] * 2
        verified, without_files = await asyncio.gather(
            auth_commands.run(url, "audit", "verify", **keeping), auth_commands.run(url, "audit", "verify")
        )
        assert (verified.returncode, verified.stderr, without_files.returncode) == (0, "", 0)
        assert "4 entries are valid" in verified.stdout
        assert "5 entries in archives are valid" in verified.stdout
        assert "Not verified: the archives up to entry 5" in without_files.stdout
        again = await auth_commands.run(url, "audit", "archive", **keeping)
        assert (again.returncode, again.stdout) == (0, "0 entries were moved.\n")
        for table, condition in (("audit_log", "id = 6"), ("audit_archives", "true")):
            with pytest.raises(asyncpg.RaiseError, match="append-only"):
                await sql.execute(f"DELETE FROM {table} WHERE {condition}")  # noqa: S608 - constants only
        first = tmp_path / "audit-000000000001.jsonl"
        first.write_text(first.read_text().replace('"n": 1', '"n": 7'))
        changed = await auth_commands.run(url, "audit", "verify", **keeping)
        assert (changed.returncode, changed.stderr) == (
            1, "audit-000000000001.jsonl: entry 2 was changed, or one before it was removed.\n"
        )  # fmt: skip
        await sql.execute("ALTER TABLE audit_log DISABLE TRIGGER audit_log_is_append_only")
        await sql.execute("UPDATE audit_log SET ip = '::9' WHERE id = 8")
        both_changed = await auth_commands.run(url, "audit", "verify", **keeping)
        assert both_changed.returncode == 1
        assert both_changed.stderr == "Entry 8 was changed, or one before it was removed.\n" + changed.stderr
    finally:
        await sql.close()
        await database.close()


@pytest.mark.requirement("audit.archive")
async def test_audit_log_that_was_cut_without_an_archive_entry_is_reported(
    postgres_server: PostgresServer, tmp_path: Path
) -> None:
    url = await postgres_server.create_database("auth")
    database, sql = database_with_long_timeout(url), await asyncpg.connect(url.replace("+asyncpg", ""))
    try:
        await fill_audit_log(database, sql, old=3, young=2)
        await sql.execute("ALTER TABLE audit_log DISABLE TRIGGER audit_log_is_append_only")
        await sql.execute("UPDATE audit_log SET ip = '::2' WHERE id = 2")
        with pytest.raises(ArchiveDamaged, match="entry 2"):
            await AuditArchiver(database, tmp_path, age=timedelta(days=30)).archive_old_entries()
        assert await sql.fetchval("SELECT count(*) FROM audit_log") == 5
        await sql.execute("""
            INSERT INTO audit_archives (first_id, last_id, last_hash, file, sha256)
            SELECT 1, 3, hash, 'forged', '' FROM audit_log WHERE id = 3
        """)
        await sql.execute("DELETE FROM audit_log WHERE id <= 3")
        assert (await audit_log.verify_chain(database)).broken_id == 4
    finally:
        await sql.close()
        await database.close()


async def fill_audit_log(database: Database, sql: asyncpg.Connection, *, old: int, young: int) -> None:
    """Append ``old`` entries dated 40 days ago and ``young`` current ones, with valid hashes."""
    previous = GENESIS_HASH
    for number in range(old + young):
        detail = {"n": number, "weight": 2.0, "small": 1e-7, "big": 1e22, "text": "é"}
        async with database.transaction() as connection:
            await audit.append_entry(connection, NewAuditEntry("session.opened", ip="::1", detail=detail))
    await sql.execute("ALTER TABLE audit_log DISABLE TRIGGER audit_log_is_append_only")
    await sql.execute("UPDATE audit_log SET at = at - interval '40 days' WHERE id <= $1", old)
    async with database.connection() as connection:
        entries = [entry async for entry, _ in audit.iterate_entries(connection)]
    for entry in entries:
        previous = hash_entry(previous, entry)
        await sql.execute("UPDATE audit_log SET hash = $2 WHERE id = $1", entry.id, previous)
    await sql.execute("ALTER TABLE audit_log ENABLE TRIGGER audit_log_is_append_only")
