"""Serves an ASGI application on a real socket, with the settings of ``chassis.cli``."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import uvicorn
from fastapi import FastAPI

from chassis.cli import build_uvicorn_options
from chassis.http.connection import ConnectionLimits
from chassis.http.server import Server
from chassis.shutdown import Shutdown
from tests.kit.declared_errors import DeclaredErrorsOnly
from tests.kit.waiting import until

PATIENT = ConnectionLimits(slow_body_paths=(b"/internal/",))


@asynccontextmanager
async def serving(
    app: FastAPI,
    limits: ConnectionLimits = PATIENT,
    *,
    shutdown: Shutdown | None = None,
    delay_s: float = 0.0,
    finish_within_s: int = 2,
) -> AsyncIterator[str]:
    """Serve in this process; yield host and port. An error that its route does not declare becomes a 500.

    At the end it stops like a process that gets SIGTERM, and cancels requests that run for ``finish_within_s`` longer.
    """
    config = uvicorn.Config(
        DeclaredErrorsOnly(app),
        host="127.0.0.1",
        port=0,
        lifespan="on",
        timeout_graceful_shutdown=finish_within_s,
        **build_uvicorn_options(limits),
    )
    server = Server(config, shutdown or Shutdown(), delay_s=delay_s)
    running = asyncio.create_task(server._serve())
    try:
        await until(lambda: server.started or running.done())
        port = server.servers[0].sockets[0].getsockname()[1]
        yield f"127.0.0.1:{port}"
    finally:
        server.should_exit = True
        await running
