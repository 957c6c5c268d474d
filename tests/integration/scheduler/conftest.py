"""Runs the scheduler with a real NATS and PostgreSQL; tests send messages as auth, gateway and executors."""

import asyncio
import base64
import hashlib
import zlib
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from typing import Any
from uuid import UUID, uuid4

import asyncpg
import pytest
from pydantic import TypeAdapter
from structlog.testing import capture_logs

from chassis.database.postgres import CONNECT_TIMEOUT_S
from chassis.ids import new_id
from chassis.messaging.bus import Bus
from contracts.auth.accounts import READ_TENANT, ReadTenant, Tenant, UnknownTenant
from contracts.auth.class_rules import CLASS_RULES_CHANGED, READ_CLASS_RULES, ReadClassRules
from contracts.auth.erasure import READ_ERASURES, Erasure, Erasures, ReadErasures
from contracts.auth.tiers import Limits, Tier
from contracts.catalog import ClassSpec, InputSpec
from contracts.graph_policy.policy import ClassRules, GraphPolicy, OperatorRules
from contracts.permissions import inbox_prefix
from contracts.scheduler.attempts import (
    FINISH_ATTEMPT,
    REQUEST_WORK,
    RESERVE_IMAGES,
    START_ATTEMPT,
    Assignment,
    AttemptRef,
    FinishAttempt,
    FinishReply,
    ImagesReserved,
    Outcome,
    RequestWork,
    ReserveImages,
    StartAttempt,
)
from contracts.scheduler.fleet import READ_FLEET, ReadFleet
from contracts.scheduler.heartbeats import (
    HEARTBEAT,
    REPORT_CATALOG,
    Gpu,
    Heartbeat,
    HeartbeatReply,
    NodeSystem,
    ReportCatalog,
)
from contracts.scheduler.jobs import (
    CANCEL_JOB,
    FINAL_STATES,
    READ_JOB,
    CancelJob,
    Job,
    JobError,
    JobEvent,
    JobState,
    JobWithEvents,
    ReadJob,
)
from contracts.scheduler.submissions import SUBMIT_JOB, SubmitJob, SubmitReply
from contracts.scheduler.usage import READ_TENANT_USAGE, ReadTenantUsage
from contracts.wire.errors import Unavailable
from contracts.wire.topic import Address
from scheduler.app import create_app
from scheduler.settings import Settings
from tests.kit.calling_bus import CallingBus, until_available
from tests.kit.http import http_client
from tests.kit.nats import running_nats
from tests.kit.postgres import PostgresServer
from tests.kit.serving import serving
from tests.kit.waiting import until, wait_if_midnight_is_near

COMMON, RARE = "common.safetensors", "rare.safetensors"
UNLIMITED = Limits(
    images_per_day=None,
    max_running=None,
    queue_cap=None,
    weight=1,
    requests_per_minute=None,
    graph_policy=GraphPolicy.OPEN,
)
SUBMIT_ENDPOINT = "POST /api/v1/jobs"
BROKEN = JobError(code="node.error", message="m")
CLAIM_WITHIN_S = 15.0  # below the time limit of a request


def bus_as(url: str, name: str) -> Bus:
    return CallingBus(url, name=name, user=None, password=None, inbox_prefix=inbox_prefix(name))


def catalog(*models: str) -> ReportCatalog:
    """Build the catalog report of a node with these models."""
    classes = {
        "CheckpointLoaderSimple": ClassSpec(
            inputs={"ckpt_name": InputSpec(type="COMBO", required=True, options=models)},
            outputs=("MODEL", "CLIP", "VAE"),
            output_node=False,
            module="nodes",
        ),
        "EmptyLatentImage": ClassSpec(
            inputs={"batch_size": InputSpec(type="INT", required=True, min=1, max=4096)},
            outputs=("LATENT",),
            output_node=False,
            module="nodes",
        ),
        "Draw": ClassSpec(
            inputs={
                "model": InputSpec(type="MODEL", required=True),
                "latent": InputSpec(type="LATENT", required=True),
                "seed": InputSpec(type="INT", required=False, min=0, max=2**64 - 1),
            },
            outputs=("IMAGE",),
            output_node=False,
            module="custom_nodes.draw",
        ),
        "SaveImage": ClassSpec(
            inputs={"images": InputSpec(type="IMAGE", required=True)}, outputs=(), output_node=True, module="nodes"
        ),
        "SaveText": ClassSpec(
            inputs={"text": InputSpec(type="STRING", required=True)}, outputs=(), output_node=True, module="nodes"
        ),
        "Guess": ClassSpec(inputs={}, outputs=("INT",), output_node=False, module="custom_nodes.draw"),
    }
    return report_of(classes)


def report_of(classes: dict[str, ClassSpec]) -> ReportCatalog:
    """Build a catalog report with these classes."""
    body = TypeAdapter(dict[str, ClassSpec]).dump_json(classes)
    return ReportCatalog(
        digest=hashlib.sha256(body).hexdigest(), classes_zlib=base64.b64encode(zlib.compress(body)).decode()
    )


def build_graph(model: str = COMMON, images: int = 1) -> dict[str, Any]:
    return {
        "1": {"class_type": "CheckpointLoaderSimple", "inputs": {"ckpt_name": model}},
        "2": {"class_type": "EmptyLatentImage", "inputs": {"batch_size": images}},
        "3": {"class_type": "Draw", "inputs": {"model": ["1", 0], "latent": ["2", 0]}},
        "9": {"class_type": "SaveImage", "inputs": {"images": ["3", 0]}},
    }


class Auth:
    """A stand-in for auth with limits and rules set by the test; it can be stopped and started."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._bus: Bus | None = None
        self.limits: dict[UUID, Limits] = {}
        self.inactive: set[UUID] = set()
        self.groups: dict[UUID, UUID] = {}  # quota group of a tenant
        self.erased: list[UUID] = []
        self.may_answer = asyncio.Event()
        self.may_answer.set()
        self.asked = 0
        self.rules = ClassRules()
        self.knows_rules = True
        self.replies_with_rules = True

    async def start(self) -> None:
        self._bus = bus_as(self._url, "auth")
        self._bus.serve(READ_TENANT, self._read)
        self._bus.serve(READ_ERASURES, self._read_erasures)
        if self.knows_rules:
            self._bus.serve(READ_CLASS_RULES, self._read_rules)
        await self._bus.start()

    async def stop(self) -> None:
        if self._bus is not None:
            await self._bus.stop()
            self._bus = None

    async def change_rules(self, **rules: tuple[str, ...]) -> None:
        """Change the node class rules and publish the change."""
        self.rules = ClassRules(**rules)
        if self._bus is not None:
            await self._bus.publish(CLASS_RULES_CHANGED, self.rules)

    async def _read_rules(self, _: ReadClassRules, __: Address) -> OperatorRules:
        if not self.replies_with_rules:
            raise Unavailable(service="auth", retry_after_s=1)
        return OperatorRules(**dict(self.rules))

    async def _read_erasures(self, query: ReadErasures, _: Address) -> Erasures:
        now = datetime.now(UTC)
        found = tuple(Erasure(number=number, tenant_id=one, at=now) for number, one in enumerate(self.erased, 1))
        return Erasures(erasures=found[query.after : query.after + 1], more=len(found) > query.after + 1, now=now)

    async def _read(self, _: ReadTenant, address: Address) -> Tenant:
        tenant = UUID(address.tenant)
        if tenant not in self.limits:
            raise UnknownTenant
        answer = Tenant(
            tenant_id=tenant,
            tier=Tier.PRO,
            is_active=tenant not in self.inactive,
            limits=self.limits[tenant],
            quota_group=self.groups.get(tenant),
        )
        self.asked += 1
        await self.may_answer.wait()
        return answer


@dataclass
class System:
    """A running scheduler with its database, a bus connected as the gateway, and the stand-in for auth."""

    auth: Auth
    bus: Bus
    sql: asyncpg.Pool
    database_url: str
    nats_url: str


@asynccontextmanager
async def run_system(
    nats_url: str,
    database_url: str,
    *,
    knows_rules: bool = True,
    connect_timeout_s: float = CONNECT_TIMEOUT_S,
    **settings: object,
) -> AsyncIterator[System]:
    auth, bus = Auth(nats_url), bus_as(nats_url, "gateway")
    auth.knows_rules = knows_rules
    sql = await asyncpg.create_pool(database_url.replace("+asyncpg", ""), min_size=1, max_size=4)
    values = {"nats_url": nats_url, "database_url": database_url, "limits_fresh_s": 0} | settings
    try:
        await auth.start()
        await bus.start()
        app = create_app(Settings.model_validate(values), connect_timeout_s=connect_timeout_s)
        async with serving(app) as at:
            async with http_client() as http:

                async def ready() -> bool:
                    return (await http.get(f"http://{at}/readyz")).status_code == 200

                await until(ready)
            yield System(auth, bus, sql, database_url, nats_url)
    finally:
        await sql.close()
        await bus.stop()
        await auth.stop()


@pytest.fixture(scope="package")
async def system(postgres_server: PostgresServer) -> AsyncIterator[System]:
    """One scheduler for all tests of this folder, with leases too long to lapse during a test."""
    async with (
        running_nats() as server,
        run_system(server.url, await postgres_server.create_database("scheduler"), lease_s=60) as system,
    ):
        # This node stays, so that the scheduler's cached nodes, possibly of an earlier test, always offer COMMON.
        await Node(system, "remembered", catalog(COMMON)).join()
        yield system


@dataclass(eq=False)
class Node:
    """Acts as the executor of one node."""

    system: System
    name: str
    models: ReportCatalog
    boot_id: UUID = field(default_factory=uuid4)
    loaded: tuple[str, ...] | None = None  # models that its requests report
    memory_gib: int | None = None  # of its GPU; None if not reported

    async def join(self) -> "Node":
        """Send heartbeats, and the catalog while the scheduler asks for it."""
        while (await self.send_heartbeat()).catalog_wanted:
            await until_available(lambda: self.system.bus.request(REPORT_CATALOG, self.models, key=self.name))
        return self

    async def send_heartbeat(
        self, ref: AttemptRef | None = None, progress: float = 0, *, online: bool = True, **more: Any
    ) -> HeartbeatReply:
        beat = Heartbeat(
            boot_id=self.boot_id,
            online=online,
            catalog_digest=self.models.digest,
            attempt=ref,
            progress=progress,
            **({"system": self._describe_system()} | more),
        )
        return await until_available(lambda: self.system.bus.request(HEARTBEAT, beat, key=self.name))

    def _describe_system(self) -> NodeSystem | None:
        if self.memory_gib is None:
            return None
        size = self.memory_gib * 2**30 - 2**20  # GPUs report slightly less
        gpu = Gpu(name="GPU", memory_total_bytes=size, memory_free_bytes=size // 2)
        return NodeSystem(executor_version="1", gpus=(gpu,))

    async def request_work(
        self, wait_s: float = 0, *, held: AttemptRef | None = None, also_held: tuple[AttemptRef, ...] = ()
    ) -> Assignment | None:
        request = RequestWork(boot_id=self.boot_id, wait_s=wait_s, held=held, also_held=also_held, loaded=self.loaded)
        return (await self.system.bus.request(REQUEST_WORK, request, key=self.name)).assignment

    async def start_waiting(self, wait_s: float = 30) -> asyncio.Task[Assignment | None]:
        """Request work in the background; return once the request waits, because there is no job."""
        with capture_logs() as lines:
            waiting = asyncio.create_task(self.request_work(wait_s))

            def has_found_nothing() -> bool:
                return any(
                    (line["event"], line.get("node")) == ("scheduler.claim.no_job", self.name)
                    and line["reason"] != "contended"
                    for line in lines
                )

            await until(has_found_nothing)
        return waiting

    async def claim_attempt(self) -> Assignment:
        """Request work, wait up to ``CLAIM_WITHIN_S`` seconds and return the attempt."""
        assignment = await self.request_work(wait_s=CLAIM_WITHIN_S)
        assert assignment is not None
        return assignment

    async def prefetch_attempt(self, *held: AttemptRef) -> Assignment:
        """Request a job to prefetch until the scheduler assigns one, and return the attempt.

        Such a request does not wait. It gets nothing while another transaction has locked the job, or before the
        scheduler is notified that a job was queued again.
        """
        assignments: list[Assignment] = []

        async def has_prefetched() -> bool:
            assignment = await until_available(lambda: self.request_work(held=held[0], also_held=held[1:]))
            assignments.extend([assignment] if assignment is not None else [])
            return assignment is not None

        await until(has_prefetched)
        return assignments[0]

    async def start(self, ref: AttemptRef) -> bool:
        return (await self.system.bus.request(START_ATTEMPT, StartAttempt(ref=ref), key=self.name)).applied

    async def finish(self, ref: AttemptRef, outcome: Outcome = Outcome.SUCCEEDED, **more: Any) -> bool:
        return (await self.finish_and_request(ref, None, outcome, **more)).applied

    async def finish_and_request(
        self, ref: AttemptRef, request: RequestWork | None, outcome: Outcome = Outcome.SUCCEEDED, **more: Any
    ) -> FinishReply:
        usual = {"images": 1, "gpu_seconds": 1.0} if outcome is Outcome.SUCCEEDED else {"error": BROKEN}
        command = FinishAttempt(ref=ref, outcome=outcome, request=request, **(usual | more))
        if command.gpu_seconds <= START_ATTEMPT.timeout_s:
            return await self.system.bus.request(FINISH_ATTEMPT, command, key=self.name)
        # An attempt is not charged for more than its age, so let it look this old to the scheduler.
        await self._shift_lease_start(ref, -command.gpu_seconds)
        reply = await self.system.bus.request(FINISH_ATTEMPT, command, key=self.name)
        await self._shift_lease_start(ref, command.gpu_seconds)
        return reply

    async def _shift_lease_start(self, ref: AttemptRef, seconds: float) -> None:
        sql = """UPDATE attempts SET leased_at = leased_at + make_interval(secs => $3)
            WHERE job_id = $1 AND attempt = $2"""
        await self.system.sql.execute(sql, ref.job_id, ref.attempt, seconds)

    async def reserve(self, ref: AttemptRef, images: int) -> ImagesReserved:
        return await self.system.bus.request(RESERVE_IMAGES, ReserveImages(ref=ref, images=images), key=self.name)

    async def change_models(self, *models: str) -> None:
        """Replace the models of the node and report the new catalog."""
        self.models = catalog(*models)
        await self.join()


@dataclass
class World:
    """The tenants and nodes of one test. Nothing else uses the scheduler while the test runs."""

    system: System
    tenants: list[UUID] = field(default_factory=list)
    nodes: list[Node] = field(default_factory=list)
    may_leave_live_attempts: bool = False

    def add_tenant(self, **limits: Any) -> UUID:
        tenant = uuid4()
        self.tenants.append(tenant)
        self.set_limits(tenant, **limits)
        return tenant

    def set_limits(self, tenant: UUID, **limits: Any) -> None:
        self.system.auth.limits[tenant] = UNLIMITED.model_copy(update=limits)

    async def change_limits(self, tenant: UUID, **limits: Any) -> None:
        """Change the limits of a tenant that has submitted jobs."""
        self.set_limits(tenant, **limits)
        await self.until_saved(tenant)

    async def until_saved(self, tenant: UUID) -> None:
        """Wait until the scheduler has saved auth's current data about a tenant.

        The scheduler uses the saved data if auth does not reply to a submission within half a second.
        """
        auth = self.system.auth

        async def is_saved() -> bool:
            await until_available(
                lambda: self.system.bus.request(READ_TENANT_USAGE, ReadTenantUsage(), tenant=str(tenant))
            )
            row = await self.system.sql.fetchrow("SELECT limits, is_active FROM tenants WHERE id = $1", tenant)
            saved = Limits.model_validate_json(row["limits"]), row["is_active"]
            return bool(saved == (auth.limits[tenant], tenant not in auth.inactive))

        await until(is_saved)

    async def add_node(self, *models: str, memory_gib: int | None = None) -> Node:
        return await self.add_node_with(catalog(*(models or (COMMON,))), memory_gib=memory_gib)

    async def add_node_with(self, report: ReportCatalog, *, memory_gib: int | None = None) -> Node:
        node = Node(self.system, f"n-{uuid4().hex[:12]}", report, memory_gib=memory_gib)
        self.nodes.append(node)
        return await node.join()

    async def until_offered(self, model: str) -> None:
        """Wait until the scheduler accepts jobs for a model. Other schedulers may learn of the node a second later."""

        async def offered() -> bool:
            fleet = await self.system.bus.request(READ_FLEET, ReadFleet())
            return model in fleet.models.get("CheckpointLoaderSimple.ckpt_name", ())

        await until(offered)

    async def submit(self, tenant: UUID, **fields: Any) -> SubmitReply:
        images, model = fields.pop("images", 1), fields.pop("model", COMMON)
        usual = {
            "job_id": new_id(),
            "graph": build_graph(model, images),
            "request_hash": "0" * 64,
            "endpoint": SUBMIT_ENDPOINT,
        }
        values = usual | fields
        return await self.system.bus.request(SUBMIT_JOB, SubmitJob(**values), tenant=str(tenant))

    async def submit_job(self, tenant: UUID, **fields: Any) -> UUID:
        """Submit a job with defaults, and return its id."""
        fields = {"job_id": new_id()} | fields
        return (await until_available(lambda: self.submit(tenant, **fields))).job.job_id

    async def read_job(self, tenant: UUID, job_id: UUID) -> Job:
        return (await self._read(tenant, job_id)).job

    async def list_events(self, tenant: UUID, job_id: UUID) -> tuple[JobEvent, ...]:
        return (await self._read(tenant, job_id)).events

    async def list_causes(self, tenant: UUID, job_id: UUID) -> list[str]:
        return [event.cause for event in await self.list_events(tenant, job_id)]

    async def cancel(self, tenant: UUID, job_id: UUID) -> Job:
        read = await self.system.bus.request(CANCEL_JOB, CancelJob(job_id=job_id), tenant=str(tenant))
        return read.job

    async def _read(self, tenant: UUID, job_id: UUID) -> JobWithEvents:
        return await self.system.bus.request(READ_JOB, ReadJob(job_id=job_id, after=0), tenant=str(tenant))

    async def count_charged_images(self, tenant: UUID) -> int:
        """Count the images charged to the tenant on all days."""
        sql = "SELECT coalesce(sum(images), 0)::int FROM usage_days WHERE tenant_id = $1"
        found: int = await self.system.sql.fetchval(sql, tenant)
        return found

    async def read_counters(self, tenant: UUID) -> tuple[int, int]:
        """Return the counters ``queued`` and ``running`` of the tenant's row."""
        row = await self.system.sql.fetchrow("SELECT queued, running FROM tenants WHERE id = $1", tenant)
        return row["queued"], row["running"]

    async def database_rows(self, tenant: UUID) -> list[list[tuple[Any, ...]]]:
        """Return all rows of a tenant except those that heartbeats change, to compare snapshots."""
        tables = {
            "tenants": "t.id",
            "jobs": "t.tenant_id",
            "usage_days": "t.tenant_id",
            "attempts": "t.tenant_id",
            "job_events": "(SELECT j.tenant_id FROM jobs j WHERE j.id = t.job_id)",
        }
        found = []
        for table, whose in tables.items():
            sql = f"SELECT t.* FROM {table} t WHERE {whose} = $1 ORDER BY t::text"  # noqa: S608 - constants only
            found.append([tuple(row) for row in await self.system.sql.fetch(sql, tenant)])
        return found

    async def count_live_attempts(self) -> int:
        sql = "SELECT count(*) FROM attempts WHERE ended_at IS NULL AND tenant_id = ANY($1)"
        found: int = await self.system.sql.fetchval(sql, self.tenants)
        return found

    async def assert_consistent(self) -> None:
        """Check that counters match a recount, and that events are gapless, have one final state and are published.

        The tenant's waiting requirements must be those of its queued jobs.
        """
        sql = self.system.sql
        rows = await sql.fetch(
            """SELECT t.id, t.queued, t.running,
                (SELECT count(*) FROM jobs j WHERE j.tenant_id = t.id AND j.state = 'queued' AND NOT j.on_hold)
                    AS really_queued,
                (SELECT count(*) FROM attempts a WHERE a.tenant_id = t.id AND a.ended_at IS NULL) AS really_running,
                (SELECT coalesce(sum(u.images), 0) FROM usage_days u WHERE u.tenant_id = t.id) AS charged,
                (SELECT coalesce(sum(j.images), 0) FROM jobs j WHERE j.tenant_id = t.id) AS really_charged,
                (SELECT coalesce(sum(u.jobs), 0) FROM usage_days u WHERE u.tenant_id = t.id) AS jobs,
                (SELECT count(*) FROM jobs j WHERE j.tenant_id = t.id) AS really_jobs,
                (SELECT coalesce(sum(u.gpu_seconds), 0) FROM usage_days u WHERE u.tenant_id = t.id) AS gpu_seconds,
                (SELECT coalesce(sum(a.gpu_seconds), 0) FROM attempts a WHERE a.tenant_id = t.id) AS really_spent,
                (SELECT coalesce(sum(e.images), 0) FROM usage_endpoints e WHERE e.tenant_id = t.id) AS shared,
                (SELECT coalesce(sum(j.images), 0) FROM jobs j
                    WHERE j.tenant_id = t.id AND j.endpoint IS NOT NULL AND j.completed_at IS NOT NULL AND NOT EXISTS (
                        SELECT 1 FROM attempts a WHERE a.job_id = j.id AND a.ended_at IS NULL)) AS really_shared,
                (SELECT coalesce(sum(e.gpu_seconds), 0) FROM usage_endpoints e WHERE e.tenant_id = t.id) AS shared_s,
                (SELECT coalesce(sum(a.gpu_seconds), 0) FROM attempts a JOIN jobs j ON j.id = a.job_id
                    WHERE j.tenant_id = t.id AND j.endpoint IS NOT NULL) AS really_shared_s
            FROM tenants t"""
        )
        for row in rows:
            assert (row["queued"], row["running"]) == (row["really_queued"], row["really_running"])
            assert row["charged"] == row["really_charged"]
            assert row["jobs"] == row["really_jobs"]
            assert row["gpu_seconds"] == pytest.approx(row["really_spent"])
            assert row["shared"] == row["really_shared"]
            assert row["shared_s"] == pytest.approx(row["really_shared_s"])
        listed = await sql.fetch("SELECT requirement_id, tenant_id FROM waiting_requirements")
        waiting = await sql.fetch(
            "SELECT DISTINCT requirement_id, tenant_id FROM jobs WHERE state = 'queued' AND NOT on_hold"
        )
        assert {tuple(row) for row in listed} == {tuple(row) for row in waiting}
        log = "SELECT seq, event->>'state' AS state FROM job_events WHERE job_id = $1 ORDER BY seq"
        for job in await sql.fetch("SELECT id, state, seq FROM jobs WHERE tenant_id = ANY($1)", self.tenants):
            found = await sql.fetch(log, job["id"])
            assert [row["seq"] for row in found] == list(range(1, job["seq"] + 1))
            assert found[-1]["state"] == job["state"]
            assert not [row for row in found[:-1] if row["state"] in FINAL_STATES]

        async def is_published() -> bool:
            return not await sql.fetchval("SELECT count(*) FROM outbox WHERE published_at IS NULL")

        await until(is_published)
        info = await self.system.bus.jetstream.stream_info("EVENT", subjects_filter="evt.scheduler.job.changed.v1.>")
        stored = Counter(info.state.subjects or {})
        events = await sql.fetch("SELECT job_id, count(*) AS number FROM job_events GROUP BY job_id")
        assert {subject.rpartition(".")[2]: number for subject, number in stored.items()} == {
            str(row["job_id"]): row["number"] for row in events
        }

    async def end_all_jobs(self) -> bool:
        """End all remaining jobs and attempts, so that nodes of later tests do not get them.

        Returns:
            Whether there were any.
        """
        sql, found = self.system.sql, False
        for tenant in self.tenants:
            left = await sql.fetch(
                "SELECT id FROM jobs WHERE tenant_id = $1 AND state <> ALL($2)", tenant, [*FINAL_STATES]
            )
            for row in left:  # sequentially: hundreds at once would time out on a busy machine
                await until_available(partial(self.cancel, tenant, row["id"]))
            found = found or bool(left)
        live = "SELECT node, job_id, tenant_id, attempt, lease_token FROM attempts WHERE ended_at IS NULL"
        for row in map(dict, await sql.fetch(live)):
            owner = Node(self.system, row.pop("node"), self.nodes[0].models)
            await until_available(partial(owner.finish, AttemptRef(**row), Outcome.CANCELLED))
            found = True
        return found


@asynccontextmanager
async def checked_world(system: System) -> AsyncIterator[World]:
    await wait_if_midnight_is_near()
    world = World(system)
    try:
        yield world
        live = await world.count_live_attempts()
        await world.assert_consistent()
        assert world.may_leave_live_attempts or live == 0
    finally:
        left = await world.end_all_jobs()
    if left:
        await world.assert_consistent()


@pytest.fixture
async def world(system: System) -> AsyncIterator[World]:
    async with checked_world(system) as world:
        yield world


def final_states(events: tuple[JobEvent, ...]) -> list[JobState]:
    return [event.state for event in events if event.state in FINAL_STATES]


@pytest.fixture
async def second_sql(system: System) -> AsyncIterator[asyncpg.Connection]:
    """A second database connection, to hold locks that the scheduler needs."""
    connection = await asyncpg.connect(system.database_url.replace("+asyncpg", ""))
    try:
        yield connection
    finally:
        await connection.close()


async def bring_start_deadline_closer(world: World, job_ids: Sequence[UUID], *, seconds: float) -> None:
    """Move the start deadlines of these jobs closer by ``seconds``, as if submitted earlier."""
    sql = "UPDATE jobs SET start_by = start_by - make_interval(secs => $2) WHERE id = ANY($1)"
    await world.system.sql.execute(sql, job_ids, seconds)


async def until_expired(world: World, tenant: UUID, job_id: UUID) -> None:
    """Wait until a job has expired."""

    async def is_expired() -> bool:
        return (await world.read_job(tenant, job_id)).state is JobState.EXPIRED

    await until(is_expired)


async def until_overdue_jobs_expired(world: World, tenant: UUID) -> None:
    """Wait until the scheduler has expired every job that is overdue now. Submits a job that no node should claim."""
    last = await world.submit_job(tenant, start_within_seconds=0.01, priority=-100)
    await until_expired(world, tenant, last)
