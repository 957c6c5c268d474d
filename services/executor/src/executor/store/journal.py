"""The journal: the one attempt at hand, and the prompts that were left on the node. Survives ``kill -9``."""

import sqlite3
from collections.abc import Callable
from pathlib import Path
from threading import Lock
from typing import TypeVar

from pydantic import ValidationError

from chassis.logs import log
from contracts.scheduler import Assignment, FinishAttempt
from executor.domain.attempt import Phase, Record

T = TypeVar("T")

_SCHEMA = """
CREATE TABLE IF NOT EXISTS attempt (
    one INTEGER PRIMARY KEY CHECK (one = 1),
    assignment TEXT NOT NULL,
    phase TEXT NOT NULL,
    client_id TEXT NOT NULL,
    begun_at REAL NOT NULL,
    finish TEXT
);
CREATE TABLE IF NOT EXISTS left_behind (prompt_id TEXT PRIMARY KEY);
"""


class JournalTaken(Exception):
    """Another executor has this journal open, so it drives the same node."""


class Journal:
    """A SQLite file that one process has open at a time. Every write is on disk when its call returns.

    Calls may come from any thread; a write that comes late, after the attempt ended or was cleared, changes nothing.
    """

    def __init__(self, path: Path) -> None:
        self._path, self._lock = path, Lock()
        self._open: sqlite3.Connection | None = None

    def open(self) -> None:
        """Open the file, making it if need be. One that is damaged is put aside: the scheduler tells the rest.

        Raises:
            JournalTaken: another executor has it.
        """
        self._path.parent.mkdir(parents=True, exist_ok=True)
        try:
            self._open = _connect(self._path)
        except sqlite3.OperationalError as error:
            raise JournalTaken(str(error)) from error
        except sqlite3.DatabaseError:
            aside = self._path.with_suffix(".damaged")
            log.error("executor.journal.damaged", kept_as=str(aside))
            self._path.replace(aside)
            self._open = _connect(self._path)

    def close(self) -> None:
        """Let go of the file."""
        with self._lock:
            if self._open is not None:
                self._open.close()
                self._open = None

    def read(self) -> Record | None:
        """The attempt at hand. One that cannot be read is dropped: its lease lapses and it runs elsewhere."""
        row = self._do(
            lambda db: db.execute("SELECT assignment, phase, client_id, begun_at, finish FROM attempt").fetchone()
        )
        if row is None:
            return None
        assignment, phase, client_id, begun_at, finish = row
        try:
            return Record(
                assignment=Assignment.model_validate_json(assignment),
                phase=Phase(phase),
                client_id=client_id,
                begun_at=begun_at,
                finish=FinishAttempt.model_validate_json(finish) if finish else None,
            )
        except (ValidationError, ValueError):
            log.exception("executor.journal.unreadable")
            self.clear()
            return None

    def begin(self, record: Record) -> None:
        """Take an attempt in hand, before anything else is done about it."""
        values = (record.assignment.model_dump_json(), record.phase.value, record.client_id, record.begun_at)
        self._do(lambda db: db.execute("INSERT OR REPLACE INTO attempt VALUES (1, ?, ?, ?, ?, NULL)", values))

    def advance(self, phase: Phase) -> None:
        """Note the next phase of the attempt at hand, unless it ended."""
        self._do(lambda db: db.execute("UPDATE attempt SET phase = ? WHERE finish IS NULL", (phase.value,)))

    def end(self, finish: FinishAttempt) -> None:
        """Note how the attempt at hand ended, to be kept until the scheduler knows it."""
        values = (Phase.ENDED.value, finish.model_dump_json())
        self._do(lambda db: db.execute("UPDATE attempt SET phase = ?, finish = ?", values))

    def clear(self) -> None:
        """Let go of the attempt at hand."""
        self._do(lambda db: db.execute("DELETE FROM attempt"))

    def leave(self, prompt_id: str) -> None:
        """Note a prompt that may still run on the node though nobody wants it."""
        self._do(lambda db: db.execute("INSERT OR IGNORE INTO left_behind VALUES (?)", (prompt_id,)))

    def left(self) -> set[str]:
        """The prompts that may still run on the node though nobody wants them."""
        return {row[0] for row in self._do(lambda db: db.execute("SELECT prompt_id FROM left_behind").fetchall())}

    def forget(self, prompt_id: str) -> None:
        """Note that a prompt that was left is gone."""
        self._do(lambda db: db.execute("DELETE FROM left_behind WHERE prompt_id = ?", (prompt_id,)))

    def _do(self, work: Callable[[sqlite3.Connection], T]) -> T:
        with self._lock:
            if self._open is None:
                raise JournalTaken("the journal is not open")
            return work(self._open)


def _connect(path: Path) -> sqlite3.Connection:
    connection = sqlite3.connect(path, timeout=0, isolation_level=None, check_same_thread=False)
    try:
        connection.execute("PRAGMA locking_mode = EXCLUSIVE")
        connection.execute("PRAGMA journal_mode = WAL")
        # Survives the death of this process at any line; after a power failure the node has forgotten everything too.
        connection.execute("PRAGMA synchronous = NORMAL")
        connection.executescript(_SCHEMA)
    except BaseException:
        connection.close()
        raise
    return connection
