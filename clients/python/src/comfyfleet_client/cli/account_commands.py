"""Account commands: register, login, logout, whoami."""

import sys
from pathlib import Path
from typing import Annotated

import typer

from comfyfleet_client.cli import login_file, show
from comfyfleet_client.cli.connection import NotLoggedIn, find_url, open_client, open_session_client, store_login
from comfyfleet_client.errors import Unauthenticated
from comfyfleet_client.sync_client import Client

JsonOption = Annotated[bool, typer.Option("--json", help="Print one JSON object per line, for programs.")]
UrlOption = Annotated[str | None, typer.Option("--url", help="URL of the service.")]
PasswordStdinOption = Annotated[bool, typer.Option("--password-stdin", help="Read the password from stdin.")]


def register(
    context: typer.Context,
    username: str,
    email: str,
    *,
    invite: Annotated[str | None, typer.Option(help="Token of an invite, if the service requires one.")] = None,
    password_stdin: PasswordStdinOption = False,
    url: UrlOption = None,
    json: JsonOption = False,
) -> None:
    """Register an account."""
    service = find_url(context, url)
    password = _ask_password(from_stdin=password_stdin, twice=True)
    with Client(service) as client:
        user = client.register(username, email, password, invite=invite)
    if json:
        show.print_json(user)
    else:
        typer.echo(f"{user.username} is registered in tier {user.tier}. Next: comfyfleet login {user.username}")


def login(
    context: typer.Context,
    username: Annotated[str | None, typer.Argument(help="Username or email address; prompted for if left out.")] = None,
    *,
    password_stdin: PasswordStdinOption = False,
    url: UrlOption = None,
) -> None:
    """Log in. The session is stored for the next commands; the password is not."""
    service = find_url(context, url)
    name = username or typer.prompt("Username", err=True)
    password = _ask_password(from_stdin=password_stdin)
    with Client(service) as client:
        store_login(service, name, client.login(name, password))
    typer.echo(f"{name} is logged in at {service}.")


def logout(
    *, everywhere: Annotated[bool, typer.Option("--all", help="End every session of the user.")] = False
) -> None:
    """End the session."""
    stored = login_file.load_login()
    if stored is None:
        typer.echo("No user was logged in.")
        return
    try:
        with open_session_client(stored) as client:
            client.logout(everywhere=everywhere)
    except Unauthenticated:
        pass  # the session had already ended
    finally:
        with login_file.lock_login():
            login_file.delete_login()
    typer.echo(f"{stored.username} is logged out of {stored.url}.")


def whoami(context: typer.Context, *, json: JsonOption = False) -> None:
    """Show the user, its limits and its usage."""
    with open_client(context) as client:
        who = client.me()
    if json:
        show.print_json(who)
    else:
        show.me(who)


account = typer.Typer(help="Export or erase the account.", no_args_is_help=True)


@account.command("export")
def export_account(
    context: typer.Context,
    *,
    output: Annotated[Path, typer.Option("--output", "-o", metavar="FILE", help="A ZIP file.")],
    files: Annotated[bool, typer.Option("--files/--no-files", help="Include the files of uploads and outputs.")] = True,
) -> None:
    """Download all data of the account: JSON lines per kind of record, then uploads and outputs."""
    stored = login_file.load_login()
    if stored is None or stored.url != find_url(context):
        raise NotLoggedIn(find_url(context))
    with open_session_client(stored) as client:
        client.export(output, files=files)
    typer.echo(output)


@account.command("erase")
def erase_account(
    context: typer.Context,
    *,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask for confirmation.")] = False,
    password_stdin: PasswordStdinOption = False,
) -> None:
    """Erase the account permanently: jobs, results, uploads, saved workflows and keys."""
    stored = login_file.load_login()
    if stored is None or stored.url != find_url(context):
        raise NotLoggedIn(find_url(context))
    if not yes:
        typer.confirm(f"Erase {stored.username} and all data of the account at {stored.url}?", abort=True, err=True)
    password = _ask_password(from_stdin=password_stdin)
    with open_session_client(stored) as client:
        client.erase(password)
    with login_file.lock_login():
        login_file.delete_login()
    typer.echo(f"{stored.username} is erased.")


def _ask_password(*, from_stdin: bool, twice: bool = False) -> str:
    if from_stdin:
        return sys.stdin.readline().rstrip("\r\n")
    return str(typer.prompt("Password", hide_input=True, confirmation_prompt=twice, err=True))
