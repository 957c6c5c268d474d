"""Workflow commands: list, show, save, run, delete, validate."""

from itertools import islice
from pathlib import Path
from typing import Annotated

import typer

from comfyfleet_client.call import omit_none
from comfyfleet_client.cli import job_commands, parameters, show
from comfyfleet_client.cli.account_commands import JsonOption
from comfyfleet_client.cli.connection import open_client
from comfyfleet_client.cli.failures import REFUSED

app = typer.Typer(no_args_is_help=True, help="Manage saved workflows and validate workflows.")

NameArgument = Annotated[str, typer.Argument(metavar="NAME", help="Name of the saved workflow.")]
FileArgument = Annotated[str, typer.Argument(metavar="FILE", help='A graph in ComfyUI\'s API format; "-" for stdin.')]
VersionOption = Annotated[int | None, typer.Option(min=1, help="Version; the newest by default.")]
RandomSeedOption = Annotated[bool, typer.Option("--random-seed", help="Draw a random value for each seed.")]


@app.command("list")
def list_workflows(
    context: typer.Context,
    *,
    limit: Annotated[int, typer.Option("--limit", "-n", min=1, help="Maximum number of results.")] = 20,
    json: JsonOption = False,
) -> None:
    """List saved workflows, most recently changed first."""
    with open_client(context) as client:
        found = list(islice(client.workflows.list(page_size=min(limit, 100)), limit))
    if json:
        for workflow in found:
            show.print_json(workflow)
    else:
        show.workflows(found)


@app.command("show")
def show_workflow(context: typer.Context, name: NameArgument, *, version: VersionOption = None) -> None:
    """Print a saved workflow with its parameters, as JSON."""
    with open_client(context) as client:
        show.print_json(client.workflows.get(name, version=version))


@app.command("save")
def save_workflow(
    context: typer.Context,
    name: NameArgument,
    file: FileArgument,
    *,
    description: Annotated[str | None, typer.Option(help="Description for people.")] = None,
    parameter: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME=NODE.INPUT",
            help="An input that a run can set; by default taken from node titles such as $NAME.",
        ),
    ] = None,
    json: JsonOption = False,
) -> None:
    """Save a graph under a name. Changed content creates a new version."""
    declared = {
        parameter_name: _parse_node_input(target)
        for parameter_name, target in parameters.parse_pairs(parameter or (), what="A parameter").items()
    }
    graph = parameters.load_workflow(file)
    with open_client(context) as client:
        saved = client.workflows.save(name, graph, parameters=declared or None, description=description)
    if json:
        show.print_json(saved)
    else:
        typer.echo(f"{saved.name} version {saved.version}")


@app.command("run")
def run_workflow(
    context: typer.Context,
    name: NameArgument,
    *,
    version: VersionOption = None,
    param: Annotated[
        list[str] | None, typer.Option(metavar="NAME=VALUE", help="A parameter of the saved workflow.")
    ] = None,
    random_seed: RandomSeedOption = False,
    label: Annotated[
        list[str] | None, typer.Option(metavar="KEY=VALUE", help="Label of the job, to filter lists.")
    ] = None,
    priority: Annotated[int | None, typer.Option(help="Priority among your jobs; higher runs first.")] = None,
    wait: Annotated[bool, typer.Option("--wait", help="Wait until the job has ended.")] = False,
    watch: Annotated[bool, typer.Option("--watch", help="Show progress until the job has ended.")] = False,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", metavar="DIR", help="Wait, then save the outputs here.")
    ] = None,
    json: JsonOption = False,
) -> None:
    """Submit a job of a saved workflow and print its id."""
    fields = omit_none(
        version=version,
        parameters=parameters.parse_values(param) if param else None,
        randomize_seeds=random_seed or None,
        labels=parameters.parse_pairs(label, what="A label") if label else None,
        priority=priority,
    )
    with open_client(context) as client:
        job = client.jobs.submit(workflow_name=name, **fields)
        job_commands.follow_job(client, job, wait=wait, watch=watch, output=output, json=json)


@app.command("delete")
def delete_workflow(context: typer.Context, name: NameArgument) -> None:
    """Delete a saved workflow with all its versions. Its jobs stay."""
    with open_client(context) as client:
        client.workflows.delete(name)
    typer.echo(f"{name} is deleted.")


@app.command("validate")
def validate_workflow(
    context: typer.Context,
    file: FileArgument,
    *,
    random_seed: RandomSeedOption = False,
    json: JsonOption = False,
) -> None:
    """Validate a graph without running it. Exits with 3 if a submission would be refused."""
    graph = parameters.load_workflow(file)
    with open_client(context) as client:
        found = client.workflows.validate(workflow=graph, **omit_none(randomize_seeds=random_seed or None))
    if json:
        show.print_json(found)
    else:
        for warning in found.warnings:
            show.print_note(f"warning: {warning}")
        for error in found.errors:
            show.print_note(f"error: {error}")
        typer.echo(f"valid, {found.images} images" if found.valid else "not valid")
    if not found.valid:
        raise typer.Exit(REFUSED)


def _parse_node_input(target: str) -> dict[str, str]:
    """Parse NODE.INPUT: a node id has no dot, an input name may have some."""
    node, dot, name = target.partition(".")
    if not node or not dot or not name:
        raise typer.BadParameter(f"A parameter is NAME=NODE.INPUT, such as seed=3.seed; {target!r} is not NODE.INPUT.")
    return {"node": node, "input": name}
