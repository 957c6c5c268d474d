"""Job commands: submit, watch, result, cancel, job, jobs, models."""

import re
import sys
from collections.abc import Sequence
from itertools import islice
from pathlib import Path
from typing import Annotated, Any

import typer

from comfyfleet_client.call import omit_none
from comfyfleet_client.cli import parameters, show, watching
from comfyfleet_client.cli.account_commands import JsonOption
from comfyfleet_client.cli.connection import open_client
from comfyfleet_client.cli.failures import JOB_FAILED
from comfyfleet_client.results import Job, Output
from comfyfleet_client.sync_client import Client

JobsArgument = Annotated[list[str], typer.Argument(metavar="JOB...", help="The ids of jobs.")]
JobArgument = Annotated[str, typer.Argument(metavar="JOB", help="The id of a job.")]
_IMAGE_PANEL = "Image"
_UPLOAD_ID = re.compile(r"(?:output:)?[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_IDEMPOTENCY_KEY = re.compile(r"[!-~]{1,255}")


def _build_image_option(help_: str, *names: str) -> Any:
    return typer.Option(*names, help=help_, rich_help_panel=_IMAGE_PANEL)


def submit(
    context: typer.Context,
    *,
    prompt: Annotated[str | None, _build_image_option("What the image should show.", "--prompt", "-p")] = None,
    negative: Annotated[str | None, _build_image_option("What the image should not show.")] = None,
    width: Annotated[int | None, _build_image_option("In pixels.")] = None,
    height: Annotated[int | None, _build_image_option("In pixels.")] = None,
    steps: Annotated[int | None, _build_image_option("Sampling steps.")] = None,
    cfg_scale: Annotated[float | None, _build_image_option("How closely to follow the prompt.")] = None,
    sampler: Annotated[str | None, _build_image_option("Name of the sampler.")] = None,
    scheduler: Annotated[str | None, _build_image_option("Name of its scheduler.")] = None,
    seed: Annotated[int | None, _build_image_option("Seed; -1 for a random one.")] = None,
    num_images: Annotated[int | None, _build_image_option("Number of images.")] = None,
    model: Annotated[str | None, _build_image_option('A checkpoint that "comfyfleet models" lists.')] = None,
    image: Annotated[str | None, _build_image_option("Image to repaint: a file, or the id of an upload.")] = None,
    mask: Annotated[
        str | None, _build_image_option("Repaint only where this image is white: a file, or the id of an upload.")
    ] = None,
    denoise: Annotated[float | None, _build_image_option("How much of the image is changed, 0.01 to 1.")] = None,
    workflow: Annotated[
        str | None, typer.Option(metavar="FILE", help='A graph in ComfyUI\'s API format; "-" for stdin.')
    ] = None,
    random_seed: Annotated[
        bool, typer.Option("--random-seed", help="With --workflow: draw a random value for each seed.")
    ] = False,
    param: Annotated[
        list[str] | None, typer.Option(metavar="NAME=VALUE", help="Any other field of a submission.")
    ] = None,
    label: Annotated[
        list[str] | None, typer.Option(metavar="KEY=VALUE", help="Label of the job, to filter lists.")
    ] = None,
    priority: Annotated[int | None, typer.Option(help="Priority among your jobs; higher runs first.")] = None,
    idempotency_key: Annotated[
        str | None, typer.Option(help="Repeating the same key within 24 h returns the same job.")
    ] = None,
    wait: Annotated[bool, typer.Option("--wait", help="Wait until the job has ended.")] = False,
    watch: Annotated[bool, typer.Option("--watch", help="Show progress until the job has ended.")] = False,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", metavar="DIR", help="Wait, then save the outputs here.")
    ] = None,
    json: JsonOption = False,
) -> None:
    """Submit a job and print its id."""
    if (prompt is None) == (workflow is None):
        raise typer.BadParameter("Give exactly one of --prompt and --workflow.")
    if random_seed and workflow is None:
        raise typer.BadParameter(
            "--random-seed requires --workflow. With --prompt the seed is random unless you set it."
        )
    if idempotency_key is not None and not _IDEMPOTENCY_KEY.fullmatch(idempotency_key):
        raise typer.BadParameter("--idempotency-key must have 1 to 255 visible ASCII characters.")
    image_fields = omit_none(
        negative_prompt=negative, width=width, height=height, steps=steps, cfg_scale=cfg_scale, sampler=sampler,
        scheduler=scheduler, seed=seed, num_images=num_images, model=model, denoise=denoise, priority=priority,
    )  # fmt: skip
    labels = {"labels": parameters.parse_pairs(label, what="A label")} if label else {}
    fields = _check_fields({**labels, **image_fields, **parameters.parse_values(param or ())})
    if random_seed:
        fields["randomize_seeds"] = True
    graph = parameters.load_workflow(workflow) if workflow is not None else None
    with open_client(context) as client:
        source_images = {name: _upload_if_file(client, one) for name, one in omit_none(image=image, mask=mask).items()}
        job = client.jobs.submit(prompt, workflow=graph, idempotency_key=idempotency_key, **fields, **source_images)
        follow_job(client, job, wait=wait, watch=watch, output=output, json=json)


def follow_job(client: Client, job: Job, *, wait: bool, watch: bool, output: Path | None, json: bool) -> None:
    """Print a submitted job, wait for its end and save its outputs, as requested. Exits with a status if it failed."""
    if output is not None:
        output.mkdir(parents=True, exist_ok=True)
    if not json:
        typer.echo(job.job_id)
        for drawn in job.seeds:
            show.print_note(f"node {drawn.node_id}, {drawn.input}: {drawn.seed} (random)")
    if wait or watch or output is not None:
        job = _wait_until_ended(client, job, show_progress=watch)
    if output is not None and job.succeeded:
        _save_outputs(client, job, job.outputs, output, silent=json)
    if json:
        show.print_json(job)
    _exit_if_failed(job)


def _upload_if_file(client: Client, file_or_id: str) -> str:
    """Return an upload id or ``output:<id>`` unchanged; upload a file and return its id."""
    if _UPLOAD_ID.fullmatch(file_or_id):
        return file_or_id
    if not Path(file_or_id).is_file():
        raise typer.BadParameter(f"{file_or_id} is not a file, the id of an upload, or output:<id>.")
    return client.uploads.add(file_or_id).id


def watch(context: typer.Context, jobs: JobsArgument, *, json: JsonOption = False) -> None:
    """Show the progress of jobs until all have ended; with --json every event."""
    with open_client(context) as client:
        events = client.jobs.watch(jobs[0]) if len(jobs) == 1 else client.jobs.watch_many(jobs)
        if json:
            for event in events:
                show.print_json(event, type=event.type)
        else:
            watching.show_progress(events, named=len(jobs) > 1)
        ended = [client.jobs.get(job) for job in dict.fromkeys(jobs)]
    for job in ended:
        if not json:
            typer.echo(job.status if len(jobs) == 1 else f"{job.job_id} {job.status}")
        watching.print_problems(job)
    if not all(job.succeeded for job in ended):
        raise typer.Exit(JOB_FAILED)


def result(
    context: typer.Context,
    job: JobArgument,
    *,
    output: Annotated[
        Path | None,
        typer.Option(
            "--output", "-o", metavar="FILE", help='File to save to, or "-" for stdout; a directory saves all outputs.'
        ),
    ] = None,
    index: Annotated[int | None, typer.Option(min=0, help="Zero-based index among all outputs.")] = None,
    json: JsonOption = False,
) -> None:
    """Save the outputs of a completed job, or without --output print its texts."""
    with open_client(context) as client:
        if output is None:
            _print_texts(client, job, index, json=json)
        elif str(output) == "-":
            sys.stdout.buffer.write(client.jobs.download(job, index))
        elif output.is_dir() and index is None:
            _save_outputs(client, client.jobs.get(job), client.jobs.outputs(job), output, silent=json)
        else:
            saved = client.jobs.download(job, index, to=output)
            if json:
                show.print_json(saved)
            else:
                typer.echo(output)


def cancel(
    context: typer.Context,
    job: JobArgument,
    *,
    purge: Annotated[bool, typer.Option("--purge", help="Also delete the job with its inputs and outputs.")] = False,
    json: JsonOption = False,
) -> None:
    """Cancel a job and print its state."""
    with open_client(context) as client:
        cancelled = client.jobs.cancel(job)
        if purge:
            client.jobs.purge(job)
    if json:
        show.print_json(cancelled)
    else:
        typer.echo(cancelled.status)


def purge(context: typer.Context, job: JobArgument) -> None:
    """Delete an ended job with its inputs and outputs permanently."""
    with open_client(context) as client:
        client.jobs.purge(job)


def jobs(
    context: typer.Context,
    *,
    status: Annotated[str | None, typer.Option(help="pending, processing, completed, failed or cancelled.")] = None,
    label: Annotated[str | None, typer.Option(metavar="KEY:VALUE")] = None,
    workflow: Annotated[str | None, typer.Option(help="Name of the workflow.")] = None,
    since: Annotated[str | None, typer.Option(help="Only newer jobs: 30m, 24h, 7d, a date or a time.")] = None,
    limit: Annotated[int, typer.Option("--limit", "-n", min=1, help="Maximum number of results.")] = 20,
    json: JsonOption = False,
) -> None:
    """List your jobs, newest first."""
    after = parameters.parse_time(since) if since is not None else None
    with open_client(context) as client:
        matching = client.jobs.list(
            status=status, label=label, workflow=workflow, created_after=after, page_size=min(limit, 100)
        )
        found = list(islice(matching, limit))
    if json:
        for job in found:
            show.print_json(job)
    else:
        show.jobs(found)


def job(context: typer.Context, job: JobArgument, *, json: JsonOption = False) -> None:
    """Show one job, and why it waits."""
    with open_client(context) as client:
        found = client.jobs.get(job)
    if json:
        show.print_json(found)
    else:
        show.job(found)


def models(context: typer.Context, *, json: JsonOption = False) -> None:
    """List the models of the fleet."""
    with open_client(context) as client:
        found = client.models()
    if json:
        show.print_json(dict(found))
    else:
        show.models(found.items())


def _wait_until_ended(client: Client, job: Job, *, show_progress: bool) -> Job:
    if not show_progress:
        return client.jobs.wait(job)
    watching.show_progress(client.jobs.watch(job))
    return client.jobs.get(job)


def _exit_if_failed(job: Job) -> None:
    """Exit with a status that tells whether the job failed, and print why."""
    if not job.ended:
        return
    watching.print_problems(job)
    if not job.succeeded:
        raise typer.Exit(JOB_FAILED)


def _print_texts(client: Client, job: str, index: int | None, *, json: bool) -> None:
    """Print text outputs, other values and text files; list the other outputs."""
    others = list[str]()
    for position, output in enumerate(client.jobs.outputs(job)):
        if index not in {None, position}:
            continue
        if output.kind != "text":
            others.append(output.name)
        elif json:
            text = client.jobs.download(job, position).decode(errors="replace")
            show.print_json(output, index=position, text=text)
        else:
            show.print_text(client.jobs.download(job, position))
    if others:
        show.print_note(f"comfyfleet: not printed: {', '.join(others)}. Save them with --output.")


def _save_outputs(client: Client, job: Job, outputs: Sequence[Output], folder: Path, *, silent: bool) -> None:
    for index, output in enumerate(outputs):
        file = folder / _build_file_name(job, index, output)
        client.jobs.download(job, index, to=file)
        if not silent:
            typer.echo(file)


def _build_file_name(job: Job, index: int, output: Output) -> str:
    """Return a file name that is unique among all jobs and cannot leave the folder."""
    name = output.name.replace("\\", "/").rsplit("/", 1)[-1]
    safe = "".join(letter if letter.isalnum() or letter in "._-" else "_" for letter in name)
    return f"{job.job_id}_{index}_{safe[-100:]}"


def _check_fields(fields: dict[str, Any]) -> dict[str, Any]:
    for name in ("prompt", "workflow", "idempotency_key"):
        if name in fields:
            raise typer.BadParameter(f"Use --{name.replace('_', '-')}, not --param {name}=….")
    return fields
