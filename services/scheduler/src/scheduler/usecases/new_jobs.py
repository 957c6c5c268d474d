"""Counts newly queued jobs for which no executor's waiting work request has been woken yet."""

from collections import Counter
from collections.abc import Iterable


class NewJobs:
    """The number of new jobs by requirement.

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

    def take_counts(self) -> Counter[int]:
        """Return the number of new jobs by requirement, and start again from zero.

        It is the larger of the two numbers: announced and notified. If there were more jobs, another request is woken
        when the first one has got a job.
        """
        taken = self._announced | self._notified
        self._announced, self._notified = Counter(), Counter()
        return taken
