"""Leases queued jobs to nodes that request work. A request waits until there is a job or it times out."""

import asyncio
from collections import Counter, deque
from collections.abc import AsyncIterator, Iterable, Sequence, Set
from contextlib import asynccontextmanager
from enum import Enum, auto
from time import monotonic
from typing import NamedTuple
from uuid import UUID

from chassis.database.postgres import UNAVAILABLE_ERRORS, Database
from chassis.database.statement import Connection
from chassis.loop import Loop
from chassis.telemetry.logs import log
from contracts.scheduler.attempts import Assignment, AttemptRef, RequestWork, WorkReply
from scheduler.domain.placement import Warmth
from scheduler.domain.settlement import compute_claim_effects
from scheduler.domain.states import Cause
from scheduler.store import attempts, claims, transitions
from scheduler.usecases.fleet_state import FleetState
from scheduler.usecases.job_metrics import JobMetrics
from scheduler.usecases.loaded_models import LoadedModels
from scheduler.usecases.new_jobs import NewJobs
from scheduler.usecases.place_jobs import JobPlacer, TenantSearch
from scheduler.usecases.publish_job_events import JobEventPublisher
from scheduler.usecases.read_claiming_nodes import ClaimingNodeReader
from scheduler.usecases.run_time_history import RunTimeHistory
from scheduler.usecases.tenant_policies import TenantPolicies
from scheduler.usecases.waiting_requests import WaitingRequest, WaitingRequests
from scheduler.usecases.waiting_requirements import WaitingRequirements
from scheduler.usecases.warm_node_waits import WarmNodeWaits

RECHECK_S = 5.0  # between rechecks, because a notification may be lost; executors repeat requests about as often
CONTENTION_PAUSE_S = 0.02  # another transaction has probably released its lock after this time
CONTENTION_TIMEOUT_S = 0.2  # for this long, even a request that does not wait tries again
MAX_STOPPED_EXECUTORS = 1000  # remembered boot ids; a late request arrives milliseconds after the hint
HEAD_START_S = 0.1  # delay before a node is woken to load models that another node has loaded
MAX_CONCURRENT_CLAIMS = 4  # per process; more would only wait for each other's locks
NODES_CHANGED = "nodes"  # payload of the trigger nodes_changed (migration 0020)


class ClaimFailure(Enum):
    """Why a request for work got no attempt."""

    NOTHING = auto()  # no job for this node and other nodes like it
    RESTRICTED = auto()  # perhaps a job, but not for this node: the node is cordoned, or the job avoids it
    CONTENDED = auto()  # a job whose tenant another transaction has locked, or that another node has just taken


class _Claim(NamedTuple):
    """The result of a claim.

    Attributes:
        leased: the leased attempt; None if nothing was leased.
        transition: the claimed job's transition; None if no job was claimed, for example when only a lease was renewed.
        loads_models: whether the node has to load models for the job.
        is_prefetch: whether the node already has another job, and runs this one after it.
    """

    leased: attempts.LeasedJob | None = None
    transition: transitions.Transition | None = None
    loads_models: bool = False
    is_prefetch: bool = False


class JobDispatcher:
    """Leases attempts to nodes: the best job that the node can run, of the tenant with the least ``vtime``.

    Args:
        node_attempts: live attempts that a node may have.
        warm_bound_s: maximum time for which a job is passed over for jobs whose models the node has loaded, and for
            which a node defers a job to a busy node. 0: jobs are never passed over, and any suitable node is woken.
    """

    def __init__(
        self,
        database: Database,
        fleet: FleetState,
        publisher: JobEventPublisher,
        metrics: JobMetrics,
        *,
        policies: TenantPolicies,
        loaded: LoadedModels,
        history: RunTimeHistory,
        lease_s: float,
        frames_per_image: int,
        node_attempts: int,
        warm_bound_s: float,
    ) -> None:
        self._database, self._fleet, self._publisher, self._lease_s = database, fleet, publisher, lease_s
        self._metrics, self._policies = metrics, policies
        self._frames_per_image, self._node_attempts = frames_per_image, node_attempts
        self._is_open = True
        self._stopped_executors: deque[UUID] = deque(maxlen=MAX_STOPPED_EXECUTORS)
        self._claim_slots = asyncio.Semaphore(MAX_CONCURRENT_CLAIMS)
        self._loaded, self._history, self._prefers_warm = loaded, history, warm_bound_s > 0
        self._waits = WarmNodeWaits(fleet, loaded, history, bound_s=warm_bound_s)
        self._placer = JobPlacer(fleet, loaded, bound_s=warm_bound_s)
        self._requests = WaitingRequests(fleet.can_run, fleet.rate_warmth, loaded.compute_unload_cost)
        self._nodes = ClaimingNodeReader(database)
        self._waiting = WaitingRequirements()
        self._new_jobs = NewJobs()
        self._past_head_start: Counter[int] = Counter()  # by requirement; jobs whose warm nodes did not claim in time
        self._scheduled_wakes: set[int] = set()  # requirements of jobs that are deferred to busy nodes for now
        self._recheck_wanted, self._nodes_changed, self._is_recheck_past_head_start = False, False, False
        self._recheck_at = 0.0
        self.wake_loop = Loop("scheduler.wake_requests", self._wake_requests, every_s=RECHECK_S)
        """Wakes waiting requests. Without it, jobs start only when executors repeat their requests."""

    def announce_jobs(self, requirements: Iterable[int]) -> None:
        """Wake a suitable waiting request for each job that was queued.

        Args:
            requirements: the requirement of each job.
        """
        added = list(requirements)
        self._waiting.add_requirements(added)
        self._new_jobs.add_announced(added)
        self.wake_loop.wake()

    def handle_notification(self, payload: str) -> None:
        """Handle a notification of the database: the requirement of a queued job, or a change of queue or nodes."""
        if payload.isdecimal():
            self._waiting.add_requirements([int(payload)])
            self._new_jobs.add_notified(int(payload))
            self.wake_loop.wake()
        else:
            self.schedule_recheck(nodes_changed=payload == NODES_CHANGED)

    def schedule_recheck(self, *, nodes_changed: bool = True) -> None:
        """Wake a waiting request of each kind of node for which there may be a job."""
        self._recheck_wanted = True
        self._nodes_changed |= nodes_changed
        self.wake_loop.wake()

    def close(self) -> None:
        """Answer every waiting request now, and let no later request wait. Call it before the process stops."""
        self._is_open = False
        self._requests.end_all_requests()

    def cancel_requests(self, boot_id: UUID) -> None:
        """Answer waiting requests of this executor now, and lease it no more attempts, because it is being stopped."""
        self._stopped_executors.append(boot_id)
        self._requests.end_requests_of_executor(boot_id)

    async def lease_attempt(self, node: str, request: RequestWork) -> WorkReply:
        """Lease an attempt to the node; the answer is empty if there is no job for it within ``wait_s`` seconds.

        A node that already has a live attempt gets that attempt again, with its lease renewed. If the request names
        the attempts that the node has, it gets another live one, or prefetches a job that no waiting node could start.
        """
        if request.boot_id in self._stopped_executors:
            return WorkReply(assignment=None)
        if request.loaded is not None:
            self._loaded.record_request(node, request.loaded, is_busy=request.held is not None)
        loaded = self._loaded.get_loaded_models(node) if self._prefers_warm else frozenset[str]()
        if request.held is not None:
            waiting = WaitingRequest(node=node, boot_id=request.boot_id, loaded=loaded, may_wait=False)
            return WorkReply(assignment=await self._prefetch_attempt(waiting, request.all_held))
        waiting = self._requests.open_request(node, request.boot_id, loaded, may_wait=request.wait_s > 0)
        try:
            return WorkReply(assignment=await self._wait_for_attempt(waiting, request.wait_s))
        finally:
            self._requests.close_request(waiting)

    async def lease_next_attempt(self, node: str, request: RequestWork) -> Assignment | None:
        """Lease an attempt that was requested together with the end of another one. Does not wait for new jobs.

        Returns None if the database is unavailable: the end is committed, and the node will request work again.
        """
        try:
            return (await self.lease_attempt(node, request.model_copy(update={"wait_s": 0}))).assignment
        except UNAVAILABLE_ERRORS as error:
            log.warning("scheduler.next_attempt.not_leased", node=node, error=type(error).__name__)
            return None

    def find_waiting_node(
        self, requirement: int, *, excluded: Set[str], prefetched_by_warm_node_s: float | None = None
    ) -> str | None:
        """Find a node whose request waits in this process and that should start a job with this requirement.

        Args:
            prefetched_by_warm_node_s: seconds since a busy node that has loaded its models prefetched the job; None if
                no such node did. Until the models could have been loaded elsewhere, only another warm node is found.
        """
        is_load_over = prefetched_by_warm_node_s is None or prefetched_by_warm_node_s >= self._waits.predict_load_time(
            requirement
        )
        return self._requests.find_waiting_node(requirement, excluded=excluded, only_warm=not is_load_over)

    @property
    def has_waiting_nodes(self) -> bool:
        return self._requests.has_idle_requests

    async def _prefetch_attempt(self, request: WaitingRequest, held: Sequence[AttemptRef]) -> Assignment | None:
        """Lease a job to prefetch to a node that still runs another one. Does not wait for new jobs."""
        clock = asyncio.get_running_loop().time
        until = clock() + CONTENTION_TIMEOUT_S
        while True:
            claim = await self._claim_attempt(request, fresh=False, held=held)
            if not isinstance(claim, ClaimFailure):
                return claim
            has_time = clock() < until and self._is_open and not self._is_ended(request)
            if claim is not ClaimFailure.CONTENDED or not has_time:
                return None
            await asyncio.sleep(CONTENTION_PAUSE_S)

    async def _wait_for_attempt(self, waiting: WaitingRequest, wait_s: float) -> Assignment | None:
        clock = asyncio.get_running_loop().time
        until = clock() + wait_s
        while not waiting.is_ended:
            claim = await self._claim_attempt(waiting, fresh=wait_s <= 0)
            if not isinstance(claim, ClaimFailure):
                if self._requests.end_wake_after_job(waiting) and self._requests.has_idle_requests:
                    self.schedule_recheck(nodes_changed=False)  # there may be more jobs than woken requests
                return claim
            if claim is ClaimFailure.CONTENDED and clock() < until + CONTENTION_TIMEOUT_S and self._is_open:
                await asyncio.sleep(CONTENTION_PAUSE_S)
                continue
            if claim is ClaimFailure.NOTHING:
                self._requests.end_wake_without_job(waiting)
            else:
                self._requests.pass_on_wake(waiting)
            if not self._is_open or not await self._requests.wait_for_wake(waiting, until - clock()):
                break
        return None

    async def _claim_attempt(
        self, waiting: WaitingRequest, *, fresh: bool, held: Sequence[AttemptRef] = ()
    ) -> Assignment | ClaimFailure:
        """Lease the next job for the node. Takes no lock and opens no transaction unless there seems to be one.

        Args:
            fresh: whether to read the requirements of queued jobs now, for a request that does not wait for
                notifications.
            held: attempts that the node has already. If there are any, the job is prefetched.
        """
        claim = await self._find_attempt(waiting, fresh=fresh, held=held)
        if isinstance(claim, ClaimFailure):
            self._metrics.count_claim(claim.name.lower())
            log.debug("scheduler.claim.no_job", node=waiting.node, reason=claim.name.lower())
        else:
            self._metrics.count_claim("renewed" if claim.renewed else "leased")
        return claim

    async def _find_attempt(
        self, waiting: WaitingRequest, *, fresh: bool, held: Sequence[AttemptRef]
    ) -> Assignment | ClaimFailure:
        node = waiting.node
        state = await self._nodes.read_node(node)
        waiting.digest = state.digest
        if state.has_attempt and not held:
            leased = await self._renew_attempt(waiting)
        else:
            leased = await self._claim_job(waiting, state, fresh=fresh, held=held)
        if isinstance(leased, ClaimFailure):
            return leased
        assignment = leased.assignment
        log.info(
            "scheduler.job.claimed",
            job_id=str(assignment.ref.job_id),
            attempt=assignment.ref.attempt,
            node=node,
            is_prefetch=bool(held),
            request_id=assignment.request_id,
        )
        policy = await self._policies.load_policy(assignment.ref.tenant_id)
        free_memory = self._fleet.is_gpu_too_small(leased.requirement_id, state.memory_gib)
        runtime_fields = {"policy": policy, "frames_per_image": self._frames_per_image, "free_memory": free_memory}
        return assignment.model_copy(update=runtime_fields)

    async def _renew_attempt(self, waiting: WaitingRequest) -> attempts.LeasedJob | ClaimFailure:
        """Renew the lease of the live attempt of a node that repeats its request."""
        async with self._take_claim_slot(waiting.node), self._database.connection() as connection:
            if self._is_ended(waiting):
                return ClaimFailure.CONTENDED
            async with connection.transaction():
                await attempts.lock_node_and_read_digest(connection, waiting.node)
                leased = await attempts.renew_live_assignment(connection, waiting.node, self._lease_s)
        return leased or ClaimFailure.CONTENDED

    async def _claim_job(
        self, waiting: WaitingRequest, state: claims.ClaimingNode, *, fresh: bool, held: Sequence[AttemptRef]
    ) -> attempts.LeasedJob | ClaimFailure:
        """Find a job for the node and lease it, with the same arguments as ``_claim_attempt``."""
        node = waiting.node
        if state.digest is None:
            return ClaimFailure.RESTRICTED
        requirements = await self._list_requirements(state.digest, fresh=fresh)
        if held:
            requirements = self._skip_served_requirements(requirements, node)
        too_large = await self._fleet.list_too_large_requirements(requirements, state.memory_gib)
        requirements = [requirement for requirement in requirements if requirement not in too_large]
        requirements = self._requests.skip_claimed_requirements(waiting, requirements)
        requirements = self._skip_requirements_deferred_to_busy_nodes(requirements, node)
        if not requirements:
            return ClaimFailure.RESTRICTED if too_large else ClaimFailure.NOTHING
        async with self._take_claim_slot(node), self._database.connection() as connection:
            if self._is_ended(waiting):
                return ClaimFailure.CONTENDED
            search = await self._search_tenants(connection, node, requirements)
            if isinstance(search, ClaimFailure):
                return ClaimFailure.RESTRICTED if too_large else search
            async with connection.transaction():
                claim = await self._lease_job(connection, node, state.digest, search, held)
            if claim.leased is not None and not claim.leased.assignment.renewed:
                self._record_claim(node, claim.leased.requirement_id, claim)
        await self._publisher.publish_live_event(claim.transition)
        return claim.leased or ClaimFailure.CONTENDED

    @asynccontextmanager
    async def _take_claim_slot(self, node: str) -> AsyncIterator[None]:
        """Wait until fewer than ``MAX_CONCURRENT_CLAIMS`` claims are in progress, and log how long it took.

        Long waits mean that PostgreSQL is too slow for the number of nodes.
        """
        began, is_queued = monotonic(), self._claim_slots.locked()
        if is_queued:
            log.debug("scheduler.claim.queued", node=node)
        async with self._claim_slots:
            if is_queued:
                log.debug("scheduler.claim.started", node=node, waited_s=round(monotonic() - began, 3))
            yield

    def _is_ended(self, request: WaitingRequest) -> bool:
        """Whether a request must be answered without a job. A prefetch is not among the requests that are ended."""
        return request.is_ended or request.boot_id in self._stopped_executors

    def _record_claim(self, node: str, requirement: int, claim: _Claim) -> None:
        """Record which models the node will have loaded, after the commit."""
        run_s = self._waits.predict_run_time(requirement, loads_models=claim.loads_models)
        models = self._fleet.get_models(requirement)
        self._loaded.record_claim(node, models, run_s=run_s, is_prefetch=claim.is_prefetch)
        self._waits.record_claim(requirement, loads_models=claim.loads_models)

    def _skip_served_requirements(self, requirements: Sequence[int], node: str) -> list[int]:
        """Return the requirements that no other waiting node could serve now, or that the others defer to this node."""
        find, loaded = self._requests.find_waiting_node, self._loaded.get_loaded_models(node)
        served = {requirement for requirement in requirements if find(requirement, excluded={node}) is not None}
        warm = [
            requirement
            for requirement in served
            if self._fleet.get_models(requirement) <= loaded
            and find(requirement, excluded={node}, only_warm=True) is None
        ]
        served -= self._waits.list_deferred_requirements(warm, "").keys()
        return [requirement for requirement in requirements if requirement not in served]

    def _skip_requirements_deferred_to_busy_nodes(self, requirements: Sequence[int], node: str) -> list[int]:
        """Return the requirements that the node does not defer to a busy one. A node is woken later for the others."""
        deferred = self._waits.list_deferred_requirements(requirements, node)
        for requirement, wait_s in deferred.items():
            self._schedule_wake(requirement, wait_s)
        return [requirement for requirement in requirements if requirement not in deferred]

    async def _list_requirements(self, digest: str, *, fresh: bool) -> list[int]:
        """List the requirements that a node with this catalog meets and that queued jobs have."""
        runnable, waiting = self._fleet.find_runnable_requirements(digest), self._waiting.fresh_ids
        if runnable is None or waiting is None or fresh:
            async with self._database.connection() as connection:
                runnable = await self._fleet.load_runnable_requirements(connection, digest)
                waiting = await self._waiting.load_requirements(connection, fresh=fresh)
        self._waits.forget_unqueued_requirements(waiting)
        return sorted(runnable & waiting)

    async def _search_tenants(
        self, connection: Connection, node: str, requirements: Sequence[int]
    ) -> TenantSearch | ClaimFailure:
        """Find tenants that have a job for the node. Takes no lock.

        A job that must avoid this node, because the node failed while running it, is considered only if there is no
        other job and no other node can run it.
        """
        tenants = await claims.find_tenants_with_jobs(connection, requirements, node=node)
        if tenants:
            return TenantSearch(tenants, requirements, node)
        avoided = await claims.list_avoided_requirements(connection, requirements, node=node)
        exclusive = await self._fleet.list_exclusive_requirements(connection, node, avoided) if avoided else []
        tenants = await claims.find_tenants_with_jobs(connection, exclusive, node=None) if exclusive else []
        if tenants:
            return TenantSearch(tenants, exclusive, None)
        if avoided:
            return ClaimFailure.RESTRICTED
        return ClaimFailure.NOTHING

    async def _lease_job(
        self, connection: Connection, node: str, digest: str, search: TenantSearch, held: Sequence[AttemptRef]
    ) -> _Claim:
        """Lease a job of one of the tenants. Leases none if other claims were faster, or if the node has changed."""
        due_tenant = await self._placer.lock_next_tenant(connection, search, node=node)
        if due_tenant is None or await attempts.lock_node_and_read_digest(connection, node) != digest:
            return _Claim()
        # A reply to an earlier request may have been lost.
        live = await attempts.renew_live_assignment(connection, node, self._lease_s, held=held)
        if live is not None:
            return _Claim(live)
        slot = await attempts.find_free_slot(connection, node, max_attempts=self._node_attempts)
        if slot is None:
            return _Claim()
        claimable = await self._placer.lock_job(connection, due_tenant, search)
        if claimable is None:
            return _Claim()
        models = self._fleet.get_models(claimable.requirement_id)
        loads_models = not models <= self._loaded.get_loaded_models(node)
        cost_s = await self._placer.load_job_cost(connection)
        leased = await attempts.insert_attempt(
            connection, claimable, node, slot=slot, lease_s=self._lease_s, cost_s=cost_s, loads_models=loads_models
        )
        attempt, effects = leased.assignment.ref.attempt, compute_claim_effects(cost_s)
        transition = await transitions.apply_transition(
            connection, claimable.job, Cause.CLAIMED, effects, now=claimable.now, attempt=attempt
        )
        return _Claim(leased, transition, loads_models=loads_models, is_prefetch=slot.is_prefetch)

    async def _wake_requests(self) -> None:
        """Wake requests for new jobs, and at intervals for all jobs. Called by ``chassis.loop.Loop``.

        Reads the database only if a request is idle.
        """
        clock = asyncio.get_running_loop().time
        is_due = clock() >= self._recheck_at
        is_recheck, nodes_changed = is_due or self._recheck_wanted, is_due or self._nodes_changed
        self._recheck_wanted, self._nodes_changed = False, False
        try:
            waiting = (
                await self._read_waiting_requirements(nodes_changed=nodes_changed)
                if self._requests.has_idle_requests
                else None
            )
            await self._fleet.load_new_requirements()  # last: jobs may have been announced meanwhile
            self._wake_for_queued_jobs(waiting)
            if is_recheck:
                if waiting is None or waiting:
                    self._requests.repeat_claims()
                self._wake_each_catalog(waiting or frozenset())
            if is_due:
                self._recheck_at = clock() + RECHECK_S
        except BaseException:
            self.schedule_recheck()
            raise

    def _wake_for_queued_jobs(self, waiting: Set[int] | None) -> None:
        """Wake requests for new jobs.

        Args:
            waiting: requirements of all queued jobs; None if no request is idle.
        """
        past_head_start, self._past_head_start = self._past_head_start, Counter()
        new_jobs = self._new_jobs.take_counts()
        later = self._list_head_starts(new_jobs)
        for requirement, wait_s in self._waits.list_deferred_requirements(later, "").items():
            self._schedule_wake(requirement, wait_s, jobs=new_jobs[requirement])
            later -= {requirement}
            del new_jobs[requirement]
        due = past_head_start + Counter({key: jobs for key, jobs in new_jobs.items() if key not in later})
        for requirement, jobs in due.items():
            if waiting is None or requirement in waiting:
                self._requests.wake_for_jobs(requirement, jobs)
        if later:
            jobs_later = Counter({requirement: new_jobs[requirement] for requirement in later})
            asyncio.get_running_loop().call_later(HEAD_START_S, self._end_head_start, jobs_later)

    def _wake_each_catalog(self, waiting: Set[int]) -> None:
        later = frozenset[int]() if self._is_recheck_past_head_start else self._list_head_starts(waiting)
        self._is_recheck_past_head_start = False
        self._requests.wake_each_catalog(waiting - later)
        if later:
            asyncio.get_running_loop().call_later(HEAD_START_S, self._end_recheck_head_start)

    def _list_head_starts(self, requirements: Iterable[int]) -> frozenset[int]:
        """List requirements whose models some node has loaded, but no idle one of this process.

        Such a node may be about to request work after a job, or wait at another scheduler.
        """
        if not self._prefers_warm or not self._requests.has_idle_requests:
            return frozenset()
        loaded = self._loaded.list_models_elsewhere("")
        return frozenset(
            requirement
            for requirement in requirements
            if self._fleet.get_models(requirement)
            and self._fleet.get_models(requirement) <= loaded
            and self._requests.rate_idle_nodes(requirement) not in {None, Warmth.WARM}
        )

    def _end_head_start(self, jobs: Counter[int]) -> None:
        self._past_head_start += jobs
        self._scheduled_wakes -= jobs.keys()
        self.wake_loop.wake()

    def _schedule_wake(self, requirement: int, wait_s: float, jobs: int = 1) -> None:
        """Wake requests in ``wait_s`` seconds for jobs deferred to a busy node, if they are still queued then."""
        if requirement not in self._scheduled_wakes:
            self._scheduled_wakes.add(requirement)
            asyncio.get_running_loop().call_later(wait_s, self._end_head_start, Counter({requirement: jobs}))

    def _end_recheck_head_start(self) -> None:
        self._is_recheck_past_head_start = True
        self.schedule_recheck(nodes_changed=False)

    async def _read_waiting_requirements(self, *, nodes_changed: bool) -> Set[int]:
        """Read the requirements of all queued jobs and, if nodes changed, the catalogs of waiting nodes."""
        async with self._database.connection() as connection:
            await self._history.refresh_history(connection)
            if nodes_changed:
                digests = await claims.list_catalog_digests(connection, self._requests.list_idle_nodes())
                for digest in {digest for digest in digests.values() if digest is not None}:
                    await self._fleet.load_runnable_requirements(connection, digest)
                self._requests.set_digests(digests)
            return await self._waiting.load_requirements(connection, fresh=True)
