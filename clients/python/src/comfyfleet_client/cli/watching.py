"""Shows what happens to a job while it happens: a bar on a terminal, a line a state elsewhere."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeElapsedColumn

from comfyfleet_client import events
from comfyfleet_client.cli.show import note
from comfyfleet_client.results import COMPLETED, Job


@dataclass(slots=True)
class _Lines:
    """A line for each state."""

    last: str = ""

    def show(self, event: events.JobEvent) -> None:
        if isinstance(event, events.Snapshot | events.Status) and event.status != self.last:
            self.last = event.status
            note(event.status)


class _Bar:
    """A bar that grows."""

    def __init__(self, bar: Progress) -> None:
        self._bar, self._task = bar, bar.add_task("pending", total=100, where="")

    def show(self, event: events.JobEvent) -> None:
        match event:
            case events.Snapshot():
                self._bar.update(self._task, description=event.status, completed=event.progress)
            case events.Status():
                completed = 100.0 if event.status == COMPLETED else None
                self._bar.update(self._task, description=event.status, completed=completed, where="")
            case events.Progress():
                where = event.node_class or ""
                self._bar.update(self._task, completed=event.progress, where=where)


def shown(happening: Iterable[events.JobEvent]) -> None:
    """Follow to the end, on stderr."""
    with _display() as display:
        for event in happening:
            display.show(event)


def verdict(job: Job) -> None:
    """Say why a job has not made what it should, if so."""
    if job.error is not None:
        where = f" (node {job.error.node_id}, {job.error.node_class})" if job.error.node_id else ""
        note(f"comfyfleet: job {job.job_id} {job.status}: {job.error.message}{where} [{job.error.code}]")
    elif not job.succeeded:
        note(f"comfyfleet: job {job.job_id} is {job.status}.")


@contextmanager
def _display() -> Iterator[_Lines | _Bar]:
    console = Console(stderr=True)
    if not console.is_terminal:
        yield _Lines()
        return
    columns = (TextColumn("{task.description}"), BarColumn(), TaskProgressColumn(), TextColumn("{task.fields[where]}"))
    with Progress(*columns, TimeElapsedColumn(), console=console) as bar:
        yield _Bar(bar)
