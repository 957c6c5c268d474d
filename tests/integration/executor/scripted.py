"""Scripted versions of the services that an executor depends on: scheduler, gateway, artifact store."""

import asyncio
import base64
import hashlib
import json
import zlib
from collections import deque
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar
from uuid import UUID, uuid4

from aiohttp import web

from chassis.messaging.bus import Bus
from chassis.messaging.metadata import Metadata
from contracts.executor.attempts import CANCEL_ATTEMPT, RELEASE_ATTEMPT, CancelAttempt, ReleaseAttempt
from contracts.executor.progress import PROGRESS, Progress
from contracts.gateway.transfers import (
    GRANT_INPUTS,
    GRANT_OUTPUTS,
    GrantInputs,
    GrantOutputs,
    InputGrant,
    InputsGranted,
    OutputGrant,
    OutputsGranted,
)
from contracts.graph_policy.policy import GraphPolicy, TenantPolicy
from contracts.scheduler.attempts import (
    CANCEL_WORK_REQUESTS,
    FINISH_ATTEMPT,
    REQUEST_WORK,
    RESERVE_IMAGES,
    START_ATTEMPT,
    Assignment,
    AttemptRef,
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
from contracts.scheduler.heartbeats import (
    HEARTBEAT,
    REPORT_CATALOG,
    Heartbeat,
    HeartbeatReply,
    LeaseState,
    OccupancyCause,
    ReportCatalog,
)
from contracts.wire.errors import InvalidMessage
from contracts.wire.topic import FLEET, Address
from tests.integration.executor.graphs import hello

PATIENCE_S = 60.0
OPEN = TenantPolicy(mode=GraphPolicy.OPEN)


Message = TypeVar("Message")
Reply = TypeVar("Reply")


class MessageRecorder:
    """Lets a test wait until the recorded messages meet a condition."""

    def __init__(self) -> None:
        self._changed = asyncio.Condition()

    async def notify(self) -> None:
        async with self._changed:
            self._changed.notify_all()

    async def until(self, holds: Callable[[], Any], within_s: float = PATIENCE_S) -> None:
        async with asyncio.timeout(within_s), self._changed:
            await self._changed.wait_for(holds)


class Scheduler(MessageRecorder):
    """Assigns the jobs from ``offer_job`` and records every message.

    ``lease`` is the lease state in heartbeat replies; ``leases`` overrides it by job.
    """

    def __init__(self, nats_url: str, node: str) -> None:
        super().__init__()
        self.node = node
        self.bus = Bus(nats_url, name="scheduler", user=None, password=None, inbox_prefix="_INBOX_scheduler")
        self.offers: deque[Assignment] = deque()
        self.assigned: list[Assignment] = []  # live attempts, oldest first
        self.max_attempts = 2  # that the node may hold at once
        self.allows_two_attempts_only = False  # True: like earlier releases of the scheduler
        self.knows_unwritable_journals = True  # earlier releases do not
        self.knows_left_attempts = True  # earlier releases do not
        self.delayed_finish: UUID | None = None  # finish reports of this job are not answered
        self.work_requests: list[RequestWork] = []
        self.cancelled_work_requests: list[CancelWorkRequests] = []
        self.heartbeats: list[Heartbeat] = []
        self.starts: list[StartAttempt] = []
        self.finishes: list[FinishAttempt] = []
        self.catalogs: list[ReportCatalog] = []
        self.progress: list[Progress] = []
        self.offered_at: dict[UUID, float] = {}
        self.finished_at: dict[UUID, float] = {}
        self.lease = LeaseState.KEPT
        self.leases: dict[UUID, LeaseState] = {}  # overrides ``lease``
        self.clear: datetime | None = None  # sent in heartbeat replies until it is done
        self.refresh: datetime | None = None
        self.unanswered_finishes = 0
        self.max_granted_images = 10_000  # upper limit of each grant
        self.reservations: list[ReserveImages] = []
        self.applies = True
        self.offer_when_cancelled = False  # assign a job in reply to a work request that is cancelled
        self.cancelled = False  # whether the job was cancelled before its attempt started
        # returns the error with which to refuse a finish report, or None to accept it
        self.refuse: Callable[[FinishAttempt], Exception | None] | None = None
        # called before each request for work, start or finish is handled; True drops the request
        self.before: Callable[[Any], Awaitable[bool]] | None = None
        # called after such a request was handled; True drops the reply
        self.after: Callable[[Any], Awaitable[bool]] | None = None

    @property
    def current(self) -> Assignment | None:
        """The oldest live attempt."""
        return self.assigned[0] if self.assigned else None

    def end_leases(self) -> None:
        """Let every lease lapse."""
        self.assigned = []

    async def start(self) -> None:
        self.bus.serve(REQUEST_WORK, self._interruptible(self._assign_work))
        self.bus.serve(HEARTBEAT, self._handle_heartbeat)
        self.bus.serve(START_ATTEMPT, self._interruptible(self._started))
        self.bus.serve(FINISH_ATTEMPT, self._interruptible(self._finished))
        self.bus.serve(REPORT_CATALOG, self._catalog)
        self.bus.serve(RESERVE_IMAGES, self._reserve)
        await self.bus.start()
        await self.bus.subscribe(PROGRESS, self._progress)
        await self.bus.subscribe(CANCEL_WORK_REQUESTS, self._cancel_work_requests)

    async def stop(self) -> None:
        """Stop at once and cancel pending requests, some of which would never be answered."""
        parked = list(self.bus._tasks)
        for task in parked:
            task.cancel()
        await asyncio.gather(*parked, return_exceptions=True)
        await self.bus.stop()

    async def offer_job(
        self,
        graph: dict[str, Any],
        *,
        run_within_s: float | None = None,
        attempt: int = 1,
        inputs: tuple[UUID, ...] = (),
        images: int = 1_000,
        policy: TenantPolicy = OPEN,
        free_memory: bool = False,
    ) -> Assignment:
        ref = AttemptRef(job_id=uuid4(), tenant_id=uuid4(), attempt=attempt, lease_token=uuid4())
        assignment = Assignment(
            ref=ref,
            prompt_id=uuid4(),
            graph=graph,
            inputs=inputs,
            lease_s=15,
            run_within_s=run_within_s,
            images=images,
            policy=policy,
            free_memory=free_memory,
        )
        self.offers.append(assignment)
        await self.notify()
        return assignment

    async def wait_for_finish(self, assignment: Assignment, within_s: float = PATIENCE_S) -> FinishAttempt:
        await self.until(lambda: assignment.ref.job_id in self.finished_at, within_s)
        return next(finish for finish in self.finishes if finish.ref == assignment.ref)

    def request_clear(self) -> datetime:
        """Request "clear" in the next heartbeat replies; return the time of the request."""
        self.clear = datetime.now(UTC)
        return self.clear

    def request_refresh(self) -> datetime:
        """Request "refresh" in the next heartbeat replies; return the time of the request."""
        self.refresh = datetime.now(UTC)
        return self.refresh

    def offers_model(self, name: str) -> bool:
        """Return whether the newest catalog contains a checkpoint."""
        classes = json.loads(zlib.decompress(base64.b64decode(self.catalogs[-1].classes_zlib)))
        return name in classes["CheckpointLoaderSimple"]["inputs"]["ckpt_name"]["options"]

    async def hint_cancel(self, assignment: Assignment) -> None:
        hint = CancelAttempt(job_id=assignment.ref.job_id, attempt=assignment.ref.attempt)
        await self.bus.publish(CANCEL_ATTEMPT, hint, tenant=FLEET, key=self.node)

    async def hint_release(self, assignment: Assignment) -> None:
        hint = ReleaseAttempt(job_id=assignment.ref.job_id, attempt=assignment.ref.attempt)
        await self.bus.publish(RELEASE_ATTEMPT, hint, tenant=FLEET, key=self.node)

    def _interruptible(
        self, handler: Callable[[Message, Address], Awaitable[Reply]]
    ) -> Callable[[Message, Address], Awaitable[Reply]]:
        """Wrap a handler so that ``before`` and ``after`` are called around it."""

        async def handle(message: Message, address: Address) -> Reply:
            is_lost = self.before is not None and await self.before(message)
            if not is_lost:
                reply = await handler(message, address)
                is_lost = self.after is not None and await self.after(message)
            await self.notify()
            if is_lost:
                await asyncio.Event().wait()
            return reply

        return handle

    async def _assign_work(self, request: RequestWork, _: Address) -> WorkReply:
        self.work_requests.append(request)
        await self.notify()
        if request.held is not None:
            return self._prefetch(request)
        if self.current is None:
            try:
                await self.until(lambda: self.offers or self.cancelled_work_requests, request.wait_s)
            except TimeoutError:
                return WorkReply(assignment=None)
            if not self.offers:
                return WorkReply(assignment=None)
            assignment = self.offers.popleft()
            self.assigned.append(assignment)
            self.offered_at[assignment.ref.job_id] = asyncio.get_running_loop().time()
            return WorkReply(assignment=assignment)
        return WorkReply(assignment=self.current.model_copy(update={"renewed": True}))

    def _prefetch(self, request: RequestWork) -> WorkReply:
        """Reply to a work request of an executor that already runs attempts."""
        if self.allows_two_attempts_only and request.also_held:
            raise InvalidMessage
        for one in self.assigned:
            if one.ref not in request.all_held:
                return WorkReply(assignment=one.model_copy(update={"renewed": True}))
        if not self.offers or len(self.assigned) >= self.max_attempts:
            return WorkReply(assignment=None)
        self.assigned.append(self.offers.popleft())
        return WorkReply(assignment=self.assigned[-1])

    async def _cancel_work_requests(self, hint: CancelWorkRequests, _: Metadata) -> None:
        self.cancelled_work_requests.append(hint)
        if self.offer_when_cancelled:
            await self.offer_job(hello())
        await self.notify()

    async def _handle_heartbeat(self, beat: Heartbeat, _: Address) -> HeartbeatReply:
        if self.allows_two_attempts_only and (beat.further_attempts or beat.left_node):
            raise InvalidMessage
        if not self.knows_left_attempts and beat.left_node:
            raise InvalidMessage
        if not self.knows_unwritable_journals and beat.occupied and beat.occupied.by is OccupancyCause.JOURNAL:
            raise InvalidMessage
        self.heartbeats.append(beat)
        await self.notify()
        known = {catalog.digest for catalog in self.catalogs}
        return HeartbeatReply(
            lease=self._get_lease(beat.attempt),
            other_lease=self._get_lease(beat.other_attempt),
            further_leases=tuple(self._get_lease(ref) for ref in beat.further_attempts),
            max_attempts=self.max_attempts,
            catalog_wanted=beat.catalog_digest is not None and beat.catalog_digest not in known,
            clear=self.clear if beat.cleared != self.clear else None,
            refresh=self.refresh if beat.refreshed != self.refresh else None,
        )

    def _get_lease(self, ref: AttemptRef | None) -> LeaseState:
        return LeaseState.NONE if ref is None else self.leases.get(ref.job_id, self.lease)

    async def _started(self, start: StartAttempt, _: Address) -> AttemptWriteReply:
        self.starts.append(start)
        await self.notify()
        live = start.ref in [one.ref for one in self.assigned]
        return AttemptWriteReply(applied=live and not self.cancelled)

    async def _finished(self, finish: FinishAttempt, _: Address) -> FinishReply:
        if self.refuse is not None and (refusal := self.refuse(finish)) is not None:
            raise refusal
        self.finishes.append(finish)
        self.finished_at.setdefault(finish.ref.job_id, asyncio.get_running_loop().time())
        if self.unanswered_finishes > 0:
            self.unanswered_finishes -= 1
            await self.notify()
            await asyncio.Event().wait()
        if self.delayed_finish == finish.ref.job_id:
            await self.until(lambda: self.delayed_finish is None)
        self.assigned = [one for one in self.assigned if one.ref != finish.ref]
        following = None
        if finish.request is not None and finish.request.held is not None:
            self.work_requests.append(finish.request)
            following = self._prefetch(finish.request).assignment
        await self.notify()
        return FinishReply(applied=self.applies, assignment=following)

    async def _reserve(self, asked: ReserveImages, _: Address) -> ImagesReserved:
        self.reservations.append(asked)
        await self.notify()
        return ImagesReserved(images=min(asked.images, self.max_granted_images), applied=True)

    async def _catalog(self, report: ReportCatalog, _: Address) -> AttemptWriteReply:
        self.catalogs.append(report)
        await self.notify()
        return AttemptWriteReply(applied=True)

    async def _progress(self, message: Progress, _: Metadata) -> None:
        self.progress.append(message)
        await self.notify()


class Gateway(MessageRecorder):
    """Grants outputs and accepts them over HTTP; serves ``uploads`` over HTTP and counts the downloads in ``gets``.

    Attributes:
        put_statuses: statuses of the next responses to PUT.
        get_statuses: statuses of the next responses to GET.
    """

    def __init__(self, nats_url: str) -> None:
        super().__init__()
        self.bus = Bus(nats_url, name="gateway", user=None, password=None, inbox_prefix="_INBOX_gateway")
        self.grants: list[GrantOutputs] = []
        self.tenants: list[str] = []
        self.stored: dict[UUID, bytes] = {}
        self.types: dict[UUID, str] = {}
        self.put_statuses: deque[int] = deque()
        self.is_full = False  # the store has no space left
        self.holds_uploads = False  # uploads are not stored, and executors wait for the responses
        self.puts = 0
        self.uploads: dict[UUID, bytes] = {}
        self.announced_content: dict[UUID, bytes] = {}  # the media type in the grant, if it differs from the content
        self.extensions: dict[UUID, str] = {}  # file name extension on the node, if not png
        self.get_statuses: deque[int] = deque()
        self.gets = 0
        self._open: set[UUID] = set()
        self._runner: web.AppRunner | None = None
        self._url = ""

    async def start(self) -> None:
        app = web.Application(client_max_size=1 << 30)
        app.router.add_put("/o/{id}", self._put)
        app.router.add_get("/i/{id}", self._get)
        self._runner = web.AppRunner(app, access_log=None)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", 0)
        await site.start()
        self._url = f"http://127.0.0.1:{self._runner.addresses[0][1]}"
        self.bus.serve(GRANT_OUTPUTS, self._grant)
        self.bus.serve(GRANT_INPUTS, self._grant_inputs)
        await self.bus.start()

    async def stop(self) -> None:
        await self.bus.stop()
        if self._runner:
            await self._runner.cleanup()

    async def store_held_uploads(self) -> None:
        """Respond to the uploads that wait because of ``holds_uploads``."""
        self.holds_uploads = False
        await self.notify()

    def expire(self) -> None:
        """Invalidate all grants so far."""
        self._open.clear()

    async def _grant(self, asked: GrantOutputs, address: Address) -> OutputsGranted:
        self.grants.append(asked)
        self.tenants.append(address.tenant)
        ids = [uuid4() for _ in range(asked.count)]
        self._open.update(ids)
        await self.notify()
        grants = tuple(OutputGrant(id=name, url=f"{self._url}/o/{name}") for name in ids)
        return OutputsGranted(grants=grants, expires_at=datetime.now(UTC) + timedelta(hours=1))

    async def _grant_inputs(self, _asked: GrantInputs, address: Address) -> InputsGranted:
        self.tenants.append(address.tenant)
        grants = []
        for name, content in self.uploads.items():
            said = self.announced_content.get(name, content)
            digest = hashlib.sha256(said).hexdigest()
            grants.append(
                InputGrant(
                    id=name,
                    url=f"{self._url}/i/{name}",
                    name=f"{digest}.{self.extensions.get(name, 'png')}",
                    size_bytes=len(said),
                    sha256=digest,
                )
            )
        return InputsGranted(grants=tuple(grants), expires_at=datetime.now(UTC) + timedelta(hours=1))

    async def _get(self, request: web.Request) -> web.Response:
        self.gets += 1
        await self.notify()
        if self.get_statuses:
            return web.Response(status=self.get_statuses.popleft())
        return web.Response(body=self.uploads[UUID(request.match_info["id"])])

    async def _put(self, request: web.Request) -> web.Response:
        name = UUID(request.match_info["id"])
        content = await request.read()
        self.puts += 1
        await self.notify()
        await self.until(lambda: not self.holds_uploads)
        if self.put_statuses:
            return web.Response(status=self.put_statuses.popleft())
        if self.is_full:
            return web.json_response({"code": "storage.full"}, status=503)
        if name not in self._open:
            return web.Response(status=403)
        self.stored[name], self.types[name] = content, request.headers["Content-Type"]
        digest = hashlib.sha256(content).hexdigest()
        return web.json_response({"id": str(name), "size_bytes": len(content), "sha256": digest})
