"""Admin commands about users and tiers."""

from itertools import islice
from typing import Annotated
from uuid import UUID

import typer

from comfyfleet_client.cli import parameters, show
from comfyfleet_client.cli.account_commands import Json
from comfyfleet_client.cli.connection import open_client
from comfyfleet_client.errors import NotFound
from comfyfleet_client.results import Account
from comfyfleet_client.sync_client import Client

app = typer.Typer(
    no_args_is_help=True, help="For admins: users, tiers, nodes, jobs of all users, statistics and the audit log."
)

UserArgument = Annotated[str, typer.Argument(metavar="USER", help="Username or id.")]


@app.command()
def users(
    context: typer.Context,
    *,
    search: Annotated[str | None, typer.Option(help="Part of a username or email address.")] = None,
    tier: Annotated[str | None, typer.Option()] = None,
    role: Annotated[str | None, typer.Option(help="user or admin.")] = None,
    active: Annotated[bool | None, typer.Option("--active/--inactive")] = None,
    limit: Annotated[int, typer.Option("--limit", "-n", min=1, help="Maximum number of entries.")] = 20,
    json: Json = False,
) -> None:
    """List users, newest first."""
    with open_client(context) as client:
        matching = client.admin.users(search=search, tier=tier, role=role, is_active=active, page=min(limit, 100))
        found = list(islice(matching, limit))
    if json:
        for user in found:
            show.print_json(user)
    else:
        show.users(found)


@app.command()
def set_tier(context: typer.Context, user: UserArgument, tier: str) -> None:
    """Move a user to another tier."""
    with open_client(context) as client:
        changed = client.admin.change_user(find_user_id(client, user), tier=tier)
    typer.echo(f"{changed.username} is of tier {changed.tier}.")


@app.command()
def activate(context: typer.Context, user: UserArgument) -> None:
    """Reactivate a user."""
    _set_active(context, user, active=True)


@app.command()
def deactivate(context: typer.Context, user: UserArgument) -> None:
    """Deactivate a user: all credentials stop working."""
    _set_active(context, user, active=False)


@app.command()
def tiers(context: typer.Context, *, json: Json = False) -> None:
    """List tiers and their limits."""
    with open_client(context) as client:
        found = client.admin.tiers()
    if json:
        for tier in found:
            show.print_json(tier)
    else:
        show.tiers(found)


@app.command()
def set_limits(
    context: typer.Context,
    tier: str,
    limit: Annotated[list[str], typer.Argument(metavar="NAME=VALUE…", help="queue_cap=50; null for no limit.")],
) -> None:
    """Change limits of a tier."""
    with open_client(context) as client:
        show.tiers([client.admin.change_tier(tier, **parameters.parse_values(limit))])


def _set_active(context: typer.Context, user: str, *, active: bool) -> None:
    with open_client(context) as client:
        changed = client.admin.change_user(find_user_id(client, user), is_active=active)
    typer.echo(f"{changed.username} is {'active' if changed.is_active else 'deactivated'}.")


def find_user_id(client: Client, user: str) -> str:
    """Return the id of the user with this name or id."""
    try:
        return str(UUID(user))
    except ValueError:
        return _find_user(client, user).id


def _find_user(client: Client, name: str) -> Account:
    for account in client.admin.users(search=name):
        if account.username.casefold() == name.casefold():
            return account
    raise NotFound(404, f"There is no user {name}.")
