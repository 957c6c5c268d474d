"""``python -m gateway``: serve, migrate."""

from chassis.cli import Service, commands
from gateway.app import create_app
from gateway.settings import Settings

SERVICE = Service(name="gateway", settings=Settings, create_app=create_app)
cli = commands(SERVICE)


def main(argv: list[str] | None = None) -> None:
    """Run the command line."""
    cli(args=argv, prog_name="gateway")


if __name__ == "__main__":
    main()
