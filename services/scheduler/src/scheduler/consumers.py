"""What the scheduler answers over NATS."""

from collections.abc import Sequence
from uuid import UUID

from chassis.database.postgres import AWAY
from chassis.loop import Loop
from chassis.messaging.bus import Bus, Unsubscribe
from chassis.messaging.metadata import Metadata
from chassis.messaging.serving import Request
from chassis.telemetry.logs import log
from contracts.auth.accounts import UnknownTenant
from contracts.auth.changes import USER_CHANGED, UserChanged
from contracts.auth.class_rules import CLASS_RULES_CHANGED
from contracts.auth.tiers import TIER_CHANGED, TierLimits
from contracts.graph_policy.policy import ClassRules, TenantPolicy
from contracts.scheduler.attempts import (
    FINISH_ATTEMPT,
    REQUEST_WORK,
    RESERVE_IMAGES,
    START_ATTEMPT,
    AttemptWriteReply,
    FinishAttempt,
    ImagesReserved,
    RequestWork,
    ReserveImages,
    StartAttempt,
    WorkReply,
)
from contracts.scheduler.dead_letters import LIST_DEAD_LETTERS, REDRIVE_DEAD_LETTER
from contracts.scheduler.fleet import READ_CLASSES, READ_FLEET, ClassPage, Fleet, ReadClasses, ReadFleet
from contracts.scheduler.heartbeats import HEARTBEAT, REPORT_CATALOG, Heartbeat, HeartbeatReply, ReportCatalog
from contracts.scheduler.job_actions import RUN_JOB_ACTION, JobActionReply, RunJobAction
from contracts.scheduler.jobs import (
    CANCEL_JOB,
    LIST_JOBS,
    READ_JOB,
    READ_JOB_GRAPH,
    CancelJob,
    JobGraph,
    JobPage,
    JobWithEvents,
    ListJobs,
    ReadJob,
    ReadJobGraph,
)
from contracts.scheduler.nodes import LIST_NODES, RUN_NODE_ACTION, ListNodes, NodeActionReply, Nodes, RunNodeAction
from contracts.scheduler.purges import FIND_JOBS, PURGE_JOB, ExistingJobs, FindJobs, PurgeJob, PurgeReply
from contracts.scheduler.search import INSPECT_JOB, SEARCH_JOBS, AdminJobPage, InspectJob, JobWithAttempts, SearchJobs
from contracts.scheduler.statistics import READ_STATS, ReadStats, Stats
from contracts.scheduler.submissions import SUBMIT_JOB, VALIDATE_WORKFLOW, SubmitJob, SubmitReply, ValidationReply
from contracts.scheduler.usage import (  # fmt: skip
    READ_DAILY_USAGE,
    READ_TENANT_USAGE,
    DailyUsage,
    ReadDailyUsage,
    ReadTenantUsage,
    TenantUsage,
)
from contracts.wire.dead_letters import DeadLetterPage, ListDeadLetters, RedriveDeadLetter, Redriven
from contracts.wire.topic import FLEET, Address
from scheduler.usecases.ask_work import JobDispatcher
from scheduler.usecases.attempt_course import AttemptLifecycle
from scheduler.usecases.cancel_job import JobCanceller
from scheduler.usecases.class_rule_cache import READ_EVERY_S, ClassRuleCache
from scheduler.usecases.dead_letters import DeadLetters
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

HEAR_EVERY_S = 3600.0  # once it hears there is nothing left to do


def register_jobs(
    bus: Bus,
    *,
    submitter: JobSubmitter,
    validator: WorkflowValidator,
    reader: JobReader,
    canceller: JobCanceller,
    uses: UseReader,
) -> None:
    """Serve what clients ask. The tenant is the subject's, never the payload's."""

    async def submit(requests: Sequence[Request], address: Address) -> Sequence[SubmitReply | Exception]:
        return await submitter.submit_all(_tenant(address), requests)

    async def validate(command: SubmitJob, address: Address) -> ValidationReply:
        return await validator.validate(_tenant(address), command, size_bytes=address.size_bytes)

    async def read(query: ReadJob, address: Address) -> JobWithEvents:
        return await reader.read(_tenant(address), query)

    async def list_jobs(query: ListJobs, address: Address) -> JobPage:
        return await reader.page(_tenant(address), query)

    async def cancel(command: CancelJob, address: Address) -> JobWithEvents:
        return await canceller.cancel(_tenant(address), command)

    async def read_use(_: ReadTenantUsage, address: Address) -> TenantUsage:
        return await uses.read(_tenant(address))

    bus.serve_together(SUBMIT_JOB, submit)
    bus.serve(VALIDATE_WORKFLOW, validate)
    bus.serve(READ_JOB, read)
    bus.serve(LIST_JOBS, list_jobs)
    bus.serve(CANCEL_JOB, cancel)
    bus.serve(READ_TENANT_USAGE, read_use)


def register_fleet(bus: Bus, *, fleet: FleetKnowledge, policies: TenantPolicies) -> None:
    """Serve what clients ask about the fleet."""

    async def policy_for(address: Address) -> TenantPolicy | None:
        """The policy of the tenant in the subject; none where the question is about the whole fleet."""
        if address.tenant == FLEET:
            return None
        return await policies.fresh_policy_of(_tenant(address))

    async def read_fleet(_: ReadFleet, address: Address) -> Fleet:
        return await fleet.read(await policy_for(address))

    async def read_classes(query: ReadClasses, address: Address) -> ClassPage:
        return await fleet.classes(query, await policy_for(address))

    bus.serve(READ_FLEET, read_fleet)
    bus.serve(READ_CLASSES, read_classes)


def register_attempts(
    bus: Bus,
    *,
    desk: JobDispatcher,
    course: AttemptLifecycle,
    reserver: ImageReserver,
    heartbeats: Heartbeats,
    dead_letters: DeadLetters,
) -> None:
    """Serve what executors ask. The node is the subject's, which the executor's login is bound to.

    A message that can never be handled is kept, and refused for good.
    """

    async def ask(question: RequestWork, address: Address) -> WorkReply:
        return await desk.ask(_node(address), question)

    async def start(command: StartAttempt, address: Address) -> AttemptWriteReply:
        return await course.start(_node(address), command)

    async def finish(command: FinishAttempt, address: Address) -> AttemptWriteReply:
        return await course.finish(_node(address), command)

    async def reserve(command: ReserveImages, address: Address) -> ImagesReserved:
        return await reserver.reserve(_node(address), command)

    async def beat(command: Heartbeat, address: Address) -> HeartbeatReply:
        return await heartbeats.beat(_node(address), command)

    async def report(command: ReportCatalog, address: Address) -> AttemptWriteReply:
        return await heartbeats.report(_node(address), command)

    bus.serve(REQUEST_WORK, ask, when_failed=dead_letters.keep_and_free)
    bus.serve(START_ATTEMPT, start, when_failed=dead_letters.keep)
    bus.serve(FINISH_ATTEMPT, finish, when_failed=dead_letters.keep)
    bus.serve(RESERVE_IMAGES, reserve, when_failed=dead_letters.keep)
    bus.serve(HEARTBEAT, beat, when_failed=dead_letters.keep)
    bus.serve(REPORT_CATALOG, report, when_failed=dead_letters.keep)


def register_operations(
    bus: Bus,
    *,
    nodes: AdminNodeActions,
    searcher: JobSearcher,
    jobs: AdminJobActions,
    stats: StatsReader,
    usage: UsageReader,
) -> None:
    """Serve what operators ask. That they may was decided by whoever asks us."""

    async def list_nodes(_: ListNodes, __: Address) -> Nodes:
        return await nodes.list()

    async def order_node(command: RunNodeAction, _: Address) -> NodeActionReply:
        return await nodes.order(command)

    async def search(query: SearchJobs, _: Address) -> AdminJobPage:
        return await searcher.page(query)

    async def inspect(query: InspectJob, _: Address) -> JobWithAttempts:
        return await searcher.inspect(query.job_id)

    async def order_job(command: RunJobAction, _: Address) -> JobActionReply:
        return JobActionReply(job=await jobs.order(command))

    async def read_stats(_: ReadStats, __: Address) -> Stats:
        return await stats.read()

    async def read_usage(query: ReadDailyUsage, address: Address) -> DailyUsage:
        whose = None if address.tenant == FLEET else _tenant(address)
        return await usage.read(whose, days=query.days)

    bus.serve(LIST_NODES, list_nodes)
    bus.serve(RUN_NODE_ACTION, order_node)
    bus.serve(SEARCH_JOBS, search)
    bus.serve(INSPECT_JOB, inspect)
    bus.serve(RUN_JOB_ACTION, order_job)
    bus.serve(READ_STATS, read_stats)
    bus.serve(READ_DAILY_USAGE, read_usage)


def register_dead_letters(bus: Bus, *, dead_letters: DeadLetters) -> None:
    """Serve what operators ask of messages that can never be handled."""

    async def list_dead_letters(query: ListDeadLetters, _: Address) -> DeadLetterPage:
        return await dead_letters.page(query)

    async def redrive(command: RedriveDeadLetter, _: Address) -> Redriven:
        return await dead_letters.refuse_to_redrive(command)

    bus.serve(LIST_DEAD_LETTERS, list_dead_letters)
    bus.serve(REDRIVE_DEAD_LETTER, redrive)


def register_retention(bus: Bus, *, purger: JobPurger) -> None:
    """Serve what concerns the end of ended jobs."""

    async def purge(command: PurgeJob, address: Address) -> PurgeReply:
        return await purger.purge(_tenant(address), command)

    async def find(query: FindJobs, _: Address) -> ExistingJobs:
        return await purger.find(query)

    async def read_graph(query: ReadJobGraph, address: Address) -> JobGraph:
        return await purger.graph(_tenant(address), query)

    bus.serve(PURGE_JOB, purge)
    bus.serve(FIND_JOBS, find)
    bus.serve(READ_JOB_GRAPH, read_graph)


def hear_changes(bus: Bus, limits: TenantLimits) -> Loop:
    """Hear of changes of tenants and tiers; the loop begins it. What is missed while NATS is away is asked for."""
    subscriptions: list[Unsubscribe] = []

    async def on_user(user: UserChanged, metadata: Metadata) -> None:
        try:
            await limits.hear(user)
        except AWAY as error:  # it is forgotten, so it will be asked for
            log.warning("scheduler.change_unsaved", subject=metadata.subject, error=type(error).__name__)

    async def on_tier(_: TierLimits, __: Metadata) -> None:
        limits.forget()

    async def begin() -> None:
        if not subscriptions:
            subscriptions.append(await bus.subscribe(USER_CHANGED, on_user))
            subscriptions.append(await bus.subscribe(TIER_CHANGED, on_tier))

    bus.when_connected(limits.forget)
    return Loop("scheduler.hear_changes", begin, every_s=HEAR_EVERY_S)


def hear_class_rules(bus: Bus, rules: ClassRuleCache) -> Loop:
    """Hear of changes of the rules about node classes; the loop also asks for them, at once after a reconnection."""
    subscriptions: list[Unsubscribe] = []

    async def on_changed(changed: ClassRules, _: Metadata) -> None:
        await rules.hear(changed)
        loop.wake()  # two changes may be heard in the wrong order

    async def tick() -> None:
        if not subscriptions:
            subscriptions.append(await bus.subscribe(CLASS_RULES_CHANGED, on_changed))
        await rules.refresh()

    loop = Loop("scheduler.hear_class_rules", tick, every_s=READ_EVERY_S)
    bus.when_connected(loop.wake)
    return loop


def _tenant(address: Address) -> UUID:
    try:
        return UUID(address.tenant)
    except ValueError:
        raise UnknownTenant from None


def _node(address: Address) -> str:
    return address.key or ""
