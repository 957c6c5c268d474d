"""Shows the progress of jobs: a bar on a terminal, one line per state elsewhere."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TaskProgressColumn, TextColumn, TimeElapsedColumn

from comfyfleet_client import events
from comfyfleet_client.cli.show import print_note
from comfyfleet_client.results import COMPLETED, Job


@dataclass(slots=True)
class _LineProgressDisplay:
    """Prints a line per state; ``named``: with the job id."""

    named: bool
    last: dict[str, str] = field(default_factory=dict)

    def show(self, event: events.JobEvent) -> None:
        if isinstance(event, events.Snapshot | events.Status) and event.status != self.last.get(event.job_id):
            self.last[event.job_id] = event.status
            self._print_line(event.job_id, event.status)
        waiting = event.waiting if isinstance(event, events.Snapshot | events.StillWaiting) else None
        if waiting is not None:
            self._print_line(event.job_id, f"waiting: {waiting.message}")

    def _print_line(self, job_id: str, what: str) -> None:
        print_note(f"{job_id} {what}" if self.named else what)


class _BarProgressDisplay:
    """Shows a progress bar per job."""

    def __init__(self, bars: Progress, *, named: bool) -> None:
        self._bars, self._named = bars, named
        self._tasks: dict[str, TaskID] = {}

    def show(self, event: events.JobEvent) -> None:
        if event.job_id not in self._tasks:
            name = f"{event.job_id} " if self._named else ""
            self._tasks[event.job_id] = self._bars.add_task("pending", total=100, where="", name=name)
        task = self._tasks[event.job_id]
        match event:
            case events.Snapshot():
                where = event.waiting.message if event.waiting else ""
                self._bars.update(task, description=event.status, completed=event.progress, where=where)
            case events.StillWaiting():
                self._bars.update(task, where=event.waiting.message if event.waiting else "")
            case events.Status():
                completed = 100.0 if event.status == COMPLETED else None
                self._bars.update(task, description=event.status, completed=completed, where="")
            case events.Progress():
                self._bars.update(task, completed=event.progress, where=event.node_class or "")


def show_progress(job_events: Iterable[events.JobEvent], *, named: bool = False) -> None:
    """Follow events to the end on stderr; ``named``: show the job id."""
    with _open_display(named=named) as display:
        for event in job_events:
            display.show(event)


def print_problems(job: Job) -> None:
    """Print why a job did not succeed, if it did not."""
    for warning in job.warnings:
        print_note(f"comfyfleet: job {job.job_id}: {warning.message} [{warning.code}]")
    if job.error is not None:
        where = f" (node {job.error.node_id}, {job.error.node_class})" if job.error.node_id else ""
        print_note(f"comfyfleet: job {job.job_id} {job.status}: {job.error.message}{where} [{job.error.code}]")
    elif not job.succeeded:
        print_note(f"comfyfleet: job {job.job_id} is {job.status}.")


@contextmanager
def _open_display(*, named: bool) -> Iterator[_LineProgressDisplay | _BarProgressDisplay]:
    console = Console(stderr=True)
    if not console.is_terminal:
        yield _LineProgressDisplay(named)
        return
    columns = (
        TextColumn("{task.fields[name]}{task.description}"),
        BarColumn(),
        TaskProgressColumn(),
        TextColumn("{task.fields[where]}"),
    )
    with Progress(*columns, TimeElapsedColumn(), console=console) as bar:
        yield _BarProgressDisplay(bar, named=named)
