"""``python -m auth serve | migrate | bootstrap | rotate-keys | audit``."""

import asyncio
import json
import sys
from pathlib import Path
from typing import Annotated

import typer

from auth.app import bootstrap_user, create_app, export_audit, rotate_keys, verify_audit
from auth.settings import Settings
from chassis.cli import Service, commands
from chassis.telemetry import logs
from contracts.auth import Role, Tier
from contracts.graph_policy.policy import GraphPolicy
from contracts.wire.errors import Refusal

SERVICE = Service(name="auth", settings=Settings, create_app=create_app)

cli = commands(SERVICE)


@cli.command()
def bootstrap(
    *,
    username: Annotated[str, typer.Option(help="made if there is no such user")],
    output: Annotated[Path, typer.Option(help="file for the answer, readable by its owner only; - to print it")],
    email: Annotated[str | None, typer.Option()] = None,
    role: Annotated[Role, typer.Option()] = Role.USER,
    tier: Annotated[Tier, typer.Option()] = Tier.FREE,
    graph_policy: Annotated[
        GraphPolicy | None, typer.Option(help="which node classes the new user may run, instead of its tier's policy")
    ] = None,
    password_stdin: Annotated[bool, typer.Option(help="set a password: the first line of what is piped in")] = False,
) -> None:
    """Make a user, if there is none of that name, and a fresh key for it: the way to the first admin."""
    settings = Settings()
    logs.configure("auth", settings.log_level)
    password = sys.stdin.readline().rstrip("\r\n") if password_stdin else None
    making = bootstrap_user(
        settings, username=username, email=email, role=role, tier=tier, graph_policy=graph_policy, password=password
    )
    try:
        answer = asyncio.run(making)
    except Refusal as refusal:
        typer.echo(" ".join((str(refusal), *(error.message for error in refusal.refused.errors))), err=True)
        raise typer.Exit(1) from None
    if str(output) == "-":
        typer.echo(json.dumps(answer))
        return
    output.touch(mode=0o600)
    output.chmod(0o600)
    output.write_text(json.dumps(answer))


@cli.command("rotate-keys")
def rotate_keys_() -> None:
    """Make the next key that signs access tokens now; it signs in a minute, when every door knows it."""
    settings = Settings()
    logs.configure("auth", settings.log_level)
    kid = asyncio.run(rotate_keys(settings))
    typer.echo(f"{kid} signs in a minute." if kid else "The next key is waiting for its time already.")


audit = typer.Typer(help="The audit log: who did what, when, from where.", no_args_is_help=True)
cli.add_typer(audit, name="audit")


@audit.command("verify")
def verify() -> None:
    """Say whether the log is as it was written; the last hash, noted elsewhere, also proves that no end was cut off."""
    found = asyncio.run(verify_audit(Settings()))
    typer.echo(f"{found.whole} entries are whole, the last hash is {found.last_hash}.")
    if found.broken_id is not None:
        typer.echo(f"Entry {found.broken_id} was changed, or one before it was removed.", err=True)
        raise typer.Exit(1)


@audit.command("export")
def export() -> None:
    """Print every entry as a line of JSON, oldest first."""
    asyncio.run(export_audit(Settings(), lambda entry: typer.echo(json.dumps(entry))))


def main(argv: list[str] | None = None) -> None:
    """Run a command of this service."""
    cli(args=argv, prog_name="auth")


if __name__ == "__main__":
    main()
