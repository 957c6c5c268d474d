"""Upload commands: upload, list, delete."""

from itertools import islice
from pathlib import Path
from typing import Annotated

import typer

from comfyfleet_client.cli import show
from comfyfleet_client.cli.account_commands import JsonOption
from comfyfleet_client.cli.connection import open_client


def upload(
    context: typer.Context,
    files: Annotated[
        list[Path], typer.Argument(metavar="FILE...", help="Images, videos, audio, latents, 3D files.", exists=True)
    ],
    *,
    exact: Annotated[
        bool, typer.Option("--exact", help="Store a PNG byte for byte, with up to 16 bits per channel.")
    ] = False,
    json: JsonOption = False,
) -> None:
    """Upload files and print their ids, one per line."""
    with open_client(context) as client:
        for file in files:
            uploaded = client.uploads.add(file, exact=exact)
            if json:
                show.print_json(uploaded)
            else:
                typer.echo(uploaded.id)


def uploads(
    context: typer.Context,
    *,
    delete: Annotated[
        list[str] | None, typer.Option(metavar="UPLOAD_ID", help="Delete this upload instead of listing.")
    ] = None,
    limit: Annotated[int, typer.Option("--limit", "-n", min=1, help="Maximum number of results.")] = 20,
    json: JsonOption = False,
) -> None:
    """List uploads, newest first; or delete some."""
    with open_client(context) as client:
        for upload_id in delete or ():
            client.uploads.delete(upload_id)
            show.print_note(f"{upload_id} is deleted.")
        found = [] if delete else list(islice(client.uploads.list(page_size=min(limit, 100)), limit))
    if json:
        for upload in found:
            show.print_json(upload)
    elif not delete:
        show.uploads(found)
