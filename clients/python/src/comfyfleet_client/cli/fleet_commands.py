"""Admin commands about nodes, jobs, statistics, usage and the audit log; and the user's own usage."""

from collections.abc import Iterable
from itertools import islice
from typing import Annotated, Any

import typer

from comfyfleet_client.cli import parameters, show, show_fleet
from comfyfleet_client.cli.account_commands import JsonOption
from comfyfleet_client.cli.admin_commands import app, find_user_id
from comfyfleet_client.cli.connection import open_client
from comfyfleet_client.cli.job_commands import JobArgument
from comfyfleet_client.fleet_results import FleetJob, Node

NodeArgument = Annotated[str, typer.Argument(metavar="NODE", help="The name of a node.")]
DaysOption = Annotated[int | None, typer.Option(min=1, max=90, help="Number of UTC days, including today.")]
LimitOption = Annotated[int, typer.Option("--limit", "-n", min=1, help="Maximum number of results.")]
SinceOption = Annotated[str | None, typer.Option(help="Only newer ones: 30m, 24h, 7d, a date or a time.")]


def usage(context: typer.Context, *, days: DaysOption = None, json: JsonOption = False) -> None:
    """Show your usage by day."""
    with open_client(context) as client:
        _print_results(client.usage(days=days), show_fleet.usage, json=json)


@app.command("usage")
def user_usage(
    context: typer.Context,
    user: Annotated[str | None, typer.Argument(metavar="USER", help="Username or id; all users if left out.")] = None,
    *,
    days: DaysOption = None,
    json: JsonOption = False,
) -> None:
    """Show the usage of one user, or of all users, by day."""
    with open_client(context) as client:
        user_id = find_user_id(client, user) if user is not None else None
        _print_results(client.fleet.usage(user_id, days=days), show_fleet.usage, json=json)


@app.command()
def stats(context: typer.Context, *, json: JsonOption = False) -> None:
    """Show queues, nodes, throughput, waits, failures and storage."""
    with open_client(context) as client:
        found = client.fleet.stats()
    if json:
        show.print_json(found)
    else:
        show_fleet.stats(found)


@app.command()
def nodes(context: typer.Context, *, json: JsonOption = False) -> None:
    """List nodes."""
    with open_client(context) as client:
        _print_results(client.fleet.nodes(), show_fleet.nodes, json=json)


@app.command()
def cordon(context: typer.Context, node: NodeArgument, *, json: JsonOption = False) -> None:
    """Assign no new jobs to a node; its current job continues."""
    with open_client(context) as client:
        _show_node(client.fleet.cordon(node), json=json)


@app.command()
def uncordon(context: typer.Context, node: NodeArgument, *, json: JsonOption = False) -> None:
    """Assign jobs to a node again."""
    with open_client(context) as client:
        _show_node(client.fleet.uncordon(node), json=json)


@app.command()
def drain(
    context: typer.Context,
    node: NodeArgument,
    *,
    grace: Annotated[
        float, typer.Option(min=0, max=86400, help="Seconds that the node's current job may keep running.")
    ] = 0,
    json: JsonOption = False,
) -> None:
    """Assign no new jobs to a node, and move its current job elsewhere."""
    with open_client(context) as client:
        _show_node(client.fleet.drain(node, grace_seconds=grace), json=json)


@app.command("clear")
def clear_foreign_prompts(context: typer.Context, node: NodeArgument, *, json: JsonOption = False) -> None:
    """Remove prompts of other clients from a node."""
    with open_client(context) as client:
        _show_node(client.fleet.clear_foreign_prompts(node), json=json)


@app.command("refresh")
def refresh_catalogs(
    context: typer.Context,
    node: Annotated[str | None, typer.Argument(metavar="NODE", help="Name of a node; all nodes if left out.")] = None,
    *,
    json: JsonOption = False,
) -> None:
    """Read the classes and models of one node, or of all nodes, again."""
    with open_client(context) as client:
        found = client.fleet.refresh_all() if node is None else [client.fleet.refresh(node)]
    _print_results(found, show_fleet.nodes, json=json)


@app.command("forget")
def forget_node(context: typer.Context, node: NodeArgument) -> None:
    """Remove a node that was shut down."""
    with open_client(context) as client:
        client.fleet.forget(node)
    typer.echo(f"{node} is removed.")


@app.command()
def jobs(
    context: typer.Context,
    *,
    user: Annotated[str | None, typer.Option(help="Username or id.")] = None,
    status: Annotated[str | None, typer.Option(help="pending, processing, completed, failed or cancelled.")] = None,
    node: Annotated[str | None, typer.Option(help="Only jobs with an attempt on this node.")] = None,
    workflow: Annotated[str | None, typer.Option(help="Name of the workflow.")] = None,
    since: SinceOption = None,
    limit: LimitOption = 20,
    json: JsonOption = False,
) -> None:
    """List all users' jobs, newest first."""
    after = parameters.parse_time(since) if since is not None else None
    with open_client(context) as client:
        user_id = find_user_id(client, user) if user is not None else None
        matching = client.fleet.jobs(
            tenant=user_id, status=status, node=node, workflow=workflow, created_after=after, page_size=min(limit, 100)
        )
        _print_results(list(islice(matching, limit)), show_fleet.jobs, json=json)


@app.command()
def job(context: typer.Context, job: JobArgument, *, json: JsonOption = False) -> None:
    """Show any job with its attempts."""
    with open_client(context) as client:
        _show_job(client.fleet.job(job), json=json)


@app.command()
def cancel(context: typer.Context, job: JobArgument, *, json: JsonOption = False) -> None:
    """Cancel any job."""
    with open_client(context) as client:
        _show_job(client.fleet.cancel(job), json=json)


@app.command()
def hold(context: typer.Context, job: JobArgument, *, json: JsonOption = False) -> None:
    """Keep a pending job from starting."""
    with open_client(context) as client:
        _show_job(client.fleet.hold(job), json=json)


@app.command()
def release(context: typer.Context, job: JobArgument, *, json: JsonOption = False) -> None:
    """Let a held job start."""
    with open_client(context) as client:
        _show_job(client.fleet.release(job), json=json)


@app.command()
def requeue(context: typer.Context, job: JobArgument, *, json: JsonOption = False) -> None:
    """Return a running job to the queue, or run a failed one again as a new job."""
    with open_client(context) as client:
        _show_job(client.fleet.requeue(job), json=json)


@app.command()
def prioritise(
    context: typer.Context,
    job: JobArgument,
    priority: Annotated[int, typer.Argument(min=-100, max=100, help="Higher runs first.")],
    *,
    json: JsonOption = False,
) -> None:
    """Change a job's priority among its owner's jobs."""
    with open_client(context) as client:
        _show_job(client.fleet.prioritise(job, priority), json=json)


@app.command()
def audit(
    context: typer.Context,
    *,
    who: Annotated[str | None, typer.Option(help="Username or id of the user who acted.")] = None,
    whom: Annotated[str | None, typer.Option(help="Username or id of the affected user.")] = None,
    action: Annotated[str | None, typer.Option(help="Action, such as node.drain.")] = None,
    since: SinceOption = None,
    limit: LimitOption = 20,
    json: JsonOption = False,
) -> None:
    """Show the audit log, newest first."""
    after = parameters.parse_time(since) if since is not None else None
    with open_client(context) as client:
        actor, subject = (find_user_id(client, name) if name is not None else None for name in (who, whom))
        matching = client.fleet.audit(
            actor=actor, subject=subject, action=action, after=after, page_size=min(limit, 100)
        )
        _print_results(list(islice(matching, limit)), show_fleet.audit, json=json)


@app.command()
def dead_letters(
    context: typer.Context,
    *,
    service: Annotated[str | None, typer.Option(help="Only messages of this service.")] = None,
    node: Annotated[str | None, typer.Option(help="Only messages of this node.")] = None,
    limit: LimitOption = 20,
    json: JsonOption = False,
) -> None:
    """List messages that could not be processed, newest first."""
    with open_client(context) as client:
        matching = client.fleet.dead_letters(service=service, node=node, page_size=min(limit, 100))
        _print_results(list(islice(matching, limit)), show_fleet.dead_letters, json=json)


@app.command()
def redrive(
    context: typer.Context,
    letters: Annotated[list[str], typer.Argument(metavar="DEAD_LETTER...", help="Ids, as dead-letters lists them.")],
) -> None:
    """Process dead letters again. Stops at the first that fails again."""
    with open_client(context) as client:
        for letter in letters:
            client.fleet.redrive(letter)
            typer.echo(f"Dead letter {letter} was processed.")


def _print_results(results: Iterable[Any], print_table: Any, *, json: bool) -> None:
    if not json:
        print_table(results)
        return
    for result in results:
        show.print_json(result)


def _show_node(node: Node, *, json: bool) -> None:
    _print_results([node], show_fleet.nodes, json=json)


def _show_job(job: FleetJob, *, json: bool) -> None:
    if json:
        show.print_json(job)
    else:
        show_fleet.job(job)
