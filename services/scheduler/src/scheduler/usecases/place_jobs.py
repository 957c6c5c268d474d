"""Chooses the job that a node gets in a claim, so that nodes rarely load models (decision record 0057)."""

from collections.abc import Mapping, Sequence
from time import monotonic
from typing import NamedTuple
from uuid import UUID

from chassis.database.statement import Connection
from scheduler.domain.placement import (
    FirstJob,
    Warmth,
    choose_job,
    find_due_job,
    is_within_one_job,
    list_preferred_tenants,
    may_yield_turn,
)
from scheduler.domain.settlement import MIN_COST_S, estimate_cost
from scheduler.store import attempts, claims
from scheduler.usecases.fleet_state import FleetState
from scheduler.usecases.loaded_models import LoadedModels

COST_FRESH_S = 5.0  # for how long the mean cost of jobs is cached


class TenantSearch(NamedTuple):
    """Tenants that have a job for a node.

    Attributes:
        tenants: best first.
        requirements: ids of the requirements that the node meets and that queued jobs have.
        avoided_node: skip jobs that must avoid this node; None skips none.
    """

    tenants: Sequence[UUID]
    requirements: Sequence[int]
    avoided_node: str | None


class DueTenant(NamedTuple):
    """The tenant whose turn it is. Its lock is held.

    Attributes:
        warmth: how warm jobs with each requirement are; empty if all jobs are equally warm.
        jobs: the tenant's first job of each warmth; empty if all jobs are equally warm.
    """

    tenant: claims.LockedTenant
    warmth: Mapping[int, Warmth]
    jobs: Sequence[FirstJob]


class JobPlacer:
    """Prefers jobs whose models the node has loaded.

    Args:
        bound_s: maximum time for which a job is passed over; 0: no job is passed over.
    """

    def __init__(self, fleet: FleetState, loaded: LoadedModels, *, bound_s: float) -> None:
        self._fleet, self._loaded, self._bound_s = fleet, loaded, bound_s
        self._cost_s, self._cost_until = MIN_COST_S, 0.0

    async def lock_next_tenant(self, connection: Connection, search: TenantSearch, *, node: str) -> DueTenant | None:
        """Lock the tenant whose turn it is; None if other transactions have locked all."""
        warmth = self._rate_requirements(search.requirements, node)
        if warmth:
            tenant, jobs = await claims.lock_next_tenant_and_list_jobs(
                connection, search.tenants, warmth, node=search.avoided_node
            )
            return DueTenant(tenant, warmth, jobs) if tenant else None
        tenant = await claims.lock_next_tenant(connection, search.tenants)
        return DueTenant(tenant, warmth, ()) if tenant else None

    async def lock_job(
        self, connection: Connection, due_tenant: DueTenant, search: TenantSearch
    ) -> claims.ClaimableJob | None:
        """Choose and lock the job that the node gets.

        None if another transaction has locked it, or there is no job any more.

        The lock of the node must be held, too.
        """
        if not due_tenant.warmth:
            return await claims.lock_first_job(
                connection, due_tenant.tenant, search.requirements, node=search.avoided_node
            )
        if not due_tenant.jobs:
            return None
        due, choice = find_due_job(due_tenant.jobs), choose_job(due_tenant.jobs, bound_s=self._bound_s)
        if may_yield_turn(due, choice, bound_s=self._bound_s):
            found = await self._lock_job_of_other_tenant(connection, due_tenant, due, node=search.avoided_node)
            if found is not None:
                return found
        passed_over = choice.passed_over.id if choice.passed_over else None
        return await claims.lock_chosen_job(connection, due_tenant.tenant, choice.job.id, passed_over=passed_over)

    async def load_job_cost(self, connection: Connection) -> float:
        """Return the estimated GPU-seconds of a job."""
        if monotonic() >= self._cost_until:
            self._cost_s = estimate_cost(await attempts.compute_mean_gpu_seconds(connection))
            self._cost_until = monotonic() + COST_FRESH_S
        return self._cost_s

    def _rate_requirements(self, requirements: Sequence[int], node: str) -> dict[int, Warmth]:
        """Rate how warm jobs with each requirement are on the node; empty if there is nothing to choose."""
        if self._bound_s <= 0 or len(requirements) < 2:
            return {}
        loaded, elsewhere = self._loaded.get_loaded_models(node), self._loaded.list_models_elsewhere(node)
        warmth = {requirement: self._fleet.rate_warmth(requirement, loaded, elsewhere) for requirement in requirements}
        return warmth if len(set(warmth.values())) > 1 else {}

    async def _lock_job_of_other_tenant(
        self, connection: Connection, due_tenant: DueTenant, due: FirstJob, *, node: str | None
    ) -> claims.ClaimableJob | None:
        """Lock a warm job of another tenant that has used at most one job more than the tenant whose turn it is.

        Args:
            due: the job whose turn it is.
        """
        warm = {requirement: warmth for requirement, warmth in due_tenant.warmth.items() if warmth is Warmth.WARM}
        if not warm:
            return None
        tenant, cost_s = due_tenant.tenant, await self.load_job_cost(connection)
        found = await claims.list_tenants_with_warm_jobs(
            connection, [*warm], node=node, until=tenant.vtime + cost_s / tenant.weight
        )
        preferred = list_preferred_tenants(tenant.fair_share, found, cost_s=cost_s, bound_s=self._bound_s)
        if not preferred:
            return None
        ids = [other.id for other in preferred]
        locked, jobs = await claims.lock_next_tenant_and_list_jobs(connection, ids, warm, node=node)
        if locked is None or not jobs or not is_within_one_job(tenant.fair_share, locked.fair_share, cost_s=cost_s):
            return None
        return await claims.lock_chosen_job(connection, locked, jobs[0].id, passed_over=due.id)
