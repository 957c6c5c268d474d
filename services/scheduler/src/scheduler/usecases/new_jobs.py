"""Counts queued jobs for which no waiting request was woken yet."""

from collections import Counter
from collections.abc import Iterable


class NewJobs:
    """Numbers of new jobs by requirement.

    This process announces the jobs that it queues, and the database notifies every process of all jobs. So a job of
    this process arrives twice, and equal notifications of one transaction arrive once.
    """

    def __init__(self) -> None:
        self._announced: Counter[int] = Counter()
        self._notified: Counter[int] = Counter()

    def add_announced(self, requirements: Iterable[int]) -> None:
        """Count jobs that this process has queued."""
        self._announced.update(requirements)

    def add_notified(self, requirement: int) -> None:
        """Count a job that the database notified of."""
        self._notified[requirement] += 1

    def take(self) -> Counter[int]:
        """Return the numbers, and start again from zero.

        The larger number of both sources counts. If there were more jobs, another request is woken when one got a job.
        """
        taken = self._announced | self._notified
        self._announced, self._notified = Counter(), Counter()
        return taken
