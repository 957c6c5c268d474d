"""Two running executors with one node name are detected, and restarts of an executor are not mistaken for them."""

from uuid import uuid4

import pytest

from scheduler.domain.duplicate_executors import DuplicateExecutorDetector

EXECUTORS = {letter: uuid4() for letter in "ABCDEFGHIJKLMNOPQRSTUVWXYZ"}


@pytest.mark.parametrize(
    ("heard", "is_duplicate"),
    [
        ("AAAA", False),
        ("AABBB", False),
        ("AABAB", False),
        ("AABABBBBCCBCC", False),
        ("ABCDEFGHIJKLMNOPQRSTUVWXYZ", False),
        ("ABABA", True),
        ("AABBAABBA", True),
        ("ABCABCA", True),
        ("ABCDEFGHIJKLMNABABA", True),
    ],
)
def test_executors_that_are_heard_in_turn_are_duplicates(heard: str, is_duplicate: bool) -> None:
    detector = DuplicateExecutorDetector()
    found = [detector.record_heartbeat("node", EXECUTORS[letter]) for letter in heard]
    assert any(found) is is_duplicate


def test_executors_of_different_nodes_are_no_duplicates() -> None:
    detector = DuplicateExecutorDetector()
    assert not any(detector.record_heartbeat(node, EXECUTORS[node]) for node in "ABABABAB")
