"""The NATS requests that the scheduler answers and the events that it follows."""

from uuid import UUID

from chassis.database.postgres import UNAVAILABLE_ERRORS
from chassis.loop import Loop
from chassis.messaging.bus import Bus, Unsubscribe
from chassis.messaging.metadata import Metadata
from chassis.messaging.subscription_loop import create_subscription_loop
from chassis.telemetry.logs import log
from contracts.auth.accounts import UnknownTenant
from contracts.auth.changes import USER_CHANGED, UserChanged
from contracts.auth.class_rules import CLASS_RULES_CHANGED
from contracts.auth.tiers import TIER_CHANGED, TierLimits
from contracts.graph_policy.policy import ClassRules, TenantPolicy
from contracts.preview import Preview
from contracts.scheduler.attempts import (
    CANCEL_WORK_REQUESTS,
    FINISH_ATTEMPT,
    REQUEST_WORK,
    RESERVE_IMAGES,
    START_ATTEMPT,
    AttemptWriteReply,
    CancelWorkRequests,
    FinishAttempt,
    FinishReply,
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
from contracts.scheduler.nodes import (
    LIST_NODES,
    PREVIEW_NODE_ACTION,
    RUN_NODE_ACTION,
    ListNodes,
    NodeActionReply,
    Nodes,
    RunNodeAction,
)
from contracts.scheduler.output_lists import LIST_OUTPUTS, ListOutputs, OutputPage
from contracts.scheduler.purges import FIND_JOBS, PURGE_JOB, ExistingJobs, FindJobs, PurgeJob, PurgeReply
from contracts.scheduler.queue import READ_QUEUE, Queue, ReadQueue
from contracts.scheduler.search import INSPECT_JOB, SEARCH_JOBS, AdminJobPage, InspectJob, JobWithAttempts, SearchJobs
from contracts.scheduler.statistics import READ_STATS, ReadStats, Stats
from contracts.scheduler.submissions import SUBMIT_JOB, VALIDATE_WORKFLOW, SubmitJob, SubmitReply, ValidationReply
from contracts.scheduler.trends import READ_TRENDS, ReadTrends, Trends
from contracts.scheduler.usage import (  # fmt: skip
    READ_DAILY_USAGE,
    READ_TENANT_USAGE,
    DailyUsage,
    ReadDailyUsage,
    ReadTenantUsage,
    TenantUsage,
)
from contracts.scheduler.workflow_forms import DESCRIBE_WORKFLOW, DescribeWorkflow, WorkflowForm
from contracts.wire.dead_letters import DeadLetterPage, ListDeadLetters, RedriveDeadLetter, Redriven
from contracts.wire.topic import FLEET, Address
from scheduler.usecases.admin_job_actions import AdminJobActions
from scheduler.usecases.admin_node_actions import AdminNodeActions
from scheduler.usecases.attempt_lifecycle import AttemptLifecycle
from scheduler.usecases.cancel_job import JobCanceller
from scheduler.usecases.class_rule_cache import READ_EVERY_S, ClassRuleCache
from scheduler.usecases.dead_letters import DeadLetters
from scheduler.usecases.describe_workflow import WorkflowDescriber
from scheduler.usecases.dispatch_jobs import JobDispatcher
from scheduler.usecases.fleet_state import FleetState
from scheduler.usecases.list_outputs import OutputLister
from scheduler.usecases.preview_node_actions import NodeActionPreviewer
from scheduler.usecases.purge_jobs import JobPurger
from scheduler.usecases.read_current_usage import CurrentUsageReader
from scheduler.usecases.read_daily_usage import DailyUsageReader
from scheduler.usecases.read_job import JobReader
from scheduler.usecases.read_queue import QueueReader
from scheduler.usecases.read_stats import StatsReader
from scheduler.usecases.record_heartbeats import HeartbeatRecorder
from scheduler.usecases.reserve_images import ImageReserver
from scheduler.usecases.search_jobs import JobSearcher
from scheduler.usecases.submit_job import JobSubmitter
from scheduler.usecases.tenant_limits import TenantLimits
from scheduler.usecases.tenant_policies import TenantPolicies
from scheduler.usecases.trends import TrendReader
from scheduler.usecases.validate_workflow import WorkflowValidator


def register_jobs(
    bus: Bus,
    *,
    submitter: JobSubmitter,
    reader: JobReader,
    outputs: OutputLister,
    canceller: JobCanceller,
    current_usage: CurrentUsageReader,
) -> None:
    """Serve requests about one tenant's jobs. The tenant is taken from the subject, never from the payload."""

    async def submit_job(command: SubmitJob, address: Address) -> SubmitReply:
        return await submitter.submit_job(
            _parse_tenant_id(address), command, size_bytes=address.size_bytes, deadline=address.deadline
        )

    async def read_job(query: ReadJob, address: Address) -> JobWithEvents:
        return await reader.read_job(_parse_tenant_id(address), query)

    async def list_jobs(query: ListJobs, address: Address) -> JobPage:
        return await reader.list_jobs(_parse_tenant_id(address), query)

    async def list_outputs(query: ListOutputs, address: Address) -> OutputPage:
        return await outputs.list_outputs(_parse_tenant_id(address), query)

    async def cancel_job(command: CancelJob, address: Address) -> JobWithEvents:
        return await canceller.cancel_job(_parse_tenant_id(address), command)

    async def read_current_usage(_: ReadTenantUsage, address: Address) -> TenantUsage:
        return await current_usage.read_current_usage(_parse_tenant_id(address))

    bus.serve(SUBMIT_JOB, submit_job)
    bus.serve(READ_JOB, read_job)
    bus.serve(LIST_JOBS, list_jobs)
    bus.serve(LIST_OUTPUTS, list_outputs)
    bus.serve(CANCEL_JOB, cancel_job)
    bus.serve(READ_TENANT_USAGE, read_current_usage)


def register_workflows(bus: Bus, *, validator: WorkflowValidator, describer: WorkflowDescriber) -> None:
    """Serve requests to validate or describe a workflow without running it."""

    async def validate_workflow(command: SubmitJob, address: Address) -> ValidationReply:
        return await validator.validate_workflow(_parse_tenant_id(address), command, size_bytes=address.size_bytes)

    async def describe_workflow(query: DescribeWorkflow, address: Address) -> WorkflowForm:
        return await describer.describe_workflow(query, size_bytes=address.size_bytes)

    bus.serve(VALIDATE_WORKFLOW, validate_workflow)
    bus.serve(DESCRIBE_WORKFLOW, describe_workflow)


def register_fleet(bus: Bus, *, fleet: FleetState, policies: TenantPolicies) -> None:
    """Serve requests about models, node classes and nodes of the fleet."""

    async def load_policy(address: Address) -> TenantPolicy | None:
        """Return the policy of the tenant in the subject, or None for a request about the whole fleet."""
        if address.tenant == FLEET:
            return None
        return await policies.load_fresh_policy(_parse_tenant_id(address))

    async def read_fleet(_: ReadFleet, address: Address) -> Fleet:
        return await fleet.read_fleet(await load_policy(address))

    async def read_classes(query: ReadClasses, address: Address) -> ClassPage:
        return await fleet.list_classes(query, await load_policy(address))

    bus.serve(READ_FLEET, read_fleet)
    bus.serve(READ_CLASSES, read_classes)


def register_attempts(
    bus: Bus,
    *,
    dispatcher: JobDispatcher,
    lifecycle: AttemptLifecycle,
    reserver: ImageReserver,
    heartbeats: HeartbeatRecorder,
    dead_letters: DeadLetters,
) -> None:
    """Serve requests of executors. The node is taken from the subject, to which the executor's login is bound.

    A message that can never be handled is refused and recorded as a dead letter.
    """

    async def lease_attempt(request: RequestWork, address: Address) -> WorkReply:
        return await dispatcher.lease_attempt(_get_node_name(address), request)

    async def start_attempt(command: StartAttempt, address: Address) -> AttemptWriteReply:
        return await lifecycle.start_attempt(_get_node_name(address), command)

    async def finish_attempt(command: FinishAttempt, address: Address) -> FinishReply:
        node = _get_node_name(address)
        applied = (await lifecycle.finish_attempt(node, command)).applied
        assignment = await dispatcher.lease_next_attempt(node, command.request) if command.request else None
        return FinishReply(applied=applied, assignment=assignment)

    async def reserve_images(command: ReserveImages, address: Address) -> ImagesReserved:
        return await reserver.reserve_images(_get_node_name(address), command)

    async def record_heartbeat(command: Heartbeat, address: Address) -> HeartbeatReply:
        return await heartbeats.record_heartbeat(_get_node_name(address), command)

    async def save_catalog(command: ReportCatalog, address: Address) -> AttemptWriteReply:
        return await heartbeats.save_catalog(_get_node_name(address), command)

    bus.serve(REQUEST_WORK, lease_attempt, on_failure=dead_letters.record_and_end_attempt)
    bus.serve(START_ATTEMPT, start_attempt, on_failure=dead_letters.record_message)
    bus.serve(FINISH_ATTEMPT, finish_attempt, on_failure=dead_letters.record_message)
    bus.serve(RESERVE_IMAGES, reserve_images, on_failure=dead_letters.record_message)
    bus.serve(HEARTBEAT, record_heartbeat, on_failure=dead_letters.record_message)
    bus.serve(REPORT_CATALOG, save_catalog, on_failure=dead_letters.record_message)


def register_operations(
    bus: Bus,
    *,
    nodes: AdminNodeActions,
    previewer: NodeActionPreviewer,
    searcher: JobSearcher,
    jobs: AdminJobActions,
) -> None:
    """Serve requests of operators about nodes and jobs.

    The gateway has authorized them; NATS permissions keep everyone else out.
    """

    async def list_nodes(_: ListNodes, __: Address) -> Nodes:
        return await nodes.list_nodes()

    async def run_node_action(command: RunNodeAction, _: Address) -> NodeActionReply:
        return await nodes.run_action(command)

    async def preview_node_action(command: RunNodeAction, _: Address) -> Preview:
        return await previewer.preview_action(command)

    async def search_jobs(query: SearchJobs, _: Address) -> AdminJobPage:
        return await searcher.search_jobs(query)

    async def inspect_job(query: InspectJob, _: Address) -> JobWithAttempts:
        return await searcher.inspect_job(query.job_id)

    async def run_job_action(command: RunJobAction, _: Address) -> JobActionReply:
        return JobActionReply(job=await jobs.run_action(command))

    bus.serve(LIST_NODES, list_nodes)
    bus.serve(RUN_NODE_ACTION, run_node_action)
    bus.serve(PREVIEW_NODE_ACTION, preview_node_action)
    bus.serve(SEARCH_JOBS, search_jobs)
    bus.serve(INSPECT_JOB, inspect_job)
    bus.serve(RUN_JOB_ACTION, run_job_action)


def register_reports(
    bus: Bus, *, stats: StatsReader, queue: QueueReader, trends: TrendReader, usage: DailyUsageReader
) -> None:
    """Serve requests of operators about the whole fleet, authorized as in ``register_operations``."""

    async def read_stats(_: ReadStats, __: Address) -> Stats:
        return await stats.read_stats()

    async def read_queue(query: ReadQueue, _: Address) -> Queue:
        return await queue.read_queue(query)

    async def read_trends(query: ReadTrends, _: Address) -> Trends:
        return await trends.read_trends(query)

    async def read_usage(query: ReadDailyUsage, address: Address) -> DailyUsage:
        tenant_id = None if address.tenant == FLEET else _parse_tenant_id(address)
        return await usage.read_daily_usage(tenant_id, days=query.days)

    bus.serve(READ_STATS, read_stats)
    bus.serve(READ_QUEUE, read_queue)
    bus.serve(READ_TRENDS, read_trends)
    bus.serve(READ_DAILY_USAGE, read_usage)


def register_dead_letters(bus: Bus, *, dead_letters: DeadLetters) -> None:
    """Serve the list of dead letters. Requests to handle one again are refused."""

    async def list_dead_letters(query: ListDeadLetters, _: Address) -> DeadLetterPage:
        return await dead_letters.list_letters(query)

    async def redrive_dead_letter(command: RedriveDeadLetter, _: Address) -> Redriven:
        return await dead_letters.refuse_redrive(command)

    bus.serve(LIST_DEAD_LETTERS, list_dead_letters)
    bus.serve(REDRIVE_DEAD_LETTER, redrive_dead_letter)


def register_retention(bus: Bus, *, purger: JobPurger) -> None:
    """Serve the deletion of ended jobs, and the reads that deletion and export need."""

    async def purge_job(command: PurgeJob, address: Address) -> PurgeReply:
        return await purger.purge_job(_parse_tenant_id(address), command)

    async def find_jobs(query: FindJobs, _: Address) -> ExistingJobs:
        return await purger.find_jobs(query)

    async def read_graph(query: ReadJobGraph, address: Address) -> JobGraph:
        return await purger.read_graph(_parse_tenant_id(address), query)

    bus.serve(PURGE_JOB, purge_job)
    bus.serve(FIND_JOBS, find_jobs)
    bus.serve(READ_JOB_GRAPH, read_graph)


def follow_tenant_changes(bus: Bus, limits: TenantLimits) -> Loop:
    """Return a loop that subscribes to changes of tenants and tiers.

    Changes may be missed while NATS is unavailable, so all cached limits are dropped after each reconnection.
    """

    async def on_user_changed(user: UserChanged, metadata: Metadata) -> None:
        try:
            await limits.apply_change(user)
        except UNAVAILABLE_ERRORS as error:  # the cached limits were dropped, so they will be requested from auth
            log.warning("scheduler.change_unsaved", subject=metadata.subject, error=type(error).__name__)

    async def on_tier_changed(_: TierLimits, __: Metadata) -> None:
        limits.drop_cached_limits()

    bus.on_connect(limits.drop_cached_limits)
    return create_subscription_loop(
        "scheduler.follow_tenant_changes",
        (lambda: bus.subscribe(USER_CHANGED, on_user_changed), lambda: bus.subscribe(TIER_CHANGED, on_tier_changed)),
    )


def follow_stopping_executors(bus: Bus, dispatcher: JobDispatcher) -> Loop:
    """Return a loop that subscribes to hints of executors that are being stopped.

    Every replica may hold their requests.
    """

    async def on_cancel(hint: CancelWorkRequests, _: Metadata) -> None:
        dispatcher.cancel_requests(hint.boot_id)

    return create_subscription_loop(
        "scheduler.follow_stopping_executors", (lambda: bus.subscribe(CANCEL_WORK_REQUESTS, on_cancel),)
    )


def follow_class_rules(bus: Bus, rules: ClassRuleCache) -> Loop:
    """Return a loop that subscribes to changes of the node class rules.

    It also requests the rules from auth every ``READ_EVERY_S`` seconds, and at once after a reconnection.
    """
    subscriptions: list[Unsubscribe] = []

    async def on_rules_changed(changed: ClassRules, _: Metadata) -> None:
        await rules.apply_change(changed)
        loop.wake()  # two changes may arrive in the wrong order

    async def tick() -> None:
        if not subscriptions:
            subscriptions.append(await bus.subscribe(CLASS_RULES_CHANGED, on_rules_changed))
        await rules.refresh_rules()

    loop = Loop("scheduler.follow_class_rules", tick, every_s=READ_EVERY_S)
    bus.on_connect(loop.wake)
    return loop


def _parse_tenant_id(address: Address) -> UUID:
    try:
        return UUID(address.tenant)
    except ValueError:
        raise UnknownTenant from None


def _get_node_name(address: Address) -> str:
    return address.key or ""
