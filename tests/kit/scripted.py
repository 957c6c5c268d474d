"""Scripted auth and scheduler that reply on a real NATS with data set by a test."""

from collections import defaultdict
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from chassis.messaging.bus import Bus
from contracts.auth.changes import USER_CHANGED, UserChanged
from contracts.auth.tiers import TIER_CHANGED, TierLimits
from contracts.catalog import ClassSpec
from contracts.permissions import inbox_prefix
from contracts.scheduler.fleet import (
    READ_CLASSES,
    READ_FLEET,
    ClassPage,
    Fleet,
    FleetClass,
    NodeSummary,
    ReadClasses,
    ReadFleet,
)
from contracts.scheduler.jobs import (
    CANCEL_JOB,
    FINAL_STATES,
    LIST_JOBS,
    READ_JOB,
    READ_JOB_GRAPH,
    STATUS_OF_STATE,
    CancelJob,
    Job,
    JobError,
    JobEvent,
    JobGraph,
    JobPage,
    JobState,
    JobWithEvents,
    ListJobs,
    ReadJob,
    ReadJobGraph,
    Timings,
    UnknownJob,
)
from contracts.scheduler.output_lists import LIST_OUTPUTS, ListedOutput, ListOutputs, OutputPage
from contracts.scheduler.outputs import Output, OutputKind
from contracts.scheduler.purges import FIND_JOBS, PURGE_JOB, ExistingJobs, FindJobs, JobNotEnded, PurgeJob, PurgeReply
from contracts.scheduler.search import INSPECT_JOB, AttemptSummary, InspectJob, JobWithAttempts
from contracts.scheduler.submissions import SUBMIT_JOB, IdempotencyKeyReused, InvalidWorkflow, SubmitJob, SubmitReply
from contracts.scheduler.usage import READ_DAILY_USAGE, DailyUsage, Quota, ReadDailyUsage, UsageDay
from contracts.wire.errors import Unavailable
from contracts.wire.topic import Address
from tests.kit.scripted_auth import ScriptedAuth

CHECKPOINT = "CheckpointLoaderSimple.ckpt_name"


def output_of(artifact_id: UUID, content: bytes, *, name: str = "a.png", sha256: str = "0" * 64, **more: Any) -> Output:
    fields: dict[str, Any] = {"node_id": "9", "kind": OutputKind.IMAGE, "content_type": "image/png"} | more
    return Output(id=artifact_id, name=name, size_bytes=len(content), sha256=sha256, **fields)


class ScriptedScheduler:
    """Stores jobs and their events, and publishes the changes that a test makes."""

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        """Delete all state, for the next test."""
        self.jobs: dict[UUID, Job] = {}
        self.logs: dict[UUID, list[JobEvent]] = defaultdict(list)
        self.graphs: dict[UUID, dict[str, Any]] = {}
        self.attempts: dict[UUID, list[AttemptSummary]] = defaultdict(list)
        self.submits: list[SubmitJob] = []
        self.lists: list[ListJobs] = []
        self.output_lists: list[ListOutputs] = []
        self.keys: dict[str, tuple[str, UUID]] = {}
        self.models: dict[str, tuple[str, ...]] = {CHECKPOINT: ("common.safetensors", "rare.safetensors")}
        self.default_models: tuple[str, ...] | None = None  # None: all checkpoints
        self.node_classes: dict[str, ClassSpec] = {}
        self.refused_classes: dict[str, str] = {}
        self.asked_for: list[str] = []  # tenants of requests for classes
        self.before_submit: Callable[[SubmitJob], None] = lambda _: None
        self.reads = 0
        self.finds = 0  # number of requests that ask which jobs exist
        self.busy = 0  # number of following job requests to fail
        self.used: dict[str, tuple[UsageDay, ...]] = {}

    async def submit(self, asked: SubmitJob, address: Address) -> SubmitReply:
        self.submits.append(asked)
        self.before_submit(asked)
        kept = self.keys.get(asked.idempotency_key or "")
        if kept and kept[0] != asked.request_hash:
            raise IdempotencyKeyReused
        if not kept and not asked.graph:
            raise InvalidWorkflow(())
        job_id = kept[1] if kept else asked.job_id
        if job_id not in self.jobs:
            self.add(UUID(address.tenant), job_id, labels=asked.labels, model=asked.model, seed=asked.seed)
        if asked.idempotency_key:
            self.keys[asked.idempotency_key] = (asked.request_hash, job_id)
        quota = Quota(limit=10, used=min(10, len(self.jobs)), resets_at=datetime.now(UTC) + timedelta(hours=1))
        return SubmitReply(job=self.jobs[job_id], replayed=kept is not None, quota=quota)

    async def read(self, asked: ReadJob, address: Address) -> JobWithEvents:
        self.reads += 1
        self._fail_if_busy()
        job = self._own(asked.job_id, address)
        after = asked.after
        events = () if after is None else tuple(event for event in self.logs[asked.job_id] if event.seq > after)
        return JobWithEvents(job=job, events=events)

    def _fail_if_busy(self) -> None:
        if self.busy:
            self.busy -= 1
            raise Unavailable(service="scheduler", retry_after_s=1)

    async def cancel(self, asked: CancelJob, address: Address) -> JobWithEvents:
        self._fail_if_busy()
        job = self._own(asked.job_id, address)
        if job.state not in FINAL_STATES:
            self.change(asked.job_id, JobState.CANCELLED)
        return JobWithEvents(job=self.jobs[asked.job_id])

    async def purge(self, asked: PurgeJob, address: Address) -> PurgeReply:
        job = self._own(asked.job_id, address)
        if job.state not in FINAL_STATES:
            raise JobNotEnded(status=STATUS_OF_STATE[job.state])
        del self.jobs[asked.job_id]
        return PurgeReply()

    async def find(self, asked: FindJobs, _: Address) -> ExistingJobs:
        self.finds += 1
        there = [self.jobs[job_id] for job_id in asked.job_ids if job_id in self.jobs]
        return ExistingJobs(
            job_ids=tuple(job.job_id for job in there),
            ended=tuple(job.job_id for job in there if job.state in FINAL_STATES),
        )

    async def graph(self, asked: ReadJobGraph, address: Address) -> JobGraph:
        own = self._own(asked.job_id, address)
        return JobGraph(graph=self.graphs.get(own.job_id) or {"1": {"job": str(own.job_id)}})

    async def inspect(self, asked: InspectJob, _: Address) -> JobWithAttempts:
        return JobWithAttempts(job=self.jobs[asked.job_id], attempts=tuple(self.attempts[asked.job_id]))

    async def page(self, asked: ListJobs, address: Address) -> JobPage:
        self.lists.append(asked)
        own = [job for job in self.jobs.values() if str(job.tenant_id) == address.tenant]
        own.sort(key=lambda job: job.job_id, reverse=True)
        found = [
            job
            for job in own
            if (not asked.before or job.job_id < asked.before) and (not asked.states or job.state in asked.states)
        ]
        return JobPage(jobs=tuple(found[: asked.limit]), more=len(found) > asked.limit)

    async def outputs(self, asked: ListOutputs, address: Address) -> OutputPage:
        """Reply with the outputs of the tenant's jobs. All filters except the position are ignored."""
        self.output_lists.append(asked)
        own = [job for job in self.jobs.values() if str(job.tenant_id) == address.tenant]
        jobs = sorted(((job.completed_at, job.job_id, job) for job in own if job.completed_at), reverse=True)
        listed = [
            ListedOutput(
                job_id=job_id, index=index, completed_at=at, workflow=job.workflow, labels=job.labels, output=output
            )
            for at, job_id, job in jobs
            for index, output in enumerate(job.outputs)
        ]
        places = [(one.job_id, one.index) for one in listed]
        begin = places.index((asked.after.job_id, asked.after.index)) + 1 if asked.after else 0
        page = listed[begin : begin + asked.limit]
        return OutputPage(outputs=tuple(page), more=begin + len(page) < len(listed))

    async def fleet(self, _asked: ReadFleet, _: Address) -> Fleet:
        seen = NodeSummary(node="n", online=True, seen_at=datetime.now(UTC), job_id=None)
        defaults = self.models.get(CHECKPOINT, ()) if self.default_models is None else self.default_models
        return Fleet(models=self.models, default_models=defaults, classes=("KSampler",), nodes=(seen,))

    async def classes(self, asked: ReadClasses, address: Address) -> ClassPage:
        self.asked_for.append(address.tenant)
        shown = [name for name in self.node_classes if asked.refused or name not in self.refused_classes]
        names = [name for name in shown if (asked.after or "") < name and asked.name in {None, name}]
        found = [
            FleetClass(name=name, spec=self.node_classes[name], refused=self.refused_classes.get(name))
            for name in names[: asked.limit]
        ]
        return ClassPage(classes=tuple(found), more=len(found) < len(names))

    async def usage(self, _asked: ReadDailyUsage, address: Address) -> DailyUsage:
        return DailyUsage(days=self.used.get(address.tenant, ()))

    def add(self, tenant: UUID, job_id: UUID, **fields: Any) -> Job:
        """Add a queued job with its first event."""
        self.jobs[job_id] = Job(
            **{
                "job_id": job_id, "tenant_id": tenant, "state": JobState.QUEUED, "workflow": "custom", "priority": 0,
                "labels": {}, "attempt": 0, "progress": 0, "queue_position": 1, "eta_seconds": None, "images": 1,
                "seq": 0, "created_at": datetime.now(UTC), "started_at": None, "completed_at": None,
                "timings": Timings(), "outputs": (), "error": None,
            } | fields
        )  # fmt: skip
        self.change(job_id, JobState.QUEUED)
        return self.jobs[job_id]

    def change(
        self, job_id: UUID, state: JobState, *, outputs: tuple[Output, ...] = (), error: JobError | None = None
    ) -> JobEvent:
        """Append a state transition to a job's events. The test publishes it."""
        job = self.jobs[job_id]
        attempt = job.attempt + (state is JobState.LEASED)
        event = JobEvent(
            job_id=job_id, tenant_id=job.tenant_id, seq=job.seq + 1, state=state, cause="scripted",
            attempt=attempt, at=datetime.now(UTC), outputs=outputs, error=error,
        )  # fmt: skip
        changes = {"seq": event.seq, "state": state, "attempt": attempt, "outputs": outputs, "error": error}
        if state in FINAL_STATES:
            changes["completed_at"] = event.at
        self.jobs[job_id] = job.model_copy(update=changes)
        self.logs[job_id].append(event)
        return event

    def _own(self, job_id: UUID, address: Address) -> Job:
        job = self.jobs.get(job_id)
        if job is None or str(job.tenant_id) != address.tenant:
            raise UnknownJob
        return job


class Script:
    """Both scripted services on one connection each, and a third connection to publish as any service."""

    def __init__(self, nats_url: str) -> None:
        self.auth, self.scheduler = ScriptedAuth(), ScriptedScheduler()
        self._nats_url = nats_url
        self.auth_bus, self.scheduler_bus, self.bus = (self._bus(name) for name in ("auth", "scheduler", "executor"))
        self.auth.serve(self.auth_bus)
        self.scheduler_bus.serve(SUBMIT_JOB, self.scheduler.submit)
        self.scheduler_bus.serve(READ_JOB, self.scheduler.read)
        self.scheduler_bus.serve(CANCEL_JOB, self.scheduler.cancel)
        self.scheduler_bus.serve(PURGE_JOB, self.scheduler.purge)
        self.scheduler_bus.serve(FIND_JOBS, self.scheduler.find)
        self.scheduler_bus.serve(READ_JOB_GRAPH, self.scheduler.graph)
        self.scheduler_bus.serve(INSPECT_JOB, self.scheduler.inspect)
        self.scheduler_bus.serve(LIST_JOBS, self.scheduler.page)
        self.scheduler_bus.serve(LIST_OUTPUTS, self.scheduler.outputs)
        self.scheduler_bus.serve(READ_FLEET, self.scheduler.fleet)
        self.scheduler_bus.serve(READ_CLASSES, self.scheduler.classes)
        self.scheduler_bus.serve(READ_DAILY_USAGE, self.scheduler.usage)

    @property
    def alice(self) -> UUID:
        return self.auth.keys["alice-key"]

    @property
    def bob(self) -> UUID:
        return self.auth.keys["bob-key"]

    async def publish_change(self, change: UserChanged | TierLimits) -> None:
        """Publish changes of auth."""
        if isinstance(change, TierLimits):
            await self.auth_bus.publish(TIER_CHANGED, change)
        else:
            await self.auth_bus.publish(USER_CHANGED, change, tenant=str(change.user_id))

    async def stop_auth(self) -> None:
        """Stop auth, so that requests to it have no responder."""
        await self.auth_bus.stop()

    async def restart_auth(self) -> None:
        """Restart auth with the same data."""
        self.auth_bus = self._bus("auth")
        self.auth.serve(self.auth_bus)
        await self.auth_bus.start()

    def reset(self) -> None:
        """Forget everything but the keys and ids of Alice and Bob, for the next test with the same gateway."""
        self.auth.reset()
        self.scheduler.reset()

    async def start(self) -> None:
        for bus in (self.auth_bus, self.scheduler_bus, self.bus):
            await bus.start()

    async def stop(self) -> None:
        for bus in (self.auth_bus, self.scheduler_bus, self.bus):
            await bus.stop()

    def _bus(self, name: str) -> Bus:
        return Bus(self._nats_url, name=name, user=None, password=None, inbox_prefix=inbox_prefix(name))
