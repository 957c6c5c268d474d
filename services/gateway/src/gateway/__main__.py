"""``python -m gateway``: serve, migrate and adopt-store."""

import asyncio

import typer

from authn.client_address import ClientAddressResolver, find_rate_limit_address, parse_networks
from chassis.cli import Service, commands, configure_logs, load_settings
from chassis.http.connection import Limits
from gateway.app import adopt_store, create_app
from gateway.settings import Settings


def build_connection_limits(settings: Settings) -> Limits:
    """Uploads by executors may be slow, and trusted proxies may open any number of connections."""
    trusted = ClientAddressResolver(parse_networks(settings.trusted_proxies or "")).is_trusted
    return Limits(patient=(b"/internal/",), trusted=trusted, whose=find_rate_limit_address)


SERVICE = Service(
    name="gateway",
    settings=Settings,
    create_app=create_app,
    limits=build_connection_limits,
    drain_delay_s=lambda settings: settings.drain_delay_s,
)
cli = commands(SERVICE)


@cli.command("adopt-store")
def adopt_store_command() -> None:
    """Pair the artifact store with the database after a deliberate restore or move. Safe to repeat."""
    settings = load_settings(Settings)
    configure_logs(SERVICE.name, settings)
    finding, store_id = asyncio.run(adopt_store(settings))
    if store_id is None:
        typer.echo("The artifact store and the database are already a pair. Nothing was changed.")
    else:
        typer.echo(f"Found: {finding}. The artifact store and the database are now a pair with the id {store_id}.")


def main(argv: list[str] | None = None) -> None:
    cli(args=argv, prog_name="gateway")


if __name__ == "__main__":
    main()
