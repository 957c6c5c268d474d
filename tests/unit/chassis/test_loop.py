"""A failed run of a periodic task is retried soon, whatever the interval of the task."""

from chassis.loop import Loop
from tests.kit.waiting import until

HOUR_S = 3600.0


class Task:
    """A task whose first runs fail."""

    def __init__(self, failures: int) -> None:
        self.failures, self.runs = failures, 0

    async def __call__(self) -> None:
        self.runs += 1
        if self.runs <= self.failures:
            raise ZeroDivisionError


async def test_failed_run_is_retried_before_its_interval_has_passed() -> None:
    task = Task(failures=2)
    loop = Loop("test.fail", task, every_s=HOUR_S)
    loop.start()
    await until(lambda: task.runs == 3)
    await loop.stop()
