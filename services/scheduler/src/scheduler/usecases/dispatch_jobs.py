"""Assigns queued jobs to nodes that ask for work; a request waits until there is a job or it times out."""

import asyncio
from collections import Counter, deque
from collections.abc import Iterable, Sequence, Set
from enum import Enum, auto
from uuid import UUID

from chassis.database.postgres import AWAY, Database
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
from scheduler.usecases.place_jobs import JobPlacer, TenantSearch
from scheduler.usecases.publish_job_events import JobEventPublisher
from scheduler.usecases.read_claiming_nodes import ClaimingNodeReader
from scheduler.usecases.run_time_history import RunTimeHistory
from scheduler.usecases.tenant_policies import TenantPolicies
from scheduler.usecases.waiting_requests import WaitingRequest, WaitingRequests
from scheduler.usecases.waiting_requirements import WaitingRequirements
from scheduler.usecases.warm_node_waits import WarmNodeWaits

RECHECK_S = 5.0  # a notification may be lost; executors ask again after about as long, each at its own time
CONTENTION_PAUSE_S = 0.02  # until a lock of another transaction is probably gone
CONTENTION_S = 0.2  # for so long also a request that does not wait tries again
STOPPED_EXECUTORS = 1000  # remembered, newest first; a request that overtakes the hint is milliseconds late
HEAD_START_S = 0.1  # of a node that has loaded the models of a job, before a node that has not is woken
CLAIMS_AT_ONCE = 4  # per process; more would only wait for each other's locks
NODES_CHANGED = "nodes"  # payload of the trigger nodes_changed (migration 0020)


class ClaimFailure(Enum):
    """Why a request for work got no attempt."""

    NOTHING = auto()  # no job for this node and others like it
    RESTRICTED = auto()  # perhaps a job, but not for this node: the node is cordoned, or the job avoids it
    CONTENDED = auto()  # a job whose tenant another transaction has locked, or that another node has just taken


class JobDispatcher:
    """Leases attempts to nodes: the best job that the node can run, of the tenant with the least ``vtime``.

    Args:
        node_attempts: live attempts that a node may have.
        warm_bound_s: a job that was passed over for this long, for jobs whose models the node has loaded, is next.
            0: jobs are never passed over, and any suitable node is woken. No node leaves a job to a busy one for
            longer.
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
        self._stopped: deque[UUID] = deque(maxlen=STOPPED_EXECUTORS)
        self._claiming = asyncio.Semaphore(CLAIMS_AT_ONCE)
        self._loaded, self._history, self._prefers_warm = loaded, history, warm_bound_s > 0
        self._waits = WarmNodeWaits(fleet, loaded, history, bound_s=warm_bound_s)
        self._placer = JobPlacer(fleet, loaded, bound_s=warm_bound_s)
        self._requests = WaitingRequests(fleet.can_run, fleet.rate_warmth, loaded.rate_demand)
        self._nodes = ClaimingNodeReader(database)
        self._waiting = WaitingRequirements()
        self._queued: Counter[int] = Counter()  # new jobs by requirement, for which no request is woken yet
        self._outwaited: Counter[int] = Counter()  # the same, once their head start is over
        self._woken_later: set[int] = set()  # requirements of jobs that were left to busy nodes
        self._is_recheck_wanted, self._are_nodes_changed, self._is_recheck_outwaited = False, False, False
        self._recheck_at = 0.0
        self.waking = Loop("scheduler.wake_requests", self._wake_requests, every_s=RECHECK_S)
        """Wakes waiting requests. It must run, or jobs start only when executors ask again."""

    def announce_jobs(self, requirements: Iterable[int]) -> None:
        """Wake a suitable waiting request for each job that was queued, given by its requirement."""
        added = Counter(requirements)
        self._waiting.add_requirements(added)
        self._queued += added
        self.waking.wake()

    def handle_notification(self, payload: str) -> None:
        """Handle a notification of the database: the requirement of a queued job, or that others may be claimable."""
        if payload.isdecimal():
            self.announce_jobs([int(payload)])
        else:
            self.schedule_recheck(are_nodes_changed=payload == NODES_CHANGED)

    def schedule_recheck(self, *, are_nodes_changed: bool = True) -> None:
        """Wake a waiting request of each kind of node for which there may be a job."""
        self._is_recheck_wanted = True
        self._are_nodes_changed |= are_nodes_changed
        self.waking.wake()

    def close(self) -> None:
        """Answer every waiting request now, and let no request wait any more. Call before the process stops."""
        self._is_open = False
        self._requests.end_all_requests()

    def cancel_requests(self, boot_id: UUID) -> None:
        """Answer waiting requests of this executor now, and assign it nothing more: it is being stopped."""
        self._stopped.append(boot_id)
        self._requests.end_requests_of_executor(boot_id)

    async def lease_attempt(self, node: str, request: RequestWork) -> WorkReply:
        """Lease an attempt to the node; the answer is empty if there is no job for it within ``wait_s`` seconds.

        A node that already has a live attempt gets that attempt again, with its lease renewed. With ``held``, it gets
        one that the request does not name, or prefetches a job that no waiting node could start now.
        """
        if request.boot_id in self._stopped:
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

    async def lease_requested_attempt(self, node: str, request: RequestWork) -> Assignment | None:
        """Lease an attempt that was requested with the end of another one. Does not wait for new jobs.

        That end is committed, so an outage of the database is no error: the node requests work again.
        """
        try:
            return (await self.lease_attempt(node, request.model_copy(update={"wait_s": 0}))).assignment
        except AWAY as error:
            log.warning("scheduler.next_attempt.not_leased", node=node, error=type(error).__name__)
            return None

    def find_waiting_node(
        self, requirement: int, *, excluded: Set[str], held_on_warm_node_s: float | None = None
    ) -> str | None:
        """Find a node whose request waits in this process and that should start a job with this requirement.

        Args:
            held_on_warm_node_s: since when a busy node holds the job that has loaded its models; None: no such node.
                Then only a node that has loaded them, too, should start it, until the load would have ended.
        """
        is_load_over = held_on_warm_node_s is None or held_on_warm_node_s >= self._waits.predict_load(requirement)
        return self._requests.find_waiting_node(requirement, excluded=excluded, only_warm=not is_load_over)

    @property
    def has_waiting_nodes(self) -> bool:
        return self._requests.has_idle_requests

    async def _prefetch_attempt(self, request: WaitingRequest, held: Sequence[AttemptRef]) -> Assignment | None:
        """Lease a job to prefetch to a node that still runs another one. Does not wait for new jobs."""
        clock = asyncio.get_running_loop().time
        until = clock() + CONTENTION_S
        while True:
            claim = await self._claim_attempt(request, fresh=False, held=held)
            if not isinstance(claim, ClaimFailure):
                return claim
            if claim is not ClaimFailure.CONTENDED or clock() >= until or not self._is_open:
                return None
            await asyncio.sleep(CONTENTION_PAUSE_S)

    async def _wait_for_attempt(self, waiting: WaitingRequest, wait_s: float) -> Assignment | None:
        clock = asyncio.get_running_loop().time
        until = clock() + wait_s
        while not waiting.is_ended:
            claim = await self._claim_attempt(waiting, fresh=wait_s <= 0)
            if not isinstance(claim, ClaimFailure):
                if waiting.wake is not None and self._requests.has_idle_requests:
                    self.schedule_recheck(are_nodes_changed=False)  # there may be more jobs than requests were woken
                waiting.wake = None
                return claim
            if claim is ClaimFailure.CONTENDED and clock() < until + CONTENTION_S and self._is_open:
                await asyncio.sleep(CONTENTION_PAUSE_S)
                continue
            if claim is ClaimFailure.NOTHING:
                waiting.wake = None
            self._requests.pass_wake_on(waiting)
            if not self._is_open or not await self._requests.wait_for_wake(waiting, until - clock()):
                break
        return None

    async def _claim_attempt(
        self, waiting: WaitingRequest, *, fresh: bool, held: Sequence[AttemptRef] = ()
    ) -> Assignment | ClaimFailure:
        """Lease the next job for the node. Takes no lock and opens no transaction unless there seems to be one.

        Args:
            fresh: read the requirements of queued jobs now, for a request that does not wait for notifications.
            held: attempts that the node has already; the job is prefetched.
        """
        claim = await self._find_attempt(waiting, fresh=fresh, held=held)
        if isinstance(claim, ClaimFailure):
            self._metrics.count_claim(claim.name.lower())
        else:
            self._metrics.count_claim("renewed" if claim.renewed else "leased")
        return claim

    async def _find_attempt(
        self, waiting: WaitingRequest, *, fresh: bool, held: Sequence[AttemptRef]
    ) -> Assignment | ClaimFailure:
        node = waiting.node
        state = await self._nodes.read_node(node)
        waiting.digest = state.digest
        requirements, is_restricted = list[int](), False
        is_repeated = state.has_attempt and not held
        if not is_repeated:
            if state.digest is None:
                return ClaimFailure.RESTRICTED
            requirements = await self._list_requirements(state.digest, fresh=fresh)
            requirements = requirements if not held else self._skip_served_requirements(requirements, node)
            too_large = await self._fleet.list_too_large_requirements(requirements, state.memory_gib)
            is_restricted = bool(too_large)
            requirements = self._requests.skip_claimed_requirements(
                waiting, [one for one in requirements if one not in too_large]
            )
            requirements = self._skip_left_requirements(requirements, node)
            if not requirements:
                return ClaimFailure.RESTRICTED if is_restricted else ClaimFailure.NOTHING
        transition = None
        async with self._claiming, self._database.single() as connection:
            if waiting.is_ended:
                return ClaimFailure.CONTENDED
            if is_repeated or state.digest is None:
                async with connection.transaction():
                    await attempts.lock_node(connection, node)
                    leased = await attempts.renew_live_assignment(connection, node, self._lease_s)
            else:
                search = await self._search_tenants(connection, node, requirements)
                if isinstance(search, ClaimFailure):
                    return ClaimFailure.RESTRICTED if is_restricted else search
                async with connection.transaction():
                    leased, transition = await self._lease_job(connection, node, state.digest, search, held)
        await self._publisher.publish_live_event(transition)
        if leased is None:
            return ClaimFailure.CONTENDED
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
        more = {"policy": policy, "frames_per_image": self._frames_per_image, "free_memory": free_memory}
        return assignment.model_copy(update=more)

    def _skip_served_requirements(self, requirements: Sequence[int], node: str) -> list[int]:
        """Return the requirements that no other node could serve now, or that the others leave to this one."""
        find, loaded = self._requests.find_waiting_node, self._loaded.get_loaded_models(node)
        served = {one for one in requirements if find(one, excluded={node}) is not None}
        warm = [
            one
            for one in served
            if self._fleet.get_models(one) <= loaded and find(one, excluded={node}, only_warm=True) is None
        ]
        served -= self._waits.list_left(warm, "").keys()
        return [one for one in requirements if one not in served]

    def _skip_left_requirements(self, requirements: Sequence[int], node: str) -> list[int]:
        """Return the requirements that the node does not leave to a busy one. Some node is woken later for the rest."""
        left = self._waits.list_left(requirements, node)
        for requirement, wait_s in left.items():
            self._wake_later(requirement, wait_s)
        return [one for one in requirements if one not in left] if left else list(requirements)

    async def _list_requirements(self, digest: str, *, fresh: bool) -> list[int]:
        """List the requirements that a node with this catalog meets and that queued jobs have."""
        runnable, waiting = self._fleet.find_runnable_requirements(digest), self._waiting.fresh_ids
        if runnable is None or waiting is None or fresh:
            async with self._database.single() as connection:
                runnable = await self._fleet.load_runnable_requirements(connection, digest)
                waiting = await self._waiting.load_requirements(connection, fresh=fresh)
        self._waits.forget_others(waiting)
        return sorted(runnable & waiting)

    async def _search_tenants(
        self, connection: Connection, node: str, requirements: Sequence[int]
    ) -> TenantSearch | ClaimFailure:
        """Find tenants that have a job for the node. Takes no lock.

        A job that must avoid this node, because the node failed while running it, is considered only if there is no
        other job and no other node can run it.
        """
        tenants = await claims.find_tenants(connection, requirements, node=node)
        if tenants:
            return TenantSearch(tenants, requirements, node)
        avoided = await claims.list_avoided_requirements(connection, requirements, node=node)
        exclusive = await self._fleet.list_exclusive_requirements(connection, node, avoided) if avoided else []
        tenants = await claims.find_tenants(connection, exclusive, node=None) if exclusive else []
        if tenants:
            return TenantSearch(tenants, exclusive, None)
        if avoided:
            return ClaimFailure.RESTRICTED
        return ClaimFailure.NOTHING

    async def _lease_job(
        self, connection: Connection, node: str, digest: str, search: TenantSearch, held: Sequence[AttemptRef]
    ) -> tuple[attempts.LeasedJob | None, transitions.Transition | None]:
        """Lease a job of one of the tenants; None if others were faster, or if the node has changed."""
        turn = await self._placer.lock_tenant(connection, search, node=node)
        if turn is None or await attempts.lock_node(connection, node) != digest:
            return None, None
        live = await attempts.renew_live_assignment(connection, node, self._lease_s, held=held)  # of an earlier request
        if live is not None:
            return live, None
        slot = await attempts.find_free_slot(connection, node, max_attempts=self._node_attempts)
        if slot is None:
            return None, None
        found = await self._placer.lock_job(connection, turn, search)
        if found is None:
            return None, None
        models = self._fleet.get_models(found.requirement_id)
        loads_models = not models <= self._loaded.get_loaded_models(node)
        run_s = self._waits.predict_run(found.requirement_id, loads_models=loads_models)
        self._loaded.record_claim(node, models, run_s=run_s, is_prefetch=bool(held))
        self._waits.record_claim(found.requirement_id, loads_models=loads_models)
        cost_s = await self._placer.load_job_cost(connection)
        leased = await attempts.insert_attempt(
            connection, found, node, slot=slot, lease_s=self._lease_s, cost_s=cost_s, loads_models=loads_models
        )
        attempt, effects = leased.assignment.ref.attempt, compute_claim_effects(cost_s)
        transition = await transitions.apply_transition(
            connection, found.job, Cause.CLAIMED, effects, now=found.now, attempt=attempt
        )
        return leased, transition

    async def _wake_requests(self) -> None:
        """Run one pass, for ``chassis.loop.Loop``. With nothing to wake, it reads nothing."""
        clock = asyncio.get_running_loop().time
        is_due = clock() >= self._recheck_at
        is_recheck, are_nodes_changed = is_due or self._is_recheck_wanted, is_due or self._are_nodes_changed
        self._is_recheck_wanted, self._are_nodes_changed = False, False
        try:
            await self._fleet.learn_requirements()
            waiting = (
                await self._read_waiting_requirements(are_nodes_changed=are_nodes_changed)
                if self._requests.has_idle_requests
                else None
            )
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
        outwaited, self._outwaited = self._outwaited, Counter()
        queued, self._queued = self._queued, Counter()
        later = self._list_head_starts(queued)
        for requirement, wait_s in self._waits.list_left(later, "").items():
            self._wake_later(requirement, wait_s, jobs=queued[requirement])
            later -= {requirement}
            del queued[requirement]
        for requirement, jobs in (
            outwaited + Counter({one: queued[one] for one in queued if one not in later})
        ).items():
            if waiting is None or requirement in waiting:
                self._requests.wake_for_jobs(requirement, jobs)
        if later:
            jobs_later = Counter({one: queued[one] for one in later})
            asyncio.get_running_loop().call_later(HEAD_START_S, self._end_head_start, jobs_later)

    def _wake_each_catalog(self, waiting: Set[int]) -> None:
        later = frozenset[int]() if self._is_recheck_outwaited else self._list_head_starts(waiting)
        self._is_recheck_outwaited = False
        self._requests.wake_each_catalog(waiting - later)
        if later:
            asyncio.get_running_loop().call_later(HEAD_START_S, self._end_recheck_head_start)

    def _list_head_starts(self, requirements: Iterable[int]) -> frozenset[int]:
        """List requirements whose models some node has loaded, but no idle one of this process.

        That node may have just finished a job and be about to request work, or wait at another scheduler.
        """
        if not self._prefers_warm or not self._requests.has_idle_requests:
            return frozenset()
        loaded = self._loaded.list_models_elsewhere("")
        return frozenset(
            one
            for one in requirements
            if self._fleet.get_models(one)
            and self._fleet.get_models(one) <= loaded
            and self._requests.rate_idle_nodes(one) not in {None, Warmth.WARM}
        )

    def _end_head_start(self, jobs: Counter[int]) -> None:
        self._outwaited += jobs
        self._woken_later -= jobs.keys()
        self.waking.wake()

    def _wake_later(self, requirement: int, wait_s: float, jobs: int = 1) -> None:
        """Wake requests for jobs that are left to a busy node, if they still wait then."""
        if requirement not in self._woken_later:
            self._woken_later.add(requirement)
            asyncio.get_running_loop().call_later(wait_s, self._end_head_start, Counter({requirement: jobs}))

    def _end_recheck_head_start(self) -> None:
        self._is_recheck_outwaited = True
        self.schedule_recheck(are_nodes_changed=False)

    async def _read_waiting_requirements(self, *, are_nodes_changed: bool) -> Set[int]:
        """Read the requirements of all queued jobs and, if nodes changed, the catalogs of waiting nodes."""
        async with self._database.single() as connection:
            await self._history.refresh_history(connection)
            if are_nodes_changed:
                digests = await claims.list_digests(connection, self._requests.list_idle_nodes())
                for digest in {one for one in digests.values() if one is not None}:
                    await self._fleet.load_runnable_requirements(connection, digest)
                self._requests.set_digests(digests)
            return await self._waiting.load_requirements(connection, fresh=True)
