"""A new job that is announced over two channels counts once."""

from collections import Counter

from scheduler.usecases.new_jobs import NewJobs


def test_job_that_is_announced_and_notified_counts_once() -> None:
    jobs = NewJobs()
    jobs.add_announced([1])
    jobs.add_notified(1)
    assert jobs.take_counts() == Counter({1: 1})


def test_jobs_of_other_processes_count_by_their_notifications() -> None:
    jobs = NewJobs()
    jobs.add_announced([1, 1, 1, 2])
    for requirement in (1, 3, 3):
        jobs.add_notified(requirement)
    assert jobs.take_counts() == Counter({1: 3, 2: 1, 3: 2})


def test_taken_jobs_do_not_count_again() -> None:
    jobs = NewJobs()
    jobs.add_announced([1])
    assert jobs.take_counts()
    assert not jobs.take_counts()
