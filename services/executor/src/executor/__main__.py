"""``python -m executor serve``."""

from chassis.cli import Service, create_cli
from executor.app import create_app
from executor.settings import Settings

SERVICE = Service(name="executor", settings=Settings, create_app=create_app)

cli = create_cli(SERVICE)


def main(argv: list[str] | None = None) -> None:
    cli(args=argv, prog_name="executor")


if __name__ == "__main__":
    main()
