"""Constructs the scheduler: the only place where its parts are created and connected."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

from fastapi import FastAPI

from chassis.database.postgres import CONNECT_TIMEOUT_S, Database
from chassis.database.schema import SchemaCheck
from chassis.http.app import create_web_app
from chassis.lifecycle import Startup, run_service
from chassis.loop import Loop
from chassis.messaging import outbox
from chassis.messaging.bus import Bus
from chassis.messaging.outbox import OutboxRelay
from chassis.shutdown import Shutdown
from chassis.telemetry.metrics import Metrics
from contracts.permissions import inbox_prefix
from scheduler import consumers
from scheduler.loops import end_attempts, restore_streams
from scheduler.loops.retention import create_erasure_loop, create_retention_loop
from scheduler.settings import Settings
from scheduler.usecases import reclaim_prefetched
from scheduler.usecases.admin_job_actions import AdminJobActions
from scheduler.usecases.admin_node_actions import AdminNodeActions
from scheduler.usecases.admit_jobs import JobAdmission
from scheduler.usecases.attempt_lifecycle import AttemptLifecycle
from scheduler.usecases.cancel_job import JobCanceller
from scheduler.usecases.check_workflow import WorkflowChecker
from scheduler.usecases.class_rule_cache import ClassRuleCache
from scheduler.usecases.cordon_failing_nodes import FailingNodeCordon
from scheduler.usecases.dead_letters import DeadLetters
from scheduler.usecases.describe_workflow import WorkflowDescriber
from scheduler.usecases.dispatch_jobs import JobDispatcher
from scheduler.usecases.erase_tenants import TenantEraser
from scheduler.usecases.estimate_etas import EtaEstimator
from scheduler.usecases.expire_jobs import JobExpirer
from scheduler.usecases.fleet_state import FleetState
from scheduler.usecases.job_metrics import JobMetrics
from scheduler.usecases.learn_run_times import LEARN_EVERY_S, RunTimeLearner
from scheduler.usecases.list_outputs import OutputLister
from scheduler.usecases.loaded_models import LoadedModels
from scheduler.usecases.measure_fleet import MEASURE_EVERY_S, FleetMeter
from scheduler.usecases.preview_node_actions import NodeActionPreviewer
from scheduler.usecases.publish_job_events import JobEventPublisher
from scheduler.usecases.purge_jobs import JobPurger
from scheduler.usecases.read_current_usage import CurrentUsageReader
from scheduler.usecases.read_daily_usage import DailyUsageReader
from scheduler.usecases.read_job import JobReader
from scheduler.usecases.read_queue import QueueReader
from scheduler.usecases.read_stats import StatsReader
from scheduler.usecases.reclaim_prefetched import PrefetchReclaimer
from scheduler.usecases.record_heartbeats import HeartbeatRecorder
from scheduler.usecases.reserve_images import ImageReserver
from scheduler.usecases.run_time_history import RunTimeHistory
from scheduler.usecases.search_jobs import JobSearcher
from scheduler.usecases.submit_job import JobSubmitter
from scheduler.usecases.tenant_limits import TenantLimits
from scheduler.usecases.tenant_policies import TenantPolicies
from scheduler.usecases.trends import RECORD_EVERY_S, TrendReader, TrendRecorder
from scheduler.usecases.validate_workflow import WorkflowValidator
from scheduler.usecases.withdraw_attempts import AttemptWithdrawer

WORK_CHANNEL = "work"  # notified by triggers of jobs, tenants and nodes (migration 0020)
REQUIREMENTS_CHANNEL = "requirements"  # notified by the trigger requirements_made (migration 0001)
PRUNE_EVERY_S = 3600.0


def create_app(
    settings: Settings,
    metrics: Metrics | None = None,
    shutdown: Shutdown | None = None,
    *,
    connect_timeout_s: float = CONNECT_TIMEOUT_S,
) -> FastAPI:
    """Build the application. HTTP serves health and metrics only; all other requests come over NATS.

    Args:
        connect_timeout_s: time to connect to the database, and to wait for a free connection, seconds.
    """
    metrics = metrics or Metrics("scheduler")
    database = Database(
        settings.database,
        name="scheduler",
        pool_size=settings.database_pool,
        listen_url=settings.direct_database,
        connect_timeout_s=connect_timeout_s,
    )
    schema, startup = SchemaCheck("scheduler", database), Startup()
    metrics.record_build(schema=schema.head)
    metrics.watch_pools(database.count_connections)
    bus = Bus(
        settings.nats_url,
        name="scheduler",
        user=settings.nats_user,
        password=settings.nats_password.get_secret_value() if settings.nats_password else None,
        inbox_prefix=inbox_prefix("scheduler"),
        tls=settings.nats_tls,
        record_request=metrics.record_rpc,
    )
    metrics.watch_expired_requests(bus.expired_requests)
    fleet = FleetState(
        database,
        offline_after_s=settings.lease_s,
        forget_after_s=settings.node_forgotten_s,
        catalog_grace_s=settings.catalog_grace_s,
        default_models=settings.default_model_names,
    )
    run_time_history, job_metrics = RunTimeHistory(), JobMetrics(metrics)
    reader, learner = (
        JobReader(database, fleet, EtaEstimator(fleet, run_time_history)),
        RunTimeLearner(database, run_time_history, metrics),
    )
    publisher = JobEventPublisher(bus, job_metrics)
    limits = TenantLimits(database, bus, fresh_s=settings.limits_fresh_s)
    rules = ClassRuleCache(database, bus)
    policies = TenantPolicies(limits=limits, rules=rules)
    loaded_models = LoadedModels(forget_after_s=2 * settings.lease_s)
    dispatcher = JobDispatcher(
        database,
        fleet,
        publisher,
        job_metrics,
        policies=policies,
        loaded=loaded_models,
        history=run_time_history,
        lease_s=settings.lease_s,
        frames_per_image=settings.frames_per_image,
        node_attempts=settings.node_attempts,
        warm_bound_s=settings.warm_bound_s,
    )
    reclaimer, usage = PrefetchReclaimer(database, bus, dispatcher), DailyUsageReader(database)
    lifecycle = AttemptLifecycle(
        database,
        fleet,
        publisher,
        job_metrics,
        learner,
        cordon=FailingNodeCordon(database, reclaimer, job_metrics, after_jobs=settings.cordon_after_jobs),
        max_attempts=settings.max_attempts,
        lease_s=settings.lease_s,
    )
    checker = WorkflowChecker(policies=policies, fleet=fleet, frames_per_image=settings.frames_per_image)
    submitter = JobSubmitter(
        limits=limits,
        checker=checker,
        fleet=fleet,
        admission=JobAdmission(database, reader, learner),
        on_jobs_queued=dispatcher.announce_jobs,
    )
    canceller, withdrawer = (
        JobCanceller(database, bus, reader, publisher),
        AttemptWithdrawer(database, bus, publisher, job_metrics),
    )
    consumers.register_jobs(
        bus,
        submitter=submitter,
        reader=reader,
        outputs=OutputLister(database),
        canceller=canceller,
        current_usage=CurrentUsageReader(database, limits=limits),
    )
    consumers.register_workflows(
        bus,
        validator=WorkflowValidator(database, limits=limits, checker=checker),
        describer=WorkflowDescriber(fleet),
    )
    consumers.register_fleet(bus, fleet=fleet, policies=policies)
    dead_letters = DeadLetters(database, lifecycle)
    consumers.register_attempts(
        bus,
        dispatcher=dispatcher,
        lifecycle=lifecycle,
        reserver=ImageReserver(database),
        heartbeats=HeartbeatRecorder(
            database,
            fleet,
            loaded_models,
            lease_s=settings.lease_s,
            forget_after_s=settings.node_forgotten_s,
            node_attempts=settings.node_attempts,
            metrics=job_metrics,
        ),
        dead_letters=dead_letters,
    )
    consumers.register_operations(
        bus,
        nodes=AdminNodeActions(
            database, withdrawer, reclaimer, offline_after_s=settings.lease_s, on_uncordon=dispatcher.schedule_recheck
        ),
        previewer=NodeActionPreviewer(database, fleet, offline_after_s=settings.lease_s),
        searcher=JobSearcher(database, reader),
        jobs=AdminJobActions(
            database, publisher, reader=reader, canceller=canceller, submitter=submitter, withdrawer=withdrawer
        ),
    )
    consumers.register_reports(
        bus,
        stats=StatsReader(database, offline_after_s=settings.lease_s),
        queue=QueueReader(database, reader),
        trends=TrendReader(database, offline_after_s=settings.lease_s),
        usage=usage,
    )
    consumers.register_dead_letters(bus, dead_letters=dead_letters)
    purger = JobPurger(database)
    consumers.register_retention(bus, purger=purger)
    relay = OutboxRelay(database, bus)
    relay_loop = Loop("scheduler.relay", relay.tick, every_s=1.0)
    attempt_ender = end_attempts.AttemptEnder(
        bus, lifecycle, JobExpirer(database, publisher), withdrawer, lease_s=settings.lease_s
    )
    stream_restorer = restore_streams.StreamRestorer(
        bus, relay, relay_loop, replicas=settings.stream_replicas, event_bytes=settings.event_stream_bytes
    )
    meter = FleetMeter(
        database,
        relay,
        metrics,
        job_metrics,
        offline_after_s=settings.lease_s,
        forget_after_s=settings.node_forgotten_s,
    )
    trend_recorder = TrendRecorder(database, offline_after_s=settings.lease_s)
    loops = [
        Loop("scheduler.restore_streams", stream_restorer.tick, every_s=restore_streams.EVERY_S),
        relay_loop,
        dispatcher.wake_loop,
        Loop(
            "scheduler.reclaim_prefetched",
            reclaimer.reclaim_for_waiting_nodes,
            every_s=reclaim_prefetched.EVERY_S,
        ),
        Loop("scheduler.end_attempts", attempt_ender.tick, every_s=end_attempts.EVERY_S),
        Loop("scheduler.observe_availability", attempt_ender.observe, every_s=end_attempts.OBSERVE_EVERY_S),
        Loop("scheduler.measure_fleet", meter.measure_fleet, every_s=MEASURE_EVERY_S),
        Loop("scheduler.record_trends", trend_recorder.tick, every_s=RECORD_EVERY_S),
        Loop("scheduler.learn_run_times", learner.save_recorded, every_s=LEARN_EVERY_S),
        Loop("scheduler.prune_run_times", learner.prune_run_times, every_s=PRUNE_EVERY_S),
        Loop("scheduler.prune_trends", trend_recorder.prune_totals, every_s=PRUNE_EVERY_S),
        Loop("scheduler.prune_usage", usage.prune_usage, every_s=PRUNE_EVERY_S),
        Loop("scheduler.prune_catalogs", fleet.prune_catalogs, every_s=PRUNE_EVERY_S),
        Loop("scheduler.prune_dead_letters", dead_letters.prune_letters, every_s=PRUNE_EVERY_S),
        create_retention_loop(purger, limits, every_s=settings.retention_every_s),
        create_erasure_loop(TenantEraser(database, bus, canceller)),
        consumers.follow_tenant_changes(bus, limits),
        consumers.follow_class_rules(bus, rules),
        consumers.follow_stopping_executors(bus, dispatcher),
    ]

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        listener = asyncio.create_task(
            database.listen(
                {
                    outbox.NOTIFY_CHANNEL: lambda _: relay_loop.wake(),
                    REQUIREMENTS_CHANNEL: lambda _: fleet.mark_requirements_stale(),
                    WORK_CHANNEL: dispatcher.handle_notification,
                }
            ),
            name="scheduler.listen",
        )
        async with run_service(
            bus,
            database=database,
            schema=schema,
            within_s=settings.start_within_s,
            startup=startup,
            metrics=metrics,
            loops=loops,
        ):
            yield
            dispatcher.close()
        await database.close()
        listener.cancel()
        with suppress(asyncio.CancelledError):
            await listener

    dependencies = {"nats": bus.probe, "postgres": database.probe, "streams": stream_restorer.probe}
    probes = {**dependencies, "schema": schema.probe, "startup": startup.probe}
    return create_web_app(
        "scheduler", lifespan=lifespan, metrics=metrics, probes=probes, dependencies=dependencies, shutdown=shutdown
    )
