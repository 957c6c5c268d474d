"""Where the scheduler is put together."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

from fastapi import FastAPI

from chassis.database.postgres import Database
from chassis.http.app import create_web
from chassis.lifecycle import running
from chassis.loop import Loop
from chassis.messaging import outbox
from chassis.messaging.bus import Bus
from chassis.messaging.outbox import Relay
from contracts.permissions import inbox_prefix
from scheduler import consumers
from scheduler.loops import reap, reconcile
from scheduler.loops.retain import erasure_loop, retention_loop
from scheduler.settings import Settings
from scheduler.usecases.admit_jobs import JobAdmission
from scheduler.usecases.announce import Announcer
from scheduler.usecases.ask_work import JobDispatcher
from scheduler.usecases.attempt_course import AttemptLifecycle
from scheduler.usecases.cancel_job import JobCanceller
from scheduler.usecases.class_rule_cache import ClassRuleCache
from scheduler.usecases.dead_letters import DeadLetters
from scheduler.usecases.erase_tenants import TenantEraser
from scheduler.usecases.examine_workflow import WorkflowExaminer
from scheduler.usecases.expire_jobs import JobExpirer
from scheduler.usecases.fleet import FleetKnowledge
from scheduler.usecases.heartbeat import Heartbeats
from scheduler.usecases.order_job import AdminJobActions
from scheduler.usecases.order_node import AdminNodeActions
from scheduler.usecases.purge_jobs import JobPurger
from scheduler.usecases.read_job import JobReader
from scheduler.usecases.read_stats import StatsReader
from scheduler.usecases.read_usage import UsageReader
from scheduler.usecases.read_use import UseReader
from scheduler.usecases.reserve_images import ImageReserver
from scheduler.usecases.search_jobs import JobSearcher
from scheduler.usecases.submit_job import JobSubmitter
from scheduler.usecases.tenant_limits import TenantLimits
from scheduler.usecases.tenant_policies import TenantPolicies
from scheduler.usecases.validate_workflow import WorkflowValidator
from scheduler.usecases.withdraw_attempts import Withdrawals

WORK_CHANNEL = "work"  # notified by the trigger tenants_ready (migration 0001)
PRUNE_S = 3600.0
REQUIREMENTS_CHANNEL = "requirements"  # by requirements_made


def create_app(settings: Settings) -> FastAPI:
    """The scheduler, ready to be served: its health over HTTP, everything else over NATS."""
    url = settings.database_url.get_secret_value()
    database = Database(url, name="scheduler", pool_size=settings.database_pool)
    bus = Bus(
        settings.nats_url,
        name="scheduler",
        user=settings.nats_user,
        password=settings.nats_password.get_secret_value() if settings.nats_password else None,
        inbox=inbox_prefix("scheduler"),
    )
    fleet = FleetKnowledge(
        database,
        online_s=settings.lease_s,
        forgotten_s=settings.node_forgotten_s,
        catalog_grace_s=settings.catalog_grace_s,
        default_models=settings.default_model_names,
    )
    reader = JobReader(database, fleet)
    announcer = Announcer(bus)
    limits = TenantLimits(database, bus, fresh_s=settings.limits_fresh_s)
    rules = ClassRuleCache(database, bus)
    policies = TenantPolicies(limits=limits, rules=rules)
    desk = JobDispatcher(
        database,
        fleet,
        announcer,
        policies=policies,
        lease_s=settings.lease_s,
        frames_per_image=settings.frames_per_image,
    )
    course = AttemptLifecycle(database, announcer, max_attempts=settings.max_attempts, lease_s=settings.lease_s)
    examiner = WorkflowExaminer(policies=policies, fleet=fleet, frames_per_image=settings.frames_per_image)
    submitter = JobSubmitter(
        limits=limits,
        examiner=examiner,
        fleet=fleet,
        admission=JobAdmission(database, reader),
        queued=desk.wake,
    )
    canceller = JobCanceller(database, bus, reader, announcer)
    withdrawals, usage = Withdrawals(database, bus, announcer), UsageReader(database)
    consumers.register_jobs(
        bus,
        submitter=submitter,
        validator=WorkflowValidator(database, limits=limits, examiner=examiner),
        reader=reader,
        canceller=canceller,
        uses=UseReader(database, limits=limits),
    )
    consumers.register_fleet(bus, fleet=fleet, policies=policies)
    dead_letters = DeadLetters(database, course)
    consumers.register_attempts(
        bus,
        desk=desk,
        course=course,
        reserver=ImageReserver(database),
        heartbeats=Heartbeats(database, lease_s=settings.lease_s, forgotten_s=settings.node_forgotten_s),
        dead_letters=dead_letters,
    )
    consumers.register_operations(
        bus,
        nodes=AdminNodeActions(database, withdrawals, online_s=settings.lease_s, uncordoned=desk.wake),
        searcher=JobSearcher(database, reader),
        jobs=AdminJobActions(
            database, announcer, reader=reader, canceller=canceller, submitter=submitter, withdrawals=withdrawals
        ),
        stats=StatsReader(database, online_s=settings.lease_s),
        usage=usage,
    )
    consumers.register_dead_letters(bus, dead_letters=dead_letters)
    purger = JobPurger(database)
    consumers.register_retention(bus, purger=purger)
    relay = Relay(database, bus)
    relaying = Loop("scheduler.relay", relay.tick, every_s=1.0)
    reaper = reap.Reaper(bus, course, JobExpirer(database, announcer), withdrawals, lease_s=settings.lease_s)
    reconciler = reconcile.Reconciler(bus, relay, relaying)
    loops = [
        Loop("scheduler.reconcile", reconciler.tick, every_s=reconcile.EVERY_S),
        relaying,
        Loop("scheduler.reap", reaper.tick, every_s=reap.EVERY_S),
        Loop("scheduler.prune_usage", usage.prune, every_s=PRUNE_S),
        Loop("scheduler.prune_dead_letters", dead_letters.prune, every_s=PRUNE_S),
        retention_loop(purger, every_s=settings.retention_every_s),
        erasure_loop(TenantEraser(database, bus, canceller)),
        consumers.hear_changes(bus, limits),
        consumers.hear_class_rules(bus, rules),
    ]

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        listening = asyncio.create_task(
            database.listen(
                {
                    outbox.CHANNEL: relaying.wake,
                    REQUIREMENTS_CHANNEL: fleet.expect_requirements,
                    WORK_CHANNEL: desk.wake,
                }
            ),
            name="scheduler.listen",
        )
        async with running("scheduler", bus, database=database, url=url, loops=loops):
            yield
            desk.close()
        listening.cancel()
        with suppress(asyncio.CancelledError):
            await listening

    return create_web("scheduler", lifespan=lifespan, probes={"nats": bus.probe, "postgres": database.probe})
