"""Prints nodes, jobs of all users, statistics, usage and the audit log."""

import json
from collections.abc import Iterable, Sequence

import typer

from comfyfleet_client.cli.show import find_waiting_reason, format_number, format_time, table
from comfyfleet_client.fleet_results import (
    AuditEntry,
    DeadLetter,
    EtaAccuracy,
    FleetJob,
    Node,
    Occupancy,
    Stats,
    UsageDay,
)


def nodes(found: Sequence[Node]) -> None:
    """Print nodes as a table, with what occupies or blocks them."""
    rows = [
        (node.node, "yes" if node.online else "no", _describe_work(node), node.job_id or "-", format_time(node.seen_at))
        for node in found
    ]
    table(("node", "online", "work", "job", "seen"), rows)
    for node in found:
        if node.occupied is not None:
            typer.echo(f"{node.node}: {_describe_occupancy(node.node, node.occupied)}")


def jobs(found: Iterable[FleetJob]) -> None:
    rows = [
        (
            job.job_id, f"{job.status}{' (held)' if job.held else ''}", find_waiting_reason(job), job.tenant_id,
            job.node or "-", job.workflow, str(job.priority), format_time(job.created_at),
        )
        for job in found
    ]  # fmt: skip
    table(("job", "status", "waiting", "owner", "node", "workflow", "priority", "created"), rows)


def job(found: FleetJob) -> None:
    """Print one job and its attempts."""
    jobs([found])
    if found.waiting is not None:
        why = f"{found.waiting.message} (since {format_time(found.waiting.since)})"
        table(("", ""), [("waiting", why)], header=False)
    rows = [
        (
            str(attempt.attempt), attempt.node, attempt.outcome or "runs", format_time(attempt.leased_at),
            format_time(attempt.ended_at),
            f"{attempt.gpu_seconds or 0:.1f}", attempt.error.code if attempt.error else "-",
        )
        for attempt in found.attempts
    ]  # fmt: skip
    table(("attempt", "node", "outcome", "begun", "ended", "GPU s", "error"), rows)


def stats(found: Stats) -> None:
    rows = [
        (
            queue.tier,
            str(queue.waiting),
            str(queue.held),
            str(queue.running),
            _format_seconds(queue.oldest_wait_seconds),
        )
        for queue in found.queue
    ]
    table(("tier", "waiting", "held", "running", "oldest wait"), rows)
    table(
        ("last", "jobs", "images", "jobs/min", "images/min"),
        [
            (
                f"{throughput.minutes} min", str(throughput.jobs), str(throughput.images),
                f"{throughput.jobs_per_minute:.1f}", f"{throughput.images_per_minute:.1f}",
            )
            for throughput in found.throughput
        ],
    )  # fmt: skip
    counts = found.nodes
    online = f"{counts.online} of {counts.total} online"
    facts = [
        ("nodes", f"{online}, {counts.working} working"),
        ("", f"{counts.cordoned} cordoned, {counts.draining} draining, {counts.blocked} blocked"),
        ("waited", f"half {_format_seconds(found.waits.p50_seconds)}, 95 % {_format_seconds(found.waits.p95_seconds)}"),
        *(
            (f"ETA to {stage}", _describe_accuracy(accuracy))
            for stage, accuracy in (("start", found.eta.start), ("end", found.eta.end)) if accuracy
        ),
        *((f"failed, {code}", str(times)) for code, times in found.failures.items()),
        *((what, f"{stored['count']}, {stored['size_bytes'] / 1e6:.1f} MB") for what, stored in found.storage.items()),
    ]  # fmt: skip
    table(("", ""), facts, header=False)


def usage(found: Iterable[UsageDay]) -> None:
    """Print usage, one day per row."""
    rows = [(day.day, str(day.requests), str(day.jobs), str(day.images), f"{day.gpu_seconds:.1f}") for day in found]
    table(("day (UTC)", "requests", "jobs", "images", "GPU seconds"), rows)


def audit(found: Iterable[AuditEntry]) -> None:
    rows = [
        (
            str(entry.id),
            format_time(entry.at),
            entry.action,
            entry.actor_id or "-",
            entry.subject_id or "-",
            json.dumps(entry.detail),
        )
        for entry in found
    ]
    table(("id", "at", "action", "who", "whom", "detail"), rows)


def dead_letters(found: Iterable[DeadLetter]) -> None:
    """Print dead letters, one per row; excerpts are shown as JSON only."""
    rows = [
        (
            letter.id,
            format_time(letter.at),
            letter.service,
            letter.node or letter.stream or "-",
            letter.job_id or "-",
            str(letter.attempts),
            "yes" if letter.redrivable else "no",
            letter.code,
            letter.reason[:200],
        )
        for letter in found
    ]
    table(("id", "at", "service", "from", "job", "attempts", "redrivable", "code", "reason"), rows)


def _describe_work(node: Node) -> str:
    if node.drain_at is not None:
        return "draining" if node.job_id else "drained"
    if node.cordoned_at is not None:
        return "cordoned: it failed" if node.cordon_reason else "cordoned"
    if node.occupied is not None:
        return "blocked" if node.blocked else "occupied"
    return "yes"


def _describe_occupancy(node: str, occupied: Occupancy) -> str:
    """Return what occupies a node, and what to do."""
    causes = {
        "foreign_prompt": "the prompt of another client",
        "own_prompt": f"the prompt of the ended job {occupied.job_id}",
    }
    prompt = f" {occupied.prompt_id}" if occupied.prompt_id else ""
    since = f"since {format_time(occupied.since)}"
    if occupied.by == "dead_worker":
        return f"ComfyUI has stopped running prompts {since}, at prompt{prompt}. Restart ComfyUI."
    if occupied.by == "storage":
        return f"results wait for the artifact store {since}. To see why: GET /api/v1/admin/artifact-store"
    if occupied.by == "journal":
        return f"the journal of its executor cannot be written {since}. Free disk space, or make it writable."
    description = f"occupied by {causes.get(occupied.by, occupied.by)}{prompt} {since}."
    if occupied.by == "foreign_prompt":
        return f"{description} To remove it: comfyfleet admin clear {node}"
    return description


def _describe_accuracy(accuracy: EtaAccuracy) -> str:
    return f"{accuracy.within_p50:.0%} within p50, {accuracy.within_p90:.0%} within p90, of {accuracy.jobs} jobs"


def _format_seconds(value: float | None) -> str:
    return "-" if value is None else f"{format_number(round(value, 1))} s"
