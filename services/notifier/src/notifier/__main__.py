"""``python -m notifier``: serve, migrate."""

from authn.client_address import Clients, counted, networks
from chassis.cli import Service, commands
from chassis.http.connection import Limits
from notifier.app import create_app
from notifier.settings import Settings


def limits(settings: Settings) -> Limits:
    """Of connections: our proxies may have any number."""
    return Limits(trusted=Clients(networks(settings.trusted_proxies or "")).trusts, whose=counted)


SERVICE = Service(name="notifier", settings=Settings, create_app=create_app, limits=limits)
cli = commands(SERVICE)


def main(argv: list[str] | None = None) -> None:
    """Run the command line."""
    cli(args=argv, prog_name="notifier")


if __name__ == "__main__":
    main()
