"""``python -m notifier``: serve, migrate."""

from authn.client_address import ClientAddressResolver, find_rate_limit_address, parse_networks
from chassis.cli import Service, commands
from chassis.http.connection import Limits
from notifier.app import create_app
from notifier.settings import Settings


def build_connection_limits(settings: Settings) -> Limits:
    """Trusted proxies may open any number of connections."""
    return Limits(
        trusted=ClientAddressResolver(parse_networks(settings.trusted_proxies or "")).is_trusted,
        whose=find_rate_limit_address,
    )


SERVICE = Service(
    name="notifier",
    settings=Settings,
    create_app=create_app,
    limits=build_connection_limits,
    drain_delay_s=lambda settings: settings.drain_delay_s,
)
cli = commands(SERVICE)


def main(argv: list[str] | None = None) -> None:
    cli(args=argv, prog_name="notifier")


if __name__ == "__main__":
    main()
