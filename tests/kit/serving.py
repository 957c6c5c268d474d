"""Serves an ASGI application on a real socket, with the settings of ``chassis.cli``."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import uvicorn
from fastapi import FastAPI

from chassis.cli import served
from chassis.http.connection import Limits
from tests.kit.declared_errors import DeclaredErrorsOnly
from tests.kit.waiting import until

PATIENT = Limits(patient=(b"/internal/",))


@asynccontextmanager
async def serving(app: FastAPI, limits: Limits = PATIENT) -> AsyncIterator[str]:
    """Serve in this process; yields host and port. An error that its route does not declare becomes a 500."""
    config = uvicorn.Config(
        DeclaredErrorsOnly(app),
        host="127.0.0.1",
        port=0,
        lifespan="on",
        timeout_graceful_shutdown=2,
        **served(limits),
    )
    server = uvicorn.Server(config)
    running = asyncio.create_task(server._serve())
    try:
        await until(lambda: server.started or running.done())
        port = server.servers[0].sockets[0].getsockname()[1]
        yield f"127.0.0.1:{port}"
    finally:
        server.should_exit = True
        await running
