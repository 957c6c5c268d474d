"""Check a workflow against the fleet, its tenant's policy and its tenant's bounds."""

import secrets
from datetime import UTC, datetime

from chassis.offload import INLINE_BYTES, offload
from contracts.auth.tiers import Limits
from contracts.scheduler.submissions import RunTimeTooLong, SubmitJob
from scheduler.domain.examination import Examined, Terms, examine
from scheduler.domain.fleet_check import Unrunnable
from scheduler.usecases.fleet import FleetKnowledge
from scheduler.usecases.tenant_policies import TenantPolicies


class WorkflowExaminer:
    """Checks workflows for submits and for validations."""

    def __init__(self, *, policies: TenantPolicies, fleet: FleetKnowledge, frames_per_image: int) -> None:
        self._policies, self._fleet, self._frames_per_image = policies, fleet, frames_per_image

    async def examine(self, command: SubmitJob, limits: Limits, *, size_bytes: int) -> Examined:
        """The workflow as a node is to run it, with random seeds drawn.

        Args:
            limits: of its tenant.
            size_bytes: of the command as it came: a large one is checked in a thread.

        Raises:
            InvalidWorkflow: no node can run it as it is, or it is beyond the tenant's bounds.
            RunTimeTooLong: it asks for longer than the tenant's attempts may run.
            EmptyFleet: no node has ever joined.
        """
        most = limits.run_seconds
        if most is not None and command.run_within_seconds is not None and command.run_within_seconds > most:
            raise RunTimeTooLong(most=f"{most:g}")
        sizes = {str(one): size for one, size in zip(command.inputs, command.input_sizes, strict=False) if all(size)}
        types = dict(zip(map(str, command.inputs), command.input_types, strict=False))
        policy = await self._policies.policy_under(limits)
        terms = Terms(
            policy,
            limits,
            sizes,
            self._frames_per_image,
            now=datetime.now(UTC),
            types=types,
            randomize_seeds=command.randomize_seeds,
        )
        catalogs = await self._fleet.catalogs()
        uploads = frozenset(map(str, command.inputs))
        if size_bytes <= INLINE_BYTES:
            examined = examine(command.graph, uploads, catalogs, terms, secrets.randbelow)
        else:
            examined = await offload(examine, command.graph, uploads, catalogs, terms, secrets.randbelow)
        if isinstance(examined, Unrunnable):
            raise await offload(examined.refusal)
        return examined
