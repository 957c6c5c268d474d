"""Constructs the gateway: the infrastructure, then each feature."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from uuid import UUID

from fastapi import FastAPI

from chassis.database.postgres import Database
from chassis.database.schema import SchemaCheck
from chassis.http.app import create_web_app
from chassis.lifecycle import Startup, run_service
from chassis.messaging.bus import Bus
from chassis.shutdown import Shutdown
from chassis.telemetry.metrics import Metrics
from contracts.permissions import inbox_prefix
from gateway.accounts.wiring import wire_accounts
from gateway.admin.wiring import wire_admin
from gateway.api.v1.openapi import complete_document
from gateway.artifact_store.domain import Finding
from gateway.artifact_store.service import StoreMonitor
from gateway.artifact_store.store import ArtifactStoreRecord
from gateway.artifact_store.wiring import wire_artifact_store
from gateway.console.wiring import wire_console
from gateway.docs import routes as docs_routes
from gateway.edge.wiring import wire_edge
from gateway.exports.wiring import wire_exports
from gateway.fleet.wiring import wire_fleet
from gateway.images.limiter import ImageLimiter
from gateway.jobs.wiring import wire_jobs
from gateway.outputs.wiring import wire_outputs
from gateway.purges.wiring import wire_purges
from gateway.settings import Settings
from gateway.shares.wiring import wire_shares
from gateway.signing.link_urls import LinkUrls
from gateway.storage.artifacts import ArtifactRecords
from gateway.storage.metrics import export_store_status
from gateway.storage.objects import ArtifactStore
from gateway.storage.status import StoreStatus
from gateway.surfaces.nats.wiring import serve_nats_api
from gateway.timeouts import Timeouts
from gateway.transfers.wiring import wire_transfers
from gateway.uploads.wiring import wire_uploads
from gateway.usage.wiring import wire_usage
from gateway.wiring import Feature, Infrastructure
from gateway.workflows.wiring import wire_workflows

TITLE = "comfyfleet"
OPENAPI_PATH = "/openapi.json"
DEFAULT_TIMEOUTS = Timeouts()


def create_app(
    settings: Settings,
    metrics: Metrics | None = None,
    shutdown: Shutdown | None = None,
    timeouts: Timeouts = DEFAULT_TIMEOUTS,
    bus_type: type[Bus] = Bus,
) -> FastAPI:
    """Return the gateway as an ASGI application.

    It serves requests immediately; ``/readyz`` says whether its dependencies are available.
    """
    metrics, shutdown = metrics or Metrics("gateway"), shutdown or Shutdown()
    infra = _create_infrastructure(settings, metrics, shutdown, timeouts, bus_type)
    schema = SchemaCheck("gateway", infra.database)
    metrics.record_build(schema=schema.head)
    links = LinkUrls(infra.derive_keys("output links"), settings.public_url)
    edge = wire_edge(settings, infra.bus, infra.database, timeouts, find_link_owner=links.find_link_owner)
    images = ImageLimiter(settings.pictures_at_once)

    accounts = wire_accounts(infra)
    fleet = wire_fleet(infra)
    workflows = wire_workflows(infra)
    uploads = wire_uploads(infra, images, accounts.users)
    jobs = wire_jobs(
        infra,
        identity=edge.identity,
        users=accounts.users,
        fleet=fleet.view,
        saved_workflows=workflows.saved_workflows,
        uploads=uploads.store,
    )
    outputs = wire_outputs(infra, images, links)
    shares = wire_shares(infra, jobs=jobs.service, history=jobs.history, links=links)
    transfers = wire_transfers(infra, uploads.store)
    purges = wire_purges(infra)
    admin = wire_admin(infra, jobs.pins, purges.dead_letters)
    artifact_store = wire_artifact_store(infra, admin.operations)
    usage = wire_usage(infra, admin.operations)
    exports = wire_exports(infra, uploads.store, workflows.store)
    console = wire_console(infra)
    serve_nats_api(
        infra,
        limiter=edge.limiter if edge.rates else None,
        users=accounts.users,
        jobs=jobs.service,
        submitter=jobs.submitter,
    )

    features: list[Feature] = [
        jobs, outputs, accounts, workflows, uploads, fleet, usage, exports, admin, transfers, purges,
        artifact_store, shares, console,
    ]  # fmt: skip
    if settings.docs_public:
        features.append(Feature(routers=(docs_routes.create_router(title=TITLE, openapi_path=OPENAPI_PATH),)))

    startup = Startup()

    @asynccontextmanager
    async def lifespan(_app: FastAPI) -> AsyncIterator[None]:
        loops = [*edge.loops, *(loop for feature in features for loop in feature.loops)]
        async with run_service(
            infra.bus,
            database=infra.database,
            schema=schema,
            within_s=settings.start_within_s,
            startup=startup,
            metrics=metrics,
            loops=loops,
            serves_without_database=True,  # without it only results, uploads and saved workflows are unavailable
        ):
            yield
        await edge.limiter.stop()
        await usage.counts.stop()
        await infra.database.close()

    app = create_web_app(
        TITLE,
        lifespan=lifespan,
        metrics=metrics,
        probes={
            "nats": infra.bus.probe,
            "identity": edge.identity.probe,
            "database": infra.database.probe,
            "schema": schema.probe,
            "startup": startup.probe,
            "artifact_store": infra.objects.status.probe_pairing,
        },
        optional_probes={"artifact_space": infra.objects.status.probe_space},
        shutdown=shutdown,
        dependencies={
            "nats": infra.bus.probe,
            "postgres": infra.database.probe,
            "artifact_store": infra.objects.status.probe_pairing,
        },
        middleware=edge.build_middleware(count_request=usage.counts.count_request),
        https=settings.public_url.startswith("https://"),
        openapi_url=OPENAPI_PATH if settings.docs_public else None,
        docs_url=None,
        redoc_url=None,
        version="1",
        description="Run ComfyUI workflows on a fleet of GPU nodes: submit, watch, fetch.",
    )
    for feature in features:
        for router in feature.routers:
            app.router.routes.extend(router.routes)  # include_router would cost each request a second search
    complete_document(app)
    return app


async def adopt_store(settings: Settings) -> tuple[Finding, UUID | None]:
    """Pair the artifact store with the database, regardless of what either was paired with before.

    Returns:
        What was found before, and the new id of the store; None if they were a pair already.
    """
    infra = _create_infrastructure(settings, Metrics("gateway"), Shutdown(), DEFAULT_TIMEOUTS, Bus)
    try:
        return await StoreMonitor(ArtifactStoreRecord(infra.database), infra.objects).adopt_store()
    finally:
        await infra.database.close()


def _create_infrastructure(
    settings: Settings, metrics: Metrics, shutdown: Shutdown, timeouts: Timeouts, bus_type: type[Bus]
) -> Infrastructure:
    database = Database(
        settings.database, name="gateway", pool_size=settings.database_pool, connect_timeout_s=timeouts.connect_s
    )
    metrics.watch_pools(database.count_connections)
    bus = bus_type(
        settings.nats_url,
        name="gateway",
        user=settings.nats_user,
        password=settings.nats_password.get_secret_value() if settings.nats_password else None,
        inbox_prefix=inbox_prefix("gateway"),
        tls=settings.nats_tls,
        record_request=metrics.record_rpc,
    )
    metrics.watch_expired_requests(bus.expired_requests)
    status = StoreStatus(min_free_bytes=settings.min_free_bytes)
    export_store_status(metrics, status)
    return Infrastructure(
        settings=settings,
        metrics=metrics,
        bus=bus,
        database=database,
        objects=ArtifactStore(
            settings.artifacts_url,
            status,
            secret_access_key=settings.aws_secret_access_key.get_secret_value()
            if settings.aws_secret_access_key
            else None,
        ),
        artifacts=ArtifactRecords(database),
        shutdown=shutdown,
    )
