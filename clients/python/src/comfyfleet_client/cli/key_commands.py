"""API keys: create, list, revoke."""

from datetime import UTC, datetime, timedelta
from typing import Annotated

import typer

from comfyfleet_client.cli import show
from comfyfleet_client.cli.account_commands import JsonOption
from comfyfleet_client.cli.connection import open_client

app = typer.Typer(no_args_is_help=True, help="API keys for programs.")


@app.command("create")
def create_key(
    context: typer.Context,
    name: str,
    *,
    scope: Annotated[
        list[str] | None, typer.Option(help="jobs:read, jobs:write, keys, admin; the first two by default.")
    ] = None,
    days: Annotated[int | None, typer.Option(min=1, max=365, help="Days until the key expires.")] = None,
    json: JsonOption = False,
) -> None:
    """Create a key and print it. It is shown only once."""
    expires_at = datetime.now(UTC) + timedelta(days=days) if days else None
    with open_client(context) as client:
        key = client.keys.create(name, scopes=scope, expires_at=expires_at)
    if json:
        show.print_json(key)
    else:
        show.print_note(f"Key {key.id} ({' '.join(key.scopes)}). It is not shown again:")
        typer.echo(key.key)


@app.command("list")
def list_keys(context: typer.Context, *, json: JsonOption = False) -> None:
    """List the working keys, newest first."""
    with open_client(context) as client:
        found = client.keys.list()
    if json:
        for key in found:
            show.print_json(key)
    else:
        show.keys(found)


@app.command("revoke")
def revoke_key(context: typer.Context, key: Annotated[str, typer.Argument(metavar="KEY_ID")]) -> None:
    """Revoke a key. It is refused everywhere within a second."""
    with open_client(context) as client:
        client.keys.revoke(key)
    typer.echo(f"{key} is revoked.")
