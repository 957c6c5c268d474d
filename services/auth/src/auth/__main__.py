"""``python -m auth serve | migrate | bootstrap | login-link | rotate-keys | secret-usage | audit``."""

import asyncio
import json
import sys
from pathlib import Path
from typing import Annotated

import typer

from auth.app import create_app
from auth.commands import (
    archive_audit,
    bootstrap_user,
    count_keys_by_secret_key,
    create_login_link,
    export_audit,
    rotate_keys,
    verify_audit,
    verify_audit_files,
)
from auth.settings import Settings
from auth.usecases.archive_audit import ArchiveDamaged
from chassis.cli import Service, configure_logs, create_cli, load_settings
from contracts.auth.accounts import Role
from contracts.auth.tiers import Tier
from contracts.graph_policy.policy import GraphPolicy
from contracts.wire.errors import Refusal

SERVICE = Service(name="auth", settings=Settings, create_app=create_app)

cli = create_cli(SERVICE)


@cli.command()
def bootstrap(
    *,
    username: Annotated[str, typer.Option(help="created if missing")],
    output: Annotated[Path, typer.Option(help="file for the key, readable only by its owner; - prints it")],
    email: Annotated[str | None, typer.Option()] = None,
    role: Annotated[Role, typer.Option()] = Role.USER,
    tier: Annotated[Tier, typer.Option()] = Tier.FREE,
    graph_policy: Annotated[
        GraphPolicy | None, typer.Option(help="which node classes the new user may run, instead of its tier's policy")
    ] = None,
    password_stdin: Annotated[bool, typer.Option(help="read a password from the first line of standard input")] = False,
) -> None:
    """Create a user unless one of that name exists, and create an API key for it.

    Create the first admin with it.
    """
    settings = load_settings(Settings)
    configure_logs("auth", settings)
    password = sys.stdin.readline().rstrip("\r\n") if password_stdin else None
    try:
        result = asyncio.run(
            bootstrap_user(
                settings,
                username=username,
                email=email,
                role=role,
                tier=tier,
                graph_policy=graph_policy,
                password=password,
            )
        )
    except Refusal as refusal:
        typer.echo(" ".join((str(refusal), *(error.message for error in refusal.details.errors))), err=True)
        raise typer.Exit(1) from None
    _write_secret(output, json.dumps(result))


@cli.command("login-link")
def print_login_link(
    *,
    username: Annotated[str, typer.Option(help="the user whom the link logs in")],
    url: Annotated[str, typer.Option(help="public address of the gateway")] = "",
    output: Annotated[Path, typer.Option(help="file for the link; - prints it")] = Path("-"),
) -> None:
    """Create a link that logs a user in once, within ten minutes, without a password.

    Without --url, print only its token.
    """
    settings = load_settings(Settings)
    configure_logs("auth", settings)
    try:
        token = asyncio.run(create_login_link(settings, username))
    except Refusal as refusal:
        typer.echo(str(refusal), err=True)
        raise typer.Exit(1) from None
    _write_secret(output, f"{url.rstrip('/')}/#sign-in={token}" if url else token)


def _write_secret(output: Path, text: str) -> None:
    """Print the text, or write it to a file that only its owner may read."""
    if str(output) == "-":
        typer.echo(text)
        return
    output.touch(mode=0o600)
    output.chmod(0o600)
    output.write_text(text)


@cli.command("rotate-keys")
def rotate_keys_command() -> None:
    """Create the next key that signs access tokens. It is used once every service knows it, within a minute."""
    settings = load_settings(Settings)
    configure_logs("auth", settings)
    kid = asyncio.run(rotate_keys(settings))
    typer.echo(
        f"Key {kid} signs access tokens within a minute."
        if kid
        else "The next key exists already and will sign within a minute."
    )


@cli.command("secret-usage")
def print_secret_usage() -> None:
    """Count the API keys whose hashes still depend on an earlier SECRET_KEY.

    A key is hashed again under the current SECRET_KEY when it is used. Remove the earlier SECRET_KEY once no key that
    matters depends on it.
    """
    current, earlier, last_used = asyncio.run(count_keys_by_secret_key(load_settings(Settings)))
    typer.echo(f"{current} API keys depend on the current SECRET_KEY, {earlier} on an earlier one.")
    if last_used is not None:
        typer.echo(f"A key that depends on an earlier one was last used at {last_used.isoformat(timespec='seconds')}.")


audit = typer.Typer(help="The audit log: who did what, when, from where.", no_args_is_help=True)
cli.add_typer(audit, name="audit")


@audit.command("verify")
def verify_audit_log() -> None:
    """Verify the hash chain of the audit log, and the archives in AUTH_AUDIT_ARCHIVE.

    Keep a copy of the last hash elsewhere: it reveals later whether the newest entries were deleted.
    """
    settings = load_settings(Settings)
    chain = asyncio.run(verify_audit(settings))
    typer.echo(f"{chain.valid_count} entries are valid, the last hash is {chain.last_hash}.")
    if chain.broken_id is not None:
        typer.echo(f"Entry {chain.broken_id} was changed, or one before it was removed.", err=True)
    try:
        archived = asyncio.run(verify_audit_files(settings))
    except ArchiveDamaged as damage:
        typer.echo(f"{damage}.", err=True)
        raise typer.Exit(1) from None
    if archived is not None:
        typer.echo(f"{archived} entries in archives are valid.")
    elif chain.archived_id:
        typer.echo(f"Not verified: the archives up to entry {chain.archived_id}. Set AUTH_AUDIT_ARCHIVE.")
    if chain.broken_id is not None:
        raise typer.Exit(1)


@audit.command("archive")
def archive_audit_log() -> None:
    """Move entries older than AUTH_AUDIT_DAYS to a file in AUTH_AUDIT_ARCHIVE now, as the service does every hour."""
    settings = load_settings(Settings)
    configure_logs("auth", settings)
    try:
        count = asyncio.run(archive_audit(settings))
    except ArchiveDamaged as damage:
        typer.echo(f"Nothing was removed: {damage}.", err=True)
        raise typer.Exit(1) from None
    if count is None:
        typer.echo("AUTH_AUDIT_DAYS is not set, so audit log entries are never archived.", err=True)
        raise typer.Exit(2)
    typer.echo(f"{count} entries were moved.")


@audit.command("export")
def export_audit_log() -> None:
    """Print every entry of the database as a line of JSON, oldest first. Archived entries are not printed."""
    asyncio.run(export_audit(load_settings(Settings), lambda entry: typer.echo(json.dumps(entry))))


def main(argv: list[str] | None = None) -> None:
    cli(args=argv, prog_name="auth")


if __name__ == "__main__":
    main()
