"""SQLite journal of live attempts, orphaned prompts and facts learned about the node. Survives ``kill -9``."""

import sqlite3
import time
from collections.abc import Callable, Collection, Iterable, Sequence
from pathlib import Path
from threading import Lock
from typing import Any, TypeVar

from pydantic import ValidationError

from chassis.telemetry.logs import log
from contracts.scheduler.attempts import Assignment, FinishAttempt
from executor.domain.attempt import AttemptRecord, Phase

T = TypeVar("T")

MAX_EXPANDING_CLASSES = 1_000  # a node with every known pack has a few dozen
MAX_ORPHANS = 50  # more than one orphaned prompt is rare
ORPHAN_MAX_AGE_S = 3_600.0  # older orphaned prompts are ignored

_SCHEMA = """
CREATE TABLE IF NOT EXISTS attempts (
    place INTEGER PRIMARY KEY AUTOINCREMENT,
    prompt_id TEXT NOT NULL UNIQUE,
    assignment TEXT NOT NULL,
    phase TEXT NOT NULL,
    client_id TEXT NOT NULL,
    begun_at REAL NOT NULL,
    finish TEXT
);
CREATE TABLE IF NOT EXISTS left_behind (prompt_id TEXT PRIMARY KEY, left_at REAL NOT NULL DEFAULT 0);
CREATE TABLE IF NOT EXISTS history (
    place INTEGER PRIMARY KEY AUTOINCREMENT,
    prompt_id TEXT NOT NULL UNIQUE,
    oversized INTEGER NOT NULL DEFAULT 0
);
CREATE TABLE IF NOT EXISTS expanding (class_type TEXT PRIMARY KEY);
CREATE TABLE IF NOT EXISTS write_test (place INTEGER PRIMARY KEY, content BLOB NOT NULL);
"""
_WRITE_TEST_BYTES = 64 << 10  # the records of most attempts are smaller
# Journals of earlier versions have a table ``attempt`` for a single attempt.
_MIGRATE_SINGLE_ATTEMPT = """
INSERT OR IGNORE INTO attempts (prompt_id, assignment, phase, client_id, begun_at, finish)
SELECT json_extract(assignment, '$.prompt_id'), assignment, phase, client_id, begun_at, finish FROM attempt
WHERE json_valid(assignment);
DELETE FROM attempt;
"""
# Journals of earlier versions lack this column.
_ADD_LEFT_AT_COLUMN = "ALTER TABLE left_behind ADD COLUMN left_at REAL NOT NULL DEFAULT 0"
_SET_PHASE = "UPDATE attempts SET phase = ? WHERE prompt_id = ? AND finish IS NULL"
_PRIMARY_CODE = 0xFF  # mask of SQLite's error codes without their extension
_COLUMNS = "assignment, phase, client_id, begun_at, finish"


class JournalLocked(Exception):
    """Another executor has this journal open, so it drives the same node."""


class JournalNotWritable(Exception):
    """The file cannot be written: its disk is full, read-only or broken."""


class Journal:
    """A SQLite file that only one process can open. Each write is in the file when its call returns.

    If a write fails, the journal continues in memory until ``try_write`` succeeds: the attempts that the executor
    has end properly, but a successor would find the file as it was before. So a step that must not be repeated, such as
    posting a prompt, is recorded on disk or not taken.

    Thread-safe. A write for an attempt that ended or was cleared is ignored.
    """

    def __init__(self, path: Path) -> None:
        self._path, self._lock = path, Lock()
        self._database: sqlite3.Connection | None = None
        self._in_memory: sqlite3.Connection | None = None  # the content while the file cannot be written
        self._needed_bytes = _WRITE_TEST_BYTES

    def open(self) -> None:
        """Open or create the file. A corrupt one is renamed and replaced; the leases of its attempts then expire.

        Raises:
            JournalLocked: another executor has it open.
            JournalNotWritable: its disk is full or read-only.
        """
        self._path.parent.mkdir(parents=True, exist_ok=True)
        try:
            self._database = _connect(self._path)
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode & _PRIMARY_CODE == sqlite3.SQLITE_BUSY:
                raise JournalLocked(str(error)) from error
            raise JournalNotWritable(str(error)) from error
        except sqlite3.DatabaseError:
            aside = self._path.with_suffix(".damaged")
            log.error("executor.journal.damaged", kept_as=str(aside))
            self._path.replace(aside)
            self._database = _connect(self._path)

    def close(self) -> None:
        with self._lock:
            for database in (self._in_memory, self._database):
                if database is not None:
                    database.close()
            self._in_memory = self._database = None

    def try_write(self) -> bool:
        """Return whether the file can be written. If it can, it has everything that was written to memory meanwhile.

        Writes 64 KiB, or as many bytes as the largest record that could not be written.
        """
        with self._lock:
            file = self._require_open()
            try:
                if self._in_memory is not None:
                    self._in_memory.backup(file)
                file.execute("INSERT INTO write_test (content) VALUES (zeroblob(?))", (self._needed_bytes,))
                file.execute("DELETE FROM write_test")
            except sqlite3.OperationalError as error:
                self._continue_in_memory(file, error)
                return False
            if self._in_memory is not None:
                self._in_memory.close()
                self._in_memory, self._needed_bytes = None, _WRITE_TEST_BYTES
                log.info("executor.journal.writable")
            return True

    def list_attempts(self, *, exclude: Collection[str] = ()) -> list[AttemptRecord]:
        """Return the live attempts, oldest first. An unreadable record is deleted, so that the attempt's lease expires.

        Args:
            exclude: prompt ids of attempts to leave out, because parsing them takes time.
        """
        rows = self._run_on_database(
            lambda db: db.execute(f"SELECT prompt_id, {_COLUMNS} FROM attempts ORDER BY place").fetchall()  # noqa: S608
        )
        found = [self._parse_record(prompt_id, row) for prompt_id, *row in rows if prompt_id not in exclude]
        return [record for record in found if record is not None]

    def read_attempt(self, prompt_id: str) -> AttemptRecord | None:
        """Return the attempt with this prompt; None if there is none."""
        select = f"SELECT {_COLUMNS} FROM attempts WHERE prompt_id = ?"  # noqa: S608 - constants only
        row = self._run_on_database(lambda db: db.execute(select, (prompt_id,)).fetchone())
        return self._parse_record(prompt_id, row) if row else None

    def _parse_record(self, prompt_id: str, row: Sequence[Any]) -> AttemptRecord | None:
        assignment, phase, client_id, begun_at, finish = row
        try:
            return AttemptRecord(
                assignment=Assignment.model_validate_json(assignment),
                phase=Phase(phase),
                client_id=client_id,
                begun_at=begun_at,
                finish=FinishAttempt.model_validate_json(finish) if finish else None,
            )
        except (ValidationError, ValueError):
            log.exception("executor.journal.unreadable")
            self.clear_attempt(prompt_id)
            return None

    def add_attempt(self, record: AttemptRecord) -> None:
        """Record a new attempt, before its first step.

        Raises:
            JournalNotWritable: it is not on disk, so it must not begin.
        """
        statement = """
            INSERT INTO attempts (prompt_id, assignment, phase, client_id, begun_at) VALUES (?, ?, ?, ?, ?)
            ON CONFLICT (prompt_id) DO UPDATE SET assignment = excluded.assignment, phase = excluded.phase,
                client_id = excluded.client_id, begun_at = excluded.begun_at, finish = NULL
        """
        assignment = record.assignment.model_dump_json()
        values = (record.prompt_id, assignment, record.phase.value, record.client_id, record.begun_at)
        self._write_to_disk(statement, values, size=len(assignment))

    def set_begun_at(self, prompt_id: str, begun_at: float) -> None:
        """Record since when the run time of an attempt counts."""
        self._run_on_database(
            lambda db: db.execute("UPDATE attempts SET begun_at = ? WHERE prompt_id = ?", (begun_at, prompt_id))
        )

    def record_posting(self, prompt_id: str) -> None:
        """Record that a prompt is about to be posted, unless its attempt ended.

        Raises:
            JournalNotWritable: it is not on disk. The prompt must not be posted: a successor would post it again.
        """
        self._write_to_disk(_SET_PHASE, (Phase.POSTING.value, prompt_id))

    def record_posted(self, prompt_id: str) -> None:
        """Record that the node accepted a prompt, unless its attempt ended."""
        self._run_on_database(lambda db: db.execute(_SET_PHASE, (Phase.POSTED.value, prompt_id)))

    def record_result(self, prompt_id: str, finish: FinishAttempt) -> None:
        """Record the result of an attempt, kept until it is reported."""
        values = (Phase.ENDED.value, finish.model_dump_json(), prompt_id)
        self._run_on_database(
            lambda db: db.execute("UPDATE attempts SET phase = ?, finish = ? WHERE prompt_id = ?", values)
        )

    def clear_attempt(self, prompt_id: str) -> None:
        self._run_on_database(lambda db: db.execute("DELETE FROM attempts WHERE prompt_id = ?", (prompt_id,)))

    def add_orphan(self, prompt_id: str) -> None:
        """Record a prompt that may still run on the node although it is no longer wanted."""
        statement = "INSERT OR IGNORE INTO left_behind (prompt_id, left_at) VALUES (?, ?)"
        self._run_on_database(lambda db: db.execute(statement, (prompt_id, time.time())))

    def has_orphans(self) -> bool:
        """Whether there are orphaned prompts, also old ones. Writes nothing."""
        return self._run_on_database(lambda db: db.execute("SELECT 1 FROM left_behind LIMIT 1").fetchone()) is not None

    def list_orphans(self) -> list[str]:
        """Return orphaned prompts that may still run on the node, oldest first.

        Deletes records that are older than ``ORPHAN_MAX_AGE_S`` seconds, and all but the newest ``MAX_ORPHANS``.
        """
        newest = "SELECT prompt_id FROM left_behind ORDER BY left_at DESC LIMIT ?"

        def prune_and_list(db: sqlite3.Connection) -> list[str]:
            db.execute("UPDATE left_behind SET left_at = ? WHERE left_at = 0 OR left_at > ?", (now, now))
            db.execute("DELETE FROM left_behind WHERE left_at < ?", (now - ORPHAN_MAX_AGE_S,))
            db.execute(f"DELETE FROM left_behind WHERE prompt_id NOT IN ({newest})", (MAX_ORPHANS,))  # noqa: S608 - constants only
            return [row[0] for row in db.execute("SELECT prompt_id FROM left_behind ORDER BY left_at").fetchall()]

        now = time.time()
        return self._run_on_database(prune_and_list)

    def add_history_entry(self, prompt_id: str, *, oversized: bool = False) -> None:
        """Record that the node has a history entry of a prompt. Oversized entries are removed first."""
        statement = """
            INSERT INTO history (prompt_id, oversized) VALUES (?, ?)
            ON CONFLICT (prompt_id) DO UPDATE SET oversized = max(oversized, excluded.oversized)
        """
        self._run_on_database(lambda db: db.execute(statement, (prompt_id, oversized)))

    def list_history_to_remove(self, *, keep: int, limit: int) -> list[str]:
        """Return up to ``limit`` history entries to remove: oversized ones, then all but the newest ``keep``."""
        select = """
            SELECT prompt_id FROM history
            WHERE oversized OR place NOT IN (SELECT place FROM history ORDER BY place DESC LIMIT ?)
            ORDER BY oversized DESC, place LIMIT ?
        """
        return [row[0] for row in self._run_on_database(lambda db: db.execute(select, (keep, limit)).fetchall())]

    def remove_history_entry(self, prompt_id: str) -> None:
        """Record that a prompt's history was removed."""
        self._run_on_database(lambda db: db.execute("DELETE FROM history WHERE prompt_id = ?", (prompt_id,)))

    def add_expanding_classes(self, classes: Iterable[str]) -> None:
        """Record classes that expand into other nodes when they run, which no catalog says."""
        statement = "INSERT OR IGNORE INTO expanding SELECT ? WHERE (SELECT count(*) FROM expanding) < ?"
        rows = [(class_type, MAX_EXPANDING_CLASSES) for class_type in sorted(classes)]
        if rows:
            self._run_on_database(lambda db: db.executemany(statement, rows))

    def list_expanding_classes(self) -> frozenset[str]:
        """Return classes that expanded into other nodes on this node."""
        return frozenset(
            row[0]
            for row in self._run_on_database(lambda db: db.execute("SELECT class_type FROM expanding").fetchall())
        )

    def remove_orphan(self, prompt_id: str) -> None:
        """Record that an orphaned prompt is gone."""
        self._run_on_database(lambda db: db.execute("DELETE FROM left_behind WHERE prompt_id = ?", (prompt_id,)))

    def _run_on_database(self, work: Callable[[sqlite3.Connection], T]) -> T:
        with self._lock:
            file = self._require_open()
            if self._in_memory is None:
                try:
                    return work(file)
                except sqlite3.OperationalError as error:
                    in_memory = self._continue_in_memory(file, error)
            else:
                in_memory = self._in_memory
            return work(in_memory)

    def _write_to_disk(self, statement: str, values: Sequence[Any], *, size: int = 0) -> None:
        with self._lock:
            file = self._require_open()
            try:
                if self._in_memory is None:
                    file.execute(statement, values)
                    return
            except sqlite3.OperationalError as error:
                self._continue_in_memory(file, error)
            self._needed_bytes = max(self._needed_bytes, size)
            raise JournalNotWritable(str(self._path))

    def _require_open(self) -> sqlite3.Connection:
        if self._database is None:
            raise JournalLocked("the journal is not open")
        return self._database

    def _continue_in_memory(self, file: sqlite3.Connection, error: sqlite3.OperationalError) -> sqlite3.Connection:
        """Copy the content of the file to memory, unless that was done before."""
        if self._in_memory is None:
            copy = sqlite3.connect(":memory:", isolation_level=None, check_same_thread=False)
            file.backup(copy)
            self._in_memory = copy
            log.error("executor.journal.not_writable", path=str(self._path), why=str(error))
        return self._in_memory


def _connect(path: Path) -> sqlite3.Connection:
    connection = sqlite3.connect(path, timeout=0, isolation_level=None, check_same_thread=False)
    try:
        connection.execute("PRAGMA locking_mode = EXCLUSIVE")
        connection.execute("PRAGMA journal_mode = WAL")
        # Survives the death of this process; after a power failure the node has lost everything too.
        connection.execute("PRAGMA synchronous = NORMAL")
        connection.executescript(_SCHEMA)
        columns = {row[1] for row in connection.execute("PRAGMA table_info(left_behind)")}
        if "left_at" not in columns:
            connection.execute(_ADD_LEFT_AT_COLUMN)
        if connection.execute("SELECT 1 FROM sqlite_master WHERE name = 'attempt'").fetchone():
            connection.executescript(_MIGRATE_SINGLE_ATTEMPT)
    except BaseException:
        connection.close()
        raise
    return connection
