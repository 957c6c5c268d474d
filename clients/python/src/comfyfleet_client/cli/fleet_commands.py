"""Admin commands about nodes, jobs, statistics, usage and the audit log; and the user's own usage."""

from collections.abc import Iterable
from itertools import islice
from typing import Annotated, Any

import typer

from comfyfleet_client.cli import parameters, show, show_fleet
from comfyfleet_client.cli.account_commands import Json
from comfyfleet_client.cli.admin_commands import app, find_user_id
from comfyfleet_client.cli.connection import open_client
from comfyfleet_client.cli.job_commands import JobId
from comfyfleet_client.fleet_results import FleetJob, Node

NodeName = Annotated[str, typer.Argument(metavar="NODE", help="The name of a node.")]
Days = Annotated[int | None, typer.Option(min=1, max=90, help="Number of UTC days, including today.")]
LimitOption = Annotated[int, typer.Option("--limit", "-n", min=1, help="Maximum number of entries.")]
Since = Annotated[str | None, typer.Option(help="30m, 24h, 7d, a date or a time.")]


def usage(context: typer.Context, *, days: Days = None, json: Json = False) -> None:
    """Show own usage by day."""
    with open_client(context) as client:
        _print_table(client.usage(days=days), show_fleet.usage, json=json)


@app.command("usage")
def usage_of(
    context: typer.Context,
    user: Annotated[str | None, typer.Argument(metavar="USER", help="Username or id; all users if left out.")] = None,
    *,
    days: Days = None,
    json: Json = False,
) -> None:
    """Show the usage of one user, or of all users, by day."""
    with open_client(context) as client:
        whose = find_user_id(client, user) if user is not None else None
        _print_table(client.fleet.usage(whose, days=days), show_fleet.usage, json=json)


@app.command()
def stats(context: typer.Context, *, json: Json = False) -> None:
    """Show queues, nodes, throughput, waits, failures and storage."""
    with open_client(context) as client:
        found = client.fleet.stats()
    if json:
        show.print_json(found)
    else:
        show_fleet.stats(found)


@app.command()
def nodes(context: typer.Context, *, json: Json = False) -> None:
    """List nodes."""
    with open_client(context) as client:
        _print_table(client.fleet.nodes(), show_fleet.nodes, json=json)


@app.command()
def cordon(context: typer.Context, node: NodeName, *, json: Json = False) -> None:
    """Assign no new jobs to a node; its current job continues."""
    with open_client(context) as client:
        _show_node(client.fleet.cordon(node), json=json)


@app.command()
def uncordon(context: typer.Context, node: NodeName, *, json: Json = False) -> None:
    """Assign jobs to a node again."""
    with open_client(context) as client:
        _show_node(client.fleet.uncordon(node), json=json)


@app.command()
def drain(
    context: typer.Context,
    node: NodeName,
    *,
    grace: Annotated[float, typer.Option(min=0, max=86400, help="Seconds for which its job may still run.")] = 0,
    json: Json = False,
) -> None:
    """Assign no new jobs to a node, and move its current job elsewhere."""
    with open_client(context) as client:
        _show_node(client.fleet.drain(node, grace_seconds=grace), json=json)


@app.command()
def clear(context: typer.Context, node: NodeName, *, json: Json = False) -> None:
    """Remove prompts of other clients from a node."""
    with open_client(context) as client:
        _show_node(client.fleet.clear(node), json=json)


@app.command()
def refresh(
    context: typer.Context,
    node: Annotated[str | None, typer.Argument(metavar="NODE", help="Name of the node; all nodes if left out.")] = None,
    *,
    json: Json = False,
) -> None:
    """Read the classes and models of one node, or of all nodes, again."""
    with open_client(context) as client:
        found = client.fleet.refresh_all() if node is None else [client.fleet.refresh(node)]
    _print_table(found, show_fleet.nodes, json=json)


@app.command()
def forget(context: typer.Context, node: NodeName) -> None:
    """Remove a node that is gone."""
    with open_client(context) as client:
        client.fleet.forget(node)
    typer.echo(f"{node} is forgotten.")


@app.command()
def jobs(
    context: typer.Context,
    *,
    user: Annotated[str | None, typer.Option(help="Username or id.")] = None,
    status: Annotated[str | None, typer.Option(help="pending, processing, completed, failed or cancelled.")] = None,
    node: Annotated[str | None, typer.Option(help="Only jobs with an attempt on this node.")] = None,
    workflow: Annotated[str | None, typer.Option(help="Name of the workflow.")] = None,
    since: Since = None,
    limit: LimitOption = 20,
    json: Json = False,
) -> None:
    """List all users' jobs, newest first."""
    after = parameters.parse_time(since) if since is not None else None
    with open_client(context) as client:
        whose = find_user_id(client, user) if user is not None else None
        matching = client.fleet.jobs(
            tenant=whose, status=status, node=node, workflow=workflow, created_after=after, page=min(limit, 100)
        )
        _print_table(list(islice(matching, limit)), show_fleet.jobs, json=json)


@app.command()
def job(context: typer.Context, job: JobId, *, json: Json = False) -> None:
    """Show any job with its attempts."""
    with open_client(context) as client:
        _show_job(client.fleet.job(job), json=json)


@app.command()
def cancel(context: typer.Context, job: JobId, *, json: Json = False) -> None:
    """Cancel any job."""
    with open_client(context) as client:
        _show_job(client.fleet.cancel(job), json=json)


@app.command()
def hold(context: typer.Context, job: JobId, *, json: Json = False) -> None:
    """Keep a pending job from starting."""
    with open_client(context) as client:
        _show_job(client.fleet.hold(job), json=json)


@app.command()
def release(context: typer.Context, job: JobId, *, json: Json = False) -> None:
    """Let a held job start."""
    with open_client(context) as client:
        _show_job(client.fleet.release(job), json=json)


@app.command()
def requeue(context: typer.Context, job: JobId, *, json: Json = False) -> None:
    """Return a running job to the queue, or run a failed one again as a new job."""
    with open_client(context) as client:
        _show_job(client.fleet.requeue(job), json=json)


@app.command()
def prioritise(
    context: typer.Context,
    job: JobId,
    priority: Annotated[int, typer.Argument(min=-100, max=100, help="Higher runs first.")],
    *,
    json: Json = False,
) -> None:
    """Change a job's priority among its owner's jobs."""
    with open_client(context) as client:
        _show_job(client.fleet.prioritise(job, priority), json=json)


@app.command()
def audit(
    context: typer.Context,
    *,
    who: Annotated[str | None, typer.Option(help="Only actions of this user: username or id.")] = None,
    whom: Annotated[str | None, typer.Option(help="Only actions on the account of this user: username or id.")] = None,
    action: Annotated[str | None, typer.Option(help="Only this action, such as node.drain.")] = None,
    since: Since = None,
    limit: LimitOption = 20,
    json: Json = False,
) -> None:
    """Show the audit log, newest first."""
    after = parameters.parse_time(since) if since is not None else None
    with open_client(context) as client:
        actor, subject = (find_user_id(client, name) if name is not None else None for name in (who, whom))
        matching = client.fleet.audit(actor=actor, subject=subject, action=action, after=after, page=min(limit, 100))
        _print_table(list(islice(matching, limit)), show_fleet.audit, json=json)


@app.command()
def dead_letters(
    context: typer.Context,
    *,
    service: Annotated[str | None, typer.Option(help="Only dead letters of this service.")] = None,
    node: Annotated[str | None, typer.Option(help="Only dead letters of this node.")] = None,
    limit: LimitOption = 20,
    json: Json = False,
) -> None:
    """List messages that could not be processed, newest first."""
    with open_client(context) as client:
        matching = client.fleet.dead_letters(service=service, node=node, page=min(limit, 100))
        _print_table(list(islice(matching, limit)), show_fleet.dead_letters, json=json)


@app.command()
def redrive(
    context: typer.Context,
    letters: Annotated[list[str], typer.Argument(metavar="DEAD_LETTER...", help="Ids, as dead-letters lists them.")],
) -> None:
    """Process messages again that could not be processed. Stops at the first that fails again."""
    with open_client(context) as client:
        for letter in letters:
            client.fleet.redrive(letter)
            typer.echo(f"Dead letter {letter} is processed.")


def _print_table(found: Iterable[Any], table: Any, *, json: bool) -> None:
    if not json:
        table(found)
        return
    for one in found:
        show.print_json(one)


def _show_node(node: Node, *, json: bool) -> None:
    _print_table([node], show_fleet.nodes, json=json)


def _show_job(job: FleetJob, *, json: bool) -> None:
    if json:
        show.print_json(job)
    else:
        show_fleet.job(job)
