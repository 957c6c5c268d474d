"""``python -m notifier``: serve, migrate."""

from chassis.cli import Service, commands
from notifier.app import create_app
from notifier.settings import Settings

SERVICE = Service(name="notifier", settings=Settings, create_app=create_app)
cli = commands(SERVICE)


def main(argv: list[str] | None = None) -> None:
    """Run the command line."""
    cli(args=argv, prog_name="notifier")


if __name__ == "__main__":
    main()
