"""Chooses the job that a node gets within a claim, so that nodes seldom load models (decision record 0057)."""

from collections.abc import Mapping, Sequence
from time import monotonic
from typing import NamedTuple
from uuid import UUID

from chassis.database.statement import Connection
from scheduler.domain.placement import (
    Choice,
    FirstJob,
    Warmth,
    choose_job,
    find_due_job,
    is_within_one_job,
    list_preferred_tenants,
)
from scheduler.domain.settlement import COST_ESTIMATE_S
from scheduler.store import attempts, claims
from scheduler.usecases.fleet_state import FleetState
from scheduler.usecases.loaded_models import LoadedModels

COST_FRESH_S = 5.0  # for how long the mean cost of jobs is cached


class Search(NamedTuple):
    """Tenants that have a job for a node.

    Attributes:
        tenants: best first.
        requirements: that the node meets and that queued jobs have.
        avoided_node: jobs that must avoid this node are skipped; None skips none.
    """

    tenants: Sequence[UUID]
    requirements: Sequence[int]
    avoided_node: str | None


class JobPlacer:
    """Prefers jobs whose models the node has loaded.

    Args:
        bound_s: a job that was passed over for so long is next; 0 never passes over a job.
    """

    def __init__(self, fleet: FleetState, loaded: LoadedModels, *, bound_s: float) -> None:
        self._fleet, self._loaded, self._bound_s = fleet, loaded, bound_s
        self._cost_s, self._cost_until = COST_ESTIMATE_S, 0.0

    async def lock_job(
        self, connection: Connection, tenant: claims.LockedTenant, search: Search, *, node: str
    ) -> claims.ClaimableJob | None:
        """Choose and lock the job that the node gets; None if others lock it or there is none any more.

        Args:
            tenant: the tenant whose turn it is. Its lock, and that of the node, must be held.
        """
        warmth = self._rate_requirements(search.requirements, node)
        if len(set(warmth.values())) < 2:  # all are equally warm
            return await claims.lock_first_job(connection, tenant, search.requirements, node=search.avoided_node)
        firsts = await claims.list_first_jobs(connection, tenant, warmth, node=search.avoided_node)
        if not firsts:
            return None
        due, choice = find_due_job(firsts), choose_job(firsts, bound_s=self._bound_s)
        if choice.job.warmth is not Warmth.WARM and due.passed_over_s < self._bound_s:
            warm = {requirement: one for requirement, one in warmth.items() if one is Warmth.WARM}
            found = await self._lock_job_of_other_tenant(connection, tenant, warm, node=search.avoided_node)
            if found is not None:
                await self._mark_passed_over(connection, due)
                return found
        return await self._lock_choice(connection, tenant, choice)

    def _rate_requirements(self, requirements: Sequence[int], node: str) -> dict[int, Warmth]:
        """Rate how warm jobs with each requirement are on the node; nothing if jobs must not be passed over."""
        if self._bound_s <= 0 or len(requirements) < 2:  # nothing to choose from
            return {}
        loaded, elsewhere = self._loaded.get_loaded(node), self._loaded.list_elsewhere(node)
        return {one: self._fleet.rate_warmth(one, loaded, elsewhere) for one in requirements}

    async def _lock_choice(
        self, connection: Connection, tenant: claims.LockedTenant, choice: Choice
    ) -> claims.ClaimableJob | None:
        found = await claims.lock_job(connection, tenant, choice.job.id)
        if found is not None and choice.passed_over is not None:
            await self._mark_passed_over(connection, choice.passed_over)
        return found

    async def _lock_job_of_other_tenant(
        self, connection: Connection, due: claims.LockedTenant, warm: Mapping[int, Warmth], *, node: str | None
    ) -> claims.ClaimableJob | None:
        """Lock a warm job of another tenant, if that keeps the fair share within one job."""
        if not warm:
            return None
        cost_s = await self._load_job_cost(connection)
        until = due.vtime + cost_s / due.weight
        tenants = await claims.list_warm_tenants(connection, [*warm], node=node, until=until)
        preferred = list_preferred_tenants(due.turn, tenants, cost_s=cost_s, bound_s=self._bound_s)
        if not preferred:
            return None
        other = await claims.lock_tenant(connection, [turn.id for turn in preferred])
        if other is None or not is_within_one_job(due.turn, other.turn, cost_s=cost_s):
            return None
        firsts = await claims.list_first_jobs(connection, other, warm, node=node)
        return await claims.lock_job(connection, other, firsts[0].id) if firsts else None

    async def _load_job_cost(self, connection: Connection) -> float:
        """Return what a job costs: the mean of the newest ones, at least what is charged at the claim."""
        if monotonic() >= self._cost_until:
            mean_s = await attempts.compute_mean_gpu_seconds(connection)
            self._cost_s, self._cost_until = max(mean_s or 0.0, COST_ESTIMATE_S), monotonic() + COST_FRESH_S
        return self._cost_s

    async def _mark_passed_over(self, connection: Connection, job: FirstJob) -> None:
        if not job.passed_over_s:
            await claims.mark_passed_over(connection, job.id)
