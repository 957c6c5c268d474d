"""``python -m gateway``: serve and migrate."""

from authn.client_address import ClientAddressResolver, parse_networks, rate_limit_address
from chassis.cli import Service, commands
from chassis.http.connection import Limits
from gateway.app import create_app
from gateway.settings import Settings


def limits(settings: Settings) -> Limits:
    """Connection limits. Uploads by executors may be slow, and trusted proxies may open any number of connections."""
    trusted = ClientAddressResolver(parse_networks(settings.trusted_proxies or "")).is_trusted
    return Limits(patient=(b"/internal/",), trusted=trusted, whose=rate_limit_address)


SERVICE = Service(
    name="gateway",
    settings=Settings,
    create_app=create_app,
    limits=limits,
    drain_delay_s=lambda settings: settings.drain_delay_s,
)
cli = commands(SERVICE)


def main(argv: list[str] | None = None) -> None:
    cli(args=argv, prog_name="gateway")


if __name__ == "__main__":
    main()
