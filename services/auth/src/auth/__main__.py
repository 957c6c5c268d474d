"""``python -m auth serve | migrate | bootstrap``."""

import asyncio
import json
from pathlib import Path
from typing import Annotated

import typer

from auth.app import bootstrap_user, create_app
from auth.settings import Settings
from chassis import logs
from chassis.cli import Service, commands
from contracts.auth import Role, Tier

SERVICE = Service(name="auth", settings=Settings, create_app=create_app)

cli = commands(SERVICE)


@cli.command()
def bootstrap(
    username: Annotated[str, typer.Option(help="made if there is no such user")],
    output: Annotated[Path, typer.Option(help="file for the answer, readable by its owner only; - to print it")],
    email: Annotated[str | None, typer.Option()] = None,
    role: Annotated[Role, typer.Option()] = Role.USER,
    tier: Annotated[Tier, typer.Option()] = Tier.FREE,
) -> None:
    """Make a user, if there is none of that name, and a fresh key for it: the way to the first admin."""
    settings = Settings()
    logs.configure("auth", settings.log_level)
    answer = asyncio.run(bootstrap_user(settings, username=username, email=email, role=role, tier=tier))
    if str(output) == "-":
        typer.echo(json.dumps(answer))
        return
    output.touch(mode=0o600)
    output.chmod(0o600)
    output.write_text(json.dumps(answer))


def main(argv: list[str] | None = None) -> None:
    """Run a command of this service."""
    cli(args=argv, prog_name="auth")


if __name__ == "__main__":
    main()
