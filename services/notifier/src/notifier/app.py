"""Constructs the notifier."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import FastAPI

from authn.authenticator import Authenticator
from authn.client_address import ClientAddressResolver, parse_networks
from chassis.database.postgres import Database
from chassis.database.schema import SchemaCheck
from chassis.http.app import create_web_app
from chassis.lifecycle import Startup, running
from chassis.messaging.bus import Bus
from chassis.messaging.dead_letters import DeadLetters, DeadLetterStore
from chassis.shutdown import Shutdown
from chassis.telemetry.metrics import Metrics
from contracts.metrics import SOCKETS
from contracts.permissions import inbox_prefix
from notifier.api import watch, watch_many
from notifier.api.handshake import WebSocketAuthenticator
from notifier.consumers.dead_letters import serve_dead_letters
from notifier.consumers.job_events import create_job_event_consumer
from notifier.consumers.purges import create_purge_consumer
from notifier.loops.prune import create_prune_loop
from notifier.settings import Settings
from notifier.store.events import EventStore
from notifier.usecases.hub import Hub
from notifier.usecases.job_reader import JobReader
from notifier.usecases.limit_handshakes import HandshakeLimiter
from notifier.usecases.redeem_tickets import TicketRedeemer


def create_app(settings: Settings, metrics: Metrics | None = None, shutdown: Shutdown | None = None) -> FastAPI:
    """Return the notifier as an ASGI application.

    It serves requests immediately; ``/readyz`` says whether its dependencies are available.
    """
    metrics = metrics or Metrics("notifier")
    password = settings.nats_password.get_secret_value() if settings.nats_password else None
    bus = Bus(
        settings.nats_url,
        name="notifier",
        user=settings.nats_user,
        password=password,
        inbox=inbox_prefix("notifier"),
        tls=settings.nats_tls,
        record_request=metrics.record_rpc,
    )
    metrics.watch_expired_requests(bus.expired)
    database = Database(settings.database, name="notifier", pool_size=settings.database_pool)
    schema = SchemaCheck("notifier", database)
    metrics.record_build(schema=schema.head)
    metrics.watch_pools(database.count_connections)
    events = EventStore(database)
    identity = Authenticator(bus, service="notifier")
    authenticator = WebSocketAuthenticator(
        identity,
        TicketRedeemer(bus),
        addresses=ClientAddressResolver(parse_networks(settings.trusted_proxies or "")),
        handshakes=HandshakeLimiter(per_minute=settings.handshakes_per_minute),
        wait_s=settings.auth_wait_s,
    )
    hub = Hub(bus, JobReader(bus, events), reread_s=settings.reread_s)
    dead_letter_store = DeadLetterStore(database)
    job_events = create_job_event_consumer(bus, events, dead_letter_store)
    purges = create_purge_consumer(bus, events, dead_letter_store)
    serve_dead_letters(bus, DeadLetters("notifier", dead_letter_store, (job_events, purges)))
    loops = (
        *identity.loops,
        job_events.loop("notifier.store_job_events"),
        purges.loop("notifier.delete_purged"),
        create_prune_loop(events, dead_letter_store, keep_days=settings.keep_days),
    )

    startup = Startup()

    @asynccontextmanager
    async def lifespan(_app: FastAPI) -> AsyncIterator[None]:
        # Without the database, events are read from the scheduler.
        async with running(
            bus,
            database=database,
            schema=schema,
            within_s=settings.start_within_s,
            startup=startup,
            metrics=metrics,
            loops=loops,
            serves_without_database=True,
        ):
            yield
        await database.close()

    app = create_web_app(
        "notifier",
        lifespan=lifespan,
        metrics=metrics,
        probes={
            "nats": bus.probe,
            "identity": identity.probe,
            "database": database.probe,
            "schema": schema.probe,
            "startup": startup.probe,
        },
        shutdown=shutdown,
        dependencies={"nats": bus.probe, "postgres": database.probe},
        openapi_url=None,
    )
    sockets = metrics.gauge(SOCKETS)
    for route in (watch, watch_many):
        app.include_router(
            route.create_router(
                authenticator=authenticator, hub=hub, sockets=sockets, send_timeout_s=settings.send_timeout_s
            )
        )
    return app
