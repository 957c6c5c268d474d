"""The command line of every service: ``serve`` and, with a database, ``migrate``."""

import gc
import signal
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import typer
import uvicorn
from fastapi import FastAPI

from chassis import process
from chassis.database import migrate
from chassis.http.connection import Limits, guarded
from chassis.http.writing import BoundedWebSockets
from chassis.settings import DatabaseSettings, ServiceSettings
from chassis.telemetry import logs
from chassis.telemetry.logs import log
from chassis.telemetry.metrics import Metrics

GARBAGE = 20_000  # net allocations before Python collects cycles; its default of 700 suits scripts
GRACE_S = 10  # maximum time to finish running requests after SIGTERM


@dataclass(frozen=True, slots=True)
class Service:
    """Describes a service to its command line. ``limits`` returns its connection limits from its settings."""

    name: str
    settings: type[ServiceSettings]
    create_app: Callable[[Any, Metrics], FastAPI]
    limits: Callable[[Any], Limits] = lambda _settings: Limits()


def served(limits: Limits) -> dict[str, Any]:
    """Return uvicorn's settings for every service, except application, address and shutdown timeout."""
    return {
        "http": guarded(limits),
        "proxy_headers": False,  # if on, uvicorn trusts forwarding headers from 127.0.0.1
        "log_config": None,
        "access_log": False,
        "server_header": False,
        "ws": BoundedWebSockets,
        "ws_max_size": 4 * 1024,  # clients of WebSockets send little
        "ws_per_message_deflate": False,  # a few compressed bytes can expand to megabytes
    }


def commands(service: Service) -> typer.Typer:
    """Return the command line of a service, which can add its own commands."""
    cli = typer.Typer(name=service.name, no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False)

    @cli.callback()
    def about() -> None:
        """Run one service of comfyfleet."""

    @cli.command()
    def serve() -> None:
        """Serve until SIGTERM."""
        settings = service.settings()
        logs.configure(service.name, settings.log_level)
        metrics = Metrics(service.name)
        app = service.create_app(settings, metrics)
        try:
            metrics.serve(settings.metrics_host, settings.metrics_port)
        except OSError as error:
            address = f"{settings.metrics_host}:{settings.metrics_port}"
            log.error("metrics.cannot_listen", address=address, error=str(error))
            raise typer.Exit(1) from None
        gc.freeze()  # exclude everything allocated so far from collections, which took 5 % of the time
        gc.set_threshold(GARBAGE)
        signal.signal(signal.SIGTERM, process.end)
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
            """Migrate the database to the newest schema."""
            settings = service.settings()
            logs.configure(service.name, settings.log_level)
            assert isinstance(settings, DatabaseSettings)  # noqa: S101 - checked above for the class
            try:
                migrate.migrate(
                    service.name,
                    settings.listening,
                    within_s=settings.start_within_s,
                    is_pooled=settings.listen_url is not None,
                )
            except migrate.MigrationFailed:
                raise typer.Exit(1) from None

    return cli
