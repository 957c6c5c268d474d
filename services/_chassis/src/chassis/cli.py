"""The command line that every service has: ``serve`` and, with a database, ``migrate``."""

import gc
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import typer
import uvicorn
from fastapi import FastAPI

from chassis.database import migrate
from chassis.http.connection import Limits, guarded
from chassis.http.writing import BoundedWebSockets
from chassis.settings import DatabaseSettings, ServiceSettings
from chassis.telemetry import logs

GARBAGE = 20_000  # objects made and not yet freed before Python looks for cycles; its own 700 is for scripts
GRACE_S = 10  # a request that is being answered may take this long after the service was told to stop


@dataclass(frozen=True, slots=True)
class Service:
    """What the command line needs to know of a service. ``limits``: of its connections, by its settings."""

    name: str
    settings: type[ServiceSettings]
    create_app: Callable[[Any], FastAPI]
    limits: Callable[[Any], Limits] = lambda _settings: Limits()


def served(limits: Limits) -> dict[str, Any]:
    """How every service is served: what uvicorn is told besides application, address and patience."""
    return {
        "http": guarded(limits),
        "proxy_headers": False,  # on, it believes whoever connects from 127.0.0.1
        "log_config": None,
        "access_log": False,
        "server_header": False,
        "ws": BoundedWebSockets,
        "ws_max_size": 4 * 1024,  # who watches has little to say
        "ws_per_message_deflate": False,  # a few bytes can cost megabytes to inflate
    }


def commands(service: Service) -> typer.Typer:
    """The commands of a service; it may add its own."""
    cli = typer.Typer(name=service.name, no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False)

    @cli.callback()
    def about() -> None:
        """Run one service of comfyfleet."""

    @cli.command()
    def serve() -> None:
        """Serve until told to stop (SIGTERM)."""
        settings = service.settings()
        logs.configure(service.name, settings.log_level)
        app = service.create_app(settings)
        gc.freeze()  # what is there now stays: looking through it again and again took a twentieth of the time
        gc.set_threshold(GARBAGE)
        uvicorn.run(
            app,
            host=settings.host,
            port=settings.port,
            timeout_graceful_shutdown=GRACE_S,
            **served(service.limits(settings)),
        )

    if issubclass(service.settings, DatabaseSettings):

        @cli.command("migrate")
        def migrate_() -> None:
            """Bring the database to the newest schema."""
            settings = service.settings()
            logs.configure(service.name, settings.log_level)
            assert isinstance(settings, DatabaseSettings)  # noqa: S101 - checked above for the class
            migrate.upgrade(service.name, settings.database_url.get_secret_value())

    return cli
