"""The command line of every service: ``serve`` and, with a database, ``migrate``."""

import gc
import signal
import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

import typer
import uvicorn
from fastapi import FastAPI
from pydantic import ValidationError

from chassis import process
from chassis.database import migrate
from chassis.http.connection import ConnectionLimits, create_protocol_class
from chassis.http.server import Server
from chassis.http.writing import LimitedWebSocketProtocol
from chassis.infrastructure_faults import is_infrastructure_fault
from chassis.settings import DatabaseSettings, InvalidSecretFile, ServiceSettings
from chassis.shutdown import Shutdown
from chassis.telemetry import logs
from chassis.telemetry.logs import log
from chassis.telemetry.metrics import Metrics

GC_THRESHOLD = 20_000  # net allocations before Python collects cycles; its default of 700 suits scripts
EXIT_INVALID_SETTINGS = 78  # exit status: EX_CONFIG of sysexits.h
SHUTDOWN_GRACE_S = 10  # maximum time to finish running requests after SIGTERM
KEEP_ALIVE_S = 5  # idle time after which a connection is closed; a proxy in front must close its own earlier

S = TypeVar("S", bound=ServiceSettings)


@dataclass(frozen=True, slots=True)
class Service:
    """Describes a service to its command line.

    Attributes:
        limits: function that returns the connection limits from the settings.
        drain_delay_s: function that returns, from the settings, for how many seconds the service keeps serving after
            SIGTERM although it reports that it is not ready.
    """

    name: str
    settings: type[ServiceSettings]
    create_app: Callable[[Any, Metrics, Shutdown], FastAPI]
    limits: Callable[[Any], ConnectionLimits] = lambda _settings: ConnectionLimits()
    drain_delay_s: Callable[[Any], float] = lambda _settings: 0.0


def build_uvicorn_options(limits: ConnectionLimits) -> dict[str, Any]:
    """Return uvicorn's settings for every service, except application, address and shutdown timeout."""
    return {
        "http": create_protocol_class(limits),
        "timeout_keep_alive": KEEP_ALIVE_S,
        "proxy_headers": False,  # if on, uvicorn trusts forwarding headers from 127.0.0.1
        "log_config": None,
        "access_log": False,
        "server_header": False,
        "ws": LimitedWebSocketProtocol,
        "ws_max_size": 4 * 1024,  # clients of WebSockets send little
        "ws_per_message_deflate": False,  # a few compressed bytes can expand to megabytes
    }


def load_settings(settings: type[S]) -> S:
    """Load settings from the environment. Exits with one line on standard error for each invalid setting."""
    prefix = settings.model_config.get("env_prefix", "")
    try:
        return settings()
    except ValidationError as error:
        for wrong in error.errors(include_input=False, include_url=False):
            name = "".join(f"{prefix}{part}: ".upper() for part in wrong["loc"][:1])
            typer.echo(f"Invalid setting: {name}{wrong['msg'].removeprefix('Value error, ')}", err=True)
    except InvalidSecretFile as error:
        typer.echo(f"Invalid setting: {error}", err=True)
    sys.exit(EXIT_INVALID_SETTINGS)


def configure_logs(service: str, settings: ServiceSettings) -> None:
    """Send logs to standard output, without the secrets of the settings."""
    secrets = (secret for _, secret in settings.secret_values())
    logs.configure(service, settings.log_level, secrets=secrets, is_fault=is_infrastructure_fault)


def create_cli(service: Service) -> typer.Typer:
    """Return the command line of a service. The service can add commands to it."""
    cli = typer.Typer(name=service.name, no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False)

    @cli.callback()
    def about() -> None:
        """Run one service of comfyfleet."""

    @cli.command()
    def serve() -> None:
        """Serve until SIGTERM. After a second one, do not wait for work in progress."""
        settings = load_settings(service.settings)
        configure_logs(service.name, settings)
        metrics, shutdown = Metrics(service.name), Shutdown()
        app = service.create_app(settings, metrics, shutdown)
        try:
            metrics.serve(settings.metrics_host, settings.metrics_port)
        except OSError as error:
            address = f"{settings.metrics_host}:{settings.metrics_port}"
            log.error("metrics.cannot_listen", address=address, error=str(error))
            raise typer.Exit(1) from None
        gc.freeze()  # exclude everything allocated so far from collections, which took 5 % of the time
        gc.set_threshold(GC_THRESHOLD)
        signal.signal(signal.SIGTERM, process.handle_termination)
        config = uvicorn.Config(
            app,
            host=settings.host,
            port=settings.port,
            timeout_graceful_shutdown=SHUTDOWN_GRACE_S,
            **build_uvicorn_options(service.limits(settings)),
        )
        Server(config, shutdown, delay_s=service.drain_delay_s(settings)).run()

    if issubclass(service.settings, DatabaseSettings):

        @cli.command("migrate")
        def migrate_() -> None:
            """Migrate the database to the newest schema."""
            settings = load_settings(service.settings)
            configure_logs(service.name, settings)
            assert isinstance(settings, DatabaseSettings)  # noqa: S101 - checked above for the class
            try:
                migrate.migrate(
                    service.name,
                    settings.direct_database,
                    within_s=settings.start_within_s,
                    is_pooled=settings.listen_url is not None,
                )
            except migrate.MigrationFailed:
                raise typer.Exit(1) from None

    return cli
