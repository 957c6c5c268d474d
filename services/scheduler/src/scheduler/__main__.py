"""``python -m scheduler serve | migrate``."""

from chassis.cli import Service, create_cli
from scheduler.app import create_app
from scheduler.settings import Settings

SERVICE = Service(name="scheduler", settings=Settings, create_app=create_app)

cli = create_cli(SERVICE)


def main(argv: list[str] | None = None) -> None:
    """Run the command line. ``argv`` defaults to the arguments of the process."""
    cli(args=argv, prog_name="scheduler")


if __name__ == "__main__":
    main()
