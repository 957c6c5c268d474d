"""The gateway, put together. The only place where its parts are made."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from time import monotonic

from fastapi import APIRouter, FastAPI
from starlette.middleware import Middleware

from authn.client_address import ClientAddressResolver, parse_networks
from authn.identity import Authenticator
from chassis.database.migrate import await_schema
from chassis.database.postgres import Database
from chassis.http.app import create_web
from chassis.lifecycle import running
from chassis.messaging.bus import Bus
from contracts.permissions import inbox_prefix
from gateway.accounts import jwks_routes as jwks
from gateway.accounts import key_routes as keys
from gateway.accounts import routes as auth
from gateway.accounts import ticket_routes as tickets
from gateway.accounts.limit_changes import hear_limits
from gateway.accounts.me import MeView
from gateway.accounts.me_routes import add_me
from gateway.accounts.public_keys import PublicKeys
from gateway.admin import account_routes as admin
from gateway.admin import class_rule_routes as class_rules
from gateway.admin import invite_routes as invites
from gateway.admin import operation_routes as operations
from gateway.admin.operations import Operations
from gateway.admin.search import Search
from gateway.admin.stats import StatsView
from gateway.admin.storage_store import Storage
from gateway.api.v1.openapi import complete
from gateway.docs import routes as docs
from gateway.edge.admission import Admission, Rates
from gateway.edge.body_memory import BodyMemoryLimit
from gateway.edge.cors import Cors
from gateway.edge.denials import Denials
from gateway.edge.direct_routes import AtOnce
from gateway.edge.rate_limits.domain import HOUR_S, HOURLY, Policy, policy
from gateway.edge.rate_limits.loops import rate_loops, unlimited_loop
from gateway.edge.rate_limits.service import RateLimiter
from gateway.edge.rate_limits.store import RateLimitStore
from gateway.edge.request_guard import Guard
from gateway.exports import routes as export
from gateway.exports.service import AccountExport
from gateway.fleet import routes as fleet
from gateway.fleet.service import FleetView
from gateway.images.converter import ImageConverter
from gateway.images.limiter import ImageLimiter
from gateway.jobs import batch_routes as batch
from gateway.jobs import event_routes as events
from gateway.jobs import generate_routes as generate
from gateway.jobs import routes as jobs
from gateway.jobs import saved_workflow_routes as workflow_jobs
from gateway.jobs import validation_routes as validation
from gateway.jobs.extra_data import ExtraDataKeys
from gateway.jobs.input_pins import InputPins
from gateway.jobs.output_copies import OutputCopies
from gateway.jobs.storage_limit import ResultStorage
from gateway.jobs.submit import Submitter
from gateway.outputs import archive_routes as archive
from gateway.outputs import routes as results
from gateway.outputs.conversion import Converter
from gateway.purges.wiring import wire_purges
from gateway.settings import Settings
from gateway.signing.keys import derive
from gateway.storage.artifacts import Artifacts
from gateway.storage.objects import Objects
from gateway.surfaces.nats.routes import NatsApiRateLimits, open_door
from gateway.transfers import input_routes as handout
from gateway.transfers import output_routes as intake
from gateway.transfers.grants import serve_grants
from gateway.transfers.input_downloads import InputDownloads
from gateway.transfers.output_uploads import OutputUploads
from gateway.uploads import routes as uploads
from gateway.uploads.body import FILES_AT_ONCE, FILES_OF_ONE, UploadBodies
from gateway.uploads.ended_jobs import EndedJobs
from gateway.uploads.loops import upload_loops
from gateway.uploads.own_uploads import OwnUploads
from gateway.uploads.removal import UploadRemover, UploadSweeper
from gateway.uploads.service import UploadService
from gateway.uploads.store import Bounds, Uploads
from gateway.uploads.sweep_store import UploadSweep
from gateway.usage import routes as usage
from gateway.usage.loops import usage_loops
from gateway.usage.request_counts import RequestCounts
from gateway.usage.service import UsageView
from gateway.usage.store import RequestUsage
from gateway.workflows import routes as workflows
from gateway.workflows.service import SavedWorkflows
from gateway.workflows.store import Workflows

DOCUMENT = "/openapi.json"
ROOM_BYTES = 256 << 20
ASKING = (
    "X-API-Key", "Authorization", "Content-Type", "Idempotency-Key", "Last-Event-ID", "Prefer", "Range", "X-Request-Id",
)  # fmt: skip
TELLING = (
    "Location", "Idempotent-Replayed", "Preference-Applied", "X-Request-Id", "RateLimit", "RateLimit-Policy",
    "X-RateLimit-Limit", "X-RateLimit-Remaining", "X-RateLimit-Reset", "Retry-After", "X-Quota-Limit",
    "X-Quota-Remaining", "X-Quota-Reset", "ETag", "Content-Range", "Content-Disposition",
)  # fmt: skip


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
    outputs = OutputUploads(
        artifacts=artifacts,
        objects=objects,
        key=derive(secret, "outputs"),
        origin=settings.internal_url,
        link_s=settings.output_link_s,
        max_bytes=settings.max_output_bytes,
    )
    pictures = ImageConverter(max_pixels=settings.picture_max_pixels, within_s=settings.picture_within_s)
    line = ImageLimiter(settings.pictures_at_once)
    converter = Converter(pictures, objects, line)
    kept = Uploads(database, Bounds(files=settings.max_uploads, bytes=settings.max_uploads_bytes))
    photos = ImageConverter(max_pixels=settings.upload_max_pixels, within_s=settings.upload_within_s)
    desk = UploadService(
        kept, objects, photos, line, max_bytes=settings.max_upload_size, max_file_bytes=settings.max_file_bytes
    )
    ended = EndedJobs(bus, kept)
    sweeper = UploadSweeper(UploadSweep(database), objects, ended, orphan_age=timedelta(seconds=settings.orphan_age_s))
    pins = InputPins(kept, OutputCopies(artifacts, kept, objects))
    inputs = InputDownloads(
        uploads=kept,
        objects=objects,
        key=derive(secret, "inputs"),
        names=derive(secret, "input names"),
        origin=settings.internal_url,
        link_s=settings.input_link_s,
    )
    identity = Authenticator(bus, service="gateway")
    buckets = RateLimitStore(database)
    limiter = RateLimiter(buckets)
    rates = _rates(settings, limiter)
    purge_loops, _dead_letters = wire_purges(bus, database, objects, remains_every_s=settings.remains_every_s)
    requests, operating = RequestUsage(database), Operations(bus, pins)
    counts = RequestCounts(requests)
    loops = (
        *identity.loops,
        *(rate_loops(limiter, buckets) if rates else (unlimited_loop(),)),
        *usage_loops(counts, requests, flush_s=settings.usage_flush_s),
        *purge_loops,
        *upload_loops(sweeper, expire_every_s=settings.uploads_sweep_s, orphans_every_s=settings.orphans_sweep_s),
    )
    me = MeView(bus)
    cursor_key = derive(secret, "cursors")
    workflow_store = Workflows(database)
    saved = SavedWorkflows(workflow_store, cursor_key=cursor_key)
    submitter = Submitter(
        bus,
        fleet=fleet_view,
        saved=saved,
        pins=pins,
        results=ResultStorage(me, artifacts),
        used=me.used,
        extra_data_keys=ExtraDataKeys.of(settings.extra_data_keys),
    )
    door_rates = NatsApiRateLimits(limiter if rates else None, me)
    open_door(bus, submitter, settings.public_url, rates=door_rates, used=me.used)
    serve_grants(bus, inputs, outputs)

    @asynccontextmanager
    async def lifespan(_app: FastAPI) -> AsyncIterator[None]:
        # The bus does not wait for the database: without it only the bytes of results are away.
        hearing = hear_limits(bus, tier_changed=me.limits_changed, user_changed=me.user_changed)
        async with running("gateway", bus, loops=(*loops, hearing)):
            yield
        await limiter.stop()
        await counts.stop()
        await database.close()

    app = create_web(
        "comfyfleet",
        lifespan=lifespan,
        probes={
            "nats": bus.probe,
            "identity": identity.probe,
            "database": lambda: await_schema("gateway", url, database),
        },
        middleware=[
            *_cors(settings.cors_origins or ""),
            Middleware(Guard),
            Middleware(
                Admission,
                identity=identity,
                clients=ClientAddressResolver(parse_networks(settings.trusted_proxies or "")),
                rates=rates,
                used=counts.note,
            ),
            Middleware(AtOnce),
        ],
        https=settings.public_url.startswith("https://"),
        openapi_url=DOCUMENT if settings.docs_public else None,
        docs_url=None,
        redoc_url=None,
        version="1",
        description="Run ComfyUI workflows on a fleet of GPU nodes: submit, watch, fetch.",
    )
    app.state.denials = Denials(bus)
    app.state.room = BodyMemoryLimit(total=ROOM_BYTES, each=ROOM_BYTES // 4, clock=monotonic)
    add_me(app, me)
    _add(
        app,
        jobs.router(bus=bus, submitter=submitter, public_url=settings.public_url, cursor_key=cursor_key, used=me.used),
        batch.router(submitter=submitter, public_url=settings.public_url),
        generate.router(bus=bus, submitter=submitter, public_url=settings.public_url, used=me.used),
        validation.router(submitter=submitter),
        workflows.router(saved=saved),
        workflow_jobs.router(submitter=submitter, saved=saved, public_url=settings.public_url),
        results.router(
            bus=bus, artifacts=artifacts, objects=objects, converter=converter, public_url=settings.public_url
        ),
        archive.router(bus=bus, artifacts=artifacts, objects=objects),
        events.router(bus=bus, watching=identity.watching),
        fleet.router(bus=bus, fleet=fleet_view),
        auth.router(bus=bus),
        export.router(export=AccountExport(bus, kept, workflow_store, artifacts, objects)),
        keys.router(bus=bus),
        tickets.router(bus=bus, public_url=settings.public_url),
        admin.router(bus=bus, cursor_key=cursor_key),
        class_rules.router(bus=bus),
        invites.router(bus=bus, cursor_key=cursor_key),
        operations.nodes_router(bus=bus, operations=operating, stats=StatsView(bus, Storage(database))),
        operations.node_orders_router(operations=operating),
        operations.search_router(search=Search(bus, operating, cursor_key=cursor_key), public_url=settings.public_url),
        operations.jobs_router(operations=operating, public_url=settings.public_url),
        usage.router(usage=UsageView(bus, requests), operations=operating),
        jwks.router(keys=PublicKeys(bus)),
        uploads.router(
            bodies=UploadBodies(desk, BodyMemoryLimit(total=FILES_AT_ONCE, each=FILES_OF_ONE, clock=monotonic)),
            desk=desk,
            own=OwnUploads(kept, cursor_key=cursor_key),
            remover=UploadRemover(kept, objects, ended),
            objects=objects,
            me=me,
            longest=timedelta(days=settings.upload_days) if settings.upload_days else None,
            public_url=settings.public_url,
        ),
        handout.router(handout=inputs),
        intake.router(intake=outputs, idle_s=settings.output_idle_s),
    )
    if settings.docs_public:
        _add(app, docs.router(title=app.title, document=DOCUMENT))
    complete(app)
    return app


def _add(app: FastAPI, *routers: APIRouter) -> None:
    """Their routes become the application's own: a router within a router would cost each request a search."""
    for router in routers:
        app.router.routes.extend(router.routes)


def _cors(origins: str) -> list[Middleware]:
    """Pages of these origins may call us, with a credential that they hold; cookies mean nothing here."""
    exact = [origin.strip() for origin in origins.split(",") if origin.strip()]
    if not exact:
        return []
    return [
        Middleware(
            Cors,
            allow_origins=exact,
            allow_methods=["GET", "POST", "PUT", "PATCH", "DELETE"],
            allow_headers=ASKING,
            expose_headers=TELLING,
        )
    ]


def _rates(settings: Settings, limiter: RateLimiter) -> Rates | None:
    if not settings.rate_limit_enabled:
        return None
    return Rates(
        limiter,
        login=policy("login", settings.login_per_minute, strict=True),
        open=policy("open", settings.open_per_minute),
        register=Policy(HOURLY, settings.register_per_hour, window_s=HOUR_S, strict=True),
        register_network=Policy(f"{HOURLY}-network", settings.register_network_per_hour, window_s=HOUR_S, strict=True),
    )
