"""Upload commands: upload, list, delete."""

from itertools import islice
from pathlib import Path
from typing import Annotated

import typer

from comfyfleet_client.cli import show
from comfyfleet_client.cli.account_commands import Json
from comfyfleet_client.cli.connection import open_client


def upload(
    context: typer.Context,
    files: Annotated[
        list[Path], typer.Argument(metavar="FILE...", help="Images, videos, audio, latents, 3D files.", exists=True)
    ],
    *,
    exact: Annotated[bool, typer.Option("--exact", help="Keep a PNG unchanged, with 16 bits per colour.")] = False,
    json: Json = False,
) -> None:
    """Upload files and print their ids, one per line."""
    with open_client(context) as client:
        for file in files:
            made = client.uploads.add(file, exact=exact)
            if json:
                show.print_json(made)
            else:
                typer.echo(made.id)


def uploads(
    context: typer.Context,
    *,
    delete: Annotated[
        list[str] | None, typer.Option(metavar="UPLOAD_ID", help="Delete this upload instead of listing.")
    ] = None,
    limit: Annotated[int, typer.Option("--limit", "-n", min=1, help="Maximum number of entries.")] = 20,
    json: Json = False,
) -> None:
    """List uploads, newest first; or delete some."""
    with open_client(context) as client:
        for one in delete or ():
            client.uploads.delete(one)
            show.print_note(f"{one} is deleted.")
        found = [] if delete else list(islice(client.uploads.list(page=min(limit, 100)), limit))
    if json:
        for each in found:
            show.print_json(each)
    elif not delete:
        show.uploads(found)
