import sqlite3
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from uuid import uuid4

import pytest
from structlog.testing import capture_logs

from contracts.scheduler.attempts import Assignment, AttemptRef, FinishAttempt, Outcome
from executor.domain.attempt import AttemptRecord, Phase
from executor.store.journal import MAX_ORPHANS, ORPHAN_MAX_AGE_S, Journal, JournalLocked, JournalNotWritable
from tests.kit.full_disks import full_disk


def record() -> AttemptRecord:
    ref = AttemptRef(job_id=uuid4(), tenant_id=uuid4(), attempt=1, lease_token=uuid4())
    graph = {"1": {"class_type": "X", "inputs": {"seed": 2**64 - 1, "text": "ü"}}}
    assignment = Assignment(ref=ref, prompt_id=uuid4(), graph=graph, lease_s=15, run_within_s=None)
    return AttemptRecord(assignment=assignment, phase=Phase.ASSIGNED, client_id="c", begun_at=1.5)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "deep" / "journal.sqlite"


@pytest.fixture
def journal(path: Path) -> Iterator[Journal]:
    journal = Journal(path)
    journal.open()
    yield journal
    journal.close()


def reopened(journal: Journal, path: Path) -> list[AttemptRecord]:
    journal.close()
    journal.open()
    assert path.exists()
    return journal.list_attempts()


def test_attempts_survive_a_process_restart(journal: Journal, path: Path) -> None:
    assert journal.list_attempts() == []
    taken, next_one = record(), record()
    journal.add_attempt(taken)
    journal.add_attempt(next_one)
    assert reopened(journal, path) == [taken, next_one]
    journal.record_posted(taken.prompt_id)
    journal.set_begun_at(next_one.prompt_id, 2.5)
    assert reopened(journal, path) == [replace(taken, phase=Phase.POSTED), replace(next_one, begun_at=2.5)]
    finish = FinishAttempt(ref=taken.ref, outcome=Outcome.SUCCEEDED, gpu_seconds=1.25, images=2)
    journal.record_result(taken.prompt_id, finish)
    reopened(journal, path)
    assert journal.read_attempt(taken.prompt_id) == replace(taken, phase=Phase.ENDED, finish=finish)
    journal.clear_attempt(taken.prompt_id)
    assert [one.prompt_id for one in reopened(journal, path)] == [next_one.prompt_id]


def test_write_for_an_earlier_attempt_is_ignored(journal: Journal) -> None:
    taken = record()
    journal.add_attempt(taken)
    journal.record_result(taken.prompt_id, FinishAttempt(ref=taken.ref, outcome=Outcome.CANCELLED))
    journal.record_posted(taken.prompt_id)
    found = journal.read_attempt(taken.prompt_id)
    assert found is not None
    assert found.phase is Phase.ENDED
    journal.clear_attempt(taken.prompt_id)
    journal.record_posted(taken.prompt_id)
    assert journal.list_attempts() == []


def test_orphaned_prompts_are_kept_until_removed(journal: Journal) -> None:
    journal.add_orphan("a")
    journal.add_orphan("a")
    journal.add_orphan("b")
    journal.remove_orphan("b")
    assert journal.list_orphans() == ["a"]


@pytest.mark.requirement("F-38")
def test_journal_is_locked_by_one_executor(journal: Journal, path: Path) -> None:
    second = Journal(path)
    with pytest.raises(JournalLocked):
        second.open()
    journal.close()
    second.open()
    second.close()


def test_corrupt_journal_is_moved_aside(path: Path) -> None:
    path.parent.mkdir(parents=True)
    path.write_bytes(b"this is no database, and it is long enough to be taken for one" * 100)
    journal = Journal(path)
    journal.open()
    assert journal.list_attempts() == []
    journal.close()
    assert path.with_suffix(".damaged").exists()


def test_orphaned_prompts_are_bounded_in_number_and_age(journal: Journal) -> None:
    for number in range(MAX_ORPHANS + 10):
        journal.add_orphan(f"{number:03}")
    assert journal.list_orphans() == [f"{number:03}" for number in range(10, MAX_ORPHANS + 10)]
    journal._run_on_database(
        lambda db: db.execute(
            "UPDATE left_behind SET left_at = left_at - ? WHERE prompt_id < '050'", (ORPHAN_MAX_AGE_S,)
        )
    )
    assert journal.list_orphans() == [f"{number:03}" for number in range(50, MAX_ORPHANS + 10)]


def test_pending_history_removals_survive_a_restart_and_oversized_entries_go_first(tmp_path: Path) -> None:
    path = tmp_path / "journal.sqlite"
    first = Journal(path)
    first.open()
    for number in range(5):
        first.add_history_entry(str(number))
    first.add_history_entry("3", oversized=True)
    first.add_history_entry("3")
    first.close()
    second = Journal(path)
    second.open()
    assert second.list_history_to_remove(keep=3, limit=10) == ["3", "0", "1"]
    assert second.list_history_to_remove(keep=3, limit=1) == ["3"]
    for prompt_id in ("3", "0", "1"):
        second.remove_history_entry(prompt_id)
    assert second.list_history_to_remove(keep=3, limit=10) == []
    second.close()


def test_journal_of_an_earlier_version_is_readable(tmp_path: Path) -> None:
    path, taken = tmp_path / "journal.sqlite", record()
    with sqlite3.connect(path) as old:
        old.execute("CREATE TABLE left_behind (prompt_id TEXT PRIMARY KEY)")
        old.execute("INSERT INTO left_behind VALUES ('a')")
        old.execute(
            "CREATE TABLE attempt (one INTEGER PRIMARY KEY CHECK (one = 1), assignment TEXT NOT NULL,"
            " phase TEXT NOT NULL, client_id TEXT NOT NULL, begun_at REAL NOT NULL, finish TEXT)"
        )
        assignment = taken.assignment.model_dump_json()
        old.execute("INSERT INTO attempt VALUES (1, ?, 'posted', 'c', 1.5, NULL)", (assignment,))
    old.close()
    journal = Journal(path)
    journal.open()
    assert journal.list_attempts() == [replace(taken, phase=Phase.POSTED)]
    assert journal.list_orphans() == ["a"]
    journal.add_orphan("b")
    assert journal.list_orphans() == ["a", "b"]
    journal.close()


def test_expanding_classes_are_remembered(journal: Journal, path: Path) -> None:
    journal.add_expanding_classes({"LoopEnd", "Repeat"})
    journal.add_expanding_classes({"LoopEnd"})
    journal.add_expanding_classes(set())
    reopened(journal, path)
    assert journal.list_expanding_classes() == {"LoopEnd", "Repeat"}


def test_journal_that_cannot_be_written_refuses_new_attempts_and_keeps_the_rest_in_memory(
    journal: Journal, path: Path
) -> None:
    posted, ended, new = record(), record(), record()
    for known in (posted, ended):
        journal.add_attempt(known)
    with capture_logs() as logs, full_disk():
        writable = [journal.try_write()]
        journal.record_posted(posted.prompt_id)
        journal.clear_attempt(ended.prompt_id)
        journal.add_orphan("a")
        refused = 0
        for write in (lambda: journal.add_attempt(new), lambda: journal.record_posting(posted.prompt_id)):
            try:
                write()
            except JournalNotWritable:
                refused += 1
        found, writable = journal.list_attempts(), [*writable, journal.try_write()]
    assert (writable, refused, found) == ([False, False], 2, [replace(posted, phase=Phase.POSTED)])
    assert [(entry["event"], entry["log_level"]) for entry in logs] == [("executor.journal.not_writable", "error")]
    assert journal.try_write()
    journal.add_attempt(new)
    assert reopened(journal, path) == [replace(posted, phase=Phase.POSTED), new]
    assert journal.list_orphans() == ["a"]


def test_journal_whose_disk_has_no_room_for_an_attempt_is_not_writable_until_it_has(
    journal: Journal, path: Path
) -> None:
    large = record()
    large = replace(large, assignment=large.assignment.model_copy(update={"graph": {"text": "x" * 4_000_000}}))
    with capture_logs(), full_disk(max_file_bytes=1_000_000):
        writable, refused = [journal.try_write()], False
        try:
            journal.add_attempt(large)
        except JournalNotWritable:
            refused = True
        writable.append(journal.try_write())
    assert (writable, refused) == ([True, False], True)
    assert journal.try_write()
    journal.add_attempt(large)
    assert reopened(journal, path) == [large]


def test_journal_that_cannot_be_created_is_not_taken_for_a_locked_one(tmp_path: Path) -> None:
    journal, error = Journal(tmp_path / "journal.sqlite"), None
    with full_disk():
        try:
            journal.open()
        except (JournalNotWritable, JournalLocked) as raised:
            error = raised
    assert isinstance(error, JournalNotWritable)
    journal.open()
    assert journal.try_write()
    journal.close()
