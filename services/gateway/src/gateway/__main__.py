"""``python -m gateway``: serve, migrate."""

from authn.client_address import ClientAddressResolver, parse_networks, rate_limit_address
from chassis.cli import Service, commands
from chassis.http.connection import Limits
from gateway.app import create_app
from gateway.settings import Settings


def limits(settings: Settings) -> Limits:
    """Of connections: uploads of executors keep their own pace, and our proxies may have any number."""
    trusted = ClientAddressResolver(parse_networks(settings.trusted_proxies or "")).trusts
    return Limits(patient=(b"/internal/",), trusted=trusted, whose=rate_limit_address)


SERVICE = Service(name="gateway", settings=Settings, create_app=create_app, limits=limits)
cli = commands(SERVICE)


def main(argv: list[str] | None = None) -> None:
    """Run the command line."""
    cli(args=argv, prog_name="gateway")


if __name__ == "__main__":
    main()
