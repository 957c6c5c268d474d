"""The gateway, put together. The only place where its parts are made."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import APIRouter, FastAPI

from chassis.bus import Bus
from chassis.lifecycle import running
from chassis.migrate import await_schema
from chassis.postgres import Database
from chassis.remembered import Remembered
from chassis.web import create_web
from contracts.auth import VERIFY_CREDENTIAL
from contracts.permissions import inbox_prefix
from gateway.api import events, fleet, jobs, results, uploads
from gateway.api.problems import Problem
from gateway.consumers.door import open_door
from gateway.consumers.grants import serve_grants
from gateway.domain.keys import derive
from gateway.settings import Settings
from gateway.store.artifacts import Artifacts
from gateway.store.objects import Objects
from gateway.usecases.fleet import FleetView
from gateway.usecases.store_output import Intake


def create_app(settings: Settings) -> FastAPI:
    """The gateway as an ASGI application. It answers from the first moment; ``/readyz`` says when it is of use."""
    url = settings.database_url.get_secret_value()
    password = settings.nats_password.get_secret_value() if settings.nats_password else None
    bus = Bus(
        settings.nats_url, name="gateway", user=settings.nats_user, password=password, inbox=inbox_prefix("gateway")
    )
    database = Database(url, name="gateway", pool_size=settings.database_pool)
    artifacts, objects = Artifacts(database), Objects(settings.artifacts_url)
    fleet_view = FleetView(bus, keep_s=settings.models_cache_s)
    secret = settings.secret_key.get_secret_value()
    intake = Intake(
        artifacts=artifacts,
        objects=objects,
        key=derive(secret, "outputs"),
        origin=settings.internal_url,
        link_s=settings.upload_link_s,
        max_bytes=settings.max_output_bytes,
    )
    open_door(bus, fleet_view, settings.public_url)
    serve_grants(bus, intake)

    @asynccontextmanager
    async def lifespan(_app: FastAPI) -> AsyncIterator[None]:
        # The bus does not wait for the database: without it only the bytes of results are away.
        async with running("gateway", bus):
            yield
        await database.close()

    app = create_web(
        "comfyfleet",
        lifespan=lifespan,
        probes={"nats": bus.probe, "database": lambda: await_schema("gateway", url, database)},
        version="1",
        description="Run ComfyUI workflows on a fleet of GPU nodes: submit, watch, fetch.",
    )
    app.state.owners = Remembered(bus, VERIFY_CREDENTIAL, seconds=settings.credential_cache_s)
    v1 = APIRouter(prefix="/api/v1")
    v1.include_router(
        jobs.router(bus=bus, fleet=fleet_view, public_url=settings.public_url, cursor_key=derive(secret, "cursors"))
    )
    v1.include_router(results.router(bus=bus, artifacts=artifacts, objects=objects, public_url=settings.public_url))
    v1.include_router(events.router(bus=bus))
    v1.include_router(fleet.router(fleet=fleet_view))
    app.include_router(v1)
    app.include_router(uploads.router(intake=intake, idle_s=settings.upload_idle_s))
    _describe_problems(app)
    return app


def _describe_problems(app: FastAPI) -> None:
    """Put the schema of problems into the OpenAPI document, which FastAPI's ``responses`` can only refer to."""
    make = app.openapi

    def openapi() -> dict[str, object]:
        document = make()
        schemas = document.setdefault("components", {}).setdefault("schemas", {})
        described = Problem.model_json_schema(ref_template="#/components/schemas/{model}")
        schemas.update(described.pop("$defs", {}))
        schemas["Problem"] = described
        return document

    app.openapi = openapi  # type: ignore[method-assign]  # FastAPI's documented way to extend the document
