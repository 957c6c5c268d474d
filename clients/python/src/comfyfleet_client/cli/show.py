"""Prints results to stdout: tables for people, one JSON object per line for programs.

Everything else goes to stderr.
"""

import json
import sys
from collections.abc import Iterable, Sequence
from dataclasses import fields
from datetime import datetime
from typing import Any

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from comfyfleet_client.json_values import build_json_value
from comfyfleet_client.results import Account, Job, Key, Limits, Me, Tier
from comfyfleet_client.upload_calls import Upload
from comfyfleet_client.workflow_calls import SavedWorkflow

WIDTH_WITHOUT_TERMINAL = 250  # columns without a terminal, so that each row is one line for grep


def print_note(text: str) -> None:
    """Print a message that is not a result."""
    typer.echo(text, err=True)


def print_text(content: bytes) -> None:
    """Print a text of other users: unchanged for programs, without terminal control characters for people."""
    if not sys.stdout.isatty():
        sys.stdout.buffer.write(content if content.endswith(b"\n") else content + b"\n")
        sys.stdout.buffer.flush()
        return
    shown = "".join(
        letter if letter.isprintable() or letter in "\n\t" else "�" for letter in content.decode(errors="replace")
    )
    typer.echo(shown)


def print_json(value: Any, **more: Any) -> None:
    typer.echo(json.dumps(more | build_json_value(value) if more else build_json_value(value)))


def jobs(found: Iterable[Job]) -> None:
    rows = [
        (
            job.job_id,
            job.status,
            f"{job.progress:.0f} %",
            format_time(job.created_at),
            find_waiting_reason(job),
            _format_labels(job),
        )
        for job in found
    ]
    table(("job", "status", "progress", "created", "waiting", "labels"), rows)


def job(found: Job) -> None:
    """Print one job, one field per row."""
    waiting = f"{found.waiting.message} (since {format_time(found.waiting.since)})" if found.waiting else ""
    error = f"{found.error.message} [{found.error.code}]" if found.error else ""
    rows = [
        ("job", found.job_id), ("status", found.status), ("waiting", waiting), ("progress", f"{found.progress:.0f} %"),
        ("attempt", str(found.attempt)), ("ETA", f"{found.eta_seconds:g} s" if found.eta_seconds is not None else ""),
        ("created", format_time(found.created_at)), ("started", format_time(found.started_at, "")),
        ("completed", format_time(found.completed_at, "")), ("outputs", str(len(found.outputs))), ("error", error),
        ("labels", _format_labels(found)),
    ]  # fmt: skip
    table(("", ""), [row for row in rows if row[1]], header=False)


def find_waiting_reason(job: Job) -> str:
    """Return the waiting reason as one word; "-" if the job is not waiting."""
    return job.waiting.reason if job.waiting else "-"


def keys(found: Iterable[Key]) -> None:
    rows = [
        (key.id, key.name, " ".join(key.scopes), format_time(key.expires_at, "never"), format_time(key.last_used_at))
        for key in found
    ]
    table(("id", "name", "scopes", "expires", "last used"), rows)


def uploads(listed: Iterable[Upload]) -> None:
    rows = [
        (
            upload.id,
            upload.content_type,
            _format_pixels(upload),
            str(upload.size_bytes),
            format_time(upload.expires_at, "never"),
        )
        for upload in listed
    ]
    table(("id", "type", "pixels", "bytes", "expires"), rows)


def _format_pixels(upload: Upload) -> str:
    return f"{upload.width} x {upload.height}" if upload.width and upload.height else "-"


def workflows(listed: Iterable[SavedWorkflow]) -> None:
    rows = [
        (workflow.name, str(workflow.version), format_time(workflow.created_at), workflow.description or "")
        for workflow in listed
    ]
    table(("name", "version", "saved", "description"), rows)


def users(found: Iterable[Account]) -> None:
    rows = [
        (user.id, user.username, user.email, user.tier, user.role, "yes" if user.is_active else "no") for user in found
    ]
    table(("id", "username", "email", "tier", "role", "active"), rows)


def tiers(found: Iterable[Tier]) -> None:
    """Print limits, one per row, with a column per tier. They have the names that ``set-limits`` takes."""
    shown = list(found)
    rows = [(each.name, *(_format_limit(getattr(tier.limits, each.name)) for tier in shown)) for each in fields(Limits)]
    table(("limit", *(tier.name for tier in shown)), rows)


def models(found: Iterable[tuple[str, list[str]]]) -> None:
    table(("loader input", "file"), [(loader, file) for loader, files in found for file in files])


def me(who: Me) -> None:
    used = f"{who.used_today} images, {format_number(who.left_today)} left until {format_time(who.resets_at)}"
    rows = [
        ("username", who.username), ("email", who.email), ("tier", who.tier), ("role", who.role), ("used today", used),
        ("running", f"{who.running} of {format_number(who.limits.max_running)}"),
        ("queued", f"{who.queued} of {format_number(who.limits.queue_cap)}"),
        ("requests a minute", format_number(who.limits.requests_per_minute)),
        ("graph policy", who.limits.graph_policy), ("seconds a run", format_number(who.limits.run_seconds)),
        ("seconds until the start", format_number(who.limits.start_seconds)),
        ("GPU-seconds a day", format_number(who.limits.gpu_seconds_per_day)),
        ("bytes of results", format_number(who.limits.result_bytes)),
        ("bytes of an upload", format_number(who.limits.upload_bytes)),
        ("results kept", _format_days(who.limits.result_days)), ("uploads kept", _format_days(who.limits.upload_days)),
    ]  # fmt: skip
    table(("", ""), rows, header=False)


def _format_limit(value: float | str | None) -> str:
    return value if isinstance(value, str) else format_number(value)


def table(columns: Sequence[str], rows: Sequence[Sequence[str]], *, header: bool = True) -> None:
    """Print a table of strings, without terminal control characters."""
    drawn = Table(box=None, show_header=header, pad_edge=False)
    for name in columns:
        drawn.add_column(name, overflow="fold")
    for row in rows:
        drawn.add_row(*map(_build_literal_text, row))
    console = Console(width=None if sys.stdout.isatty() else WIDTH_WITHOUT_TERMINAL, highlight=False)
    console.print(drawn)


def _build_literal_text(text: str) -> Text:
    """Return literal text. Names of other users must not style or control the terminal."""
    return Text("".join(letter if letter.isprintable() else "�" for letter in text))


def _format_labels(job: Job) -> str:
    return " ".join(f"{key}:{value}" for key, value in job.labels.items())


def format_time(at: datetime | None, without: str = "-") -> str:
    """Format a time in the local zone; ``without`` for None."""
    return at.astimezone().strftime("%Y-%m-%d %H:%M:%S") if at else without


def format_number(value: float | None) -> str:
    """Format a limit."""
    return "unlimited" if value is None else f"{value:g}" if isinstance(value, float) else str(value)


def _format_days(value: int | None) -> str:
    return "forever" if value is None else f"{value} days"
