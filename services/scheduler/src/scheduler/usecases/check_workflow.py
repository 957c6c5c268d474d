"""Checks a workflow against the fleet, the tenant's graph policy and the tenant's limits."""

import secrets
from datetime import UTC, datetime

from chassis.offload import INLINE_BYTES, offload
from contracts.auth.tiers import Limits
from contracts.scheduler.submissions import RunTimeTooLong, StartTimeTooLong, SubmitJob
from contracts.workflow import is_ui_format
from scheduler.domain.fleet_check import UnrunnableGraph
from scheduler.domain.workflow_check import CheckContext, CheckedWorkflow, check_workflow
from scheduler.usecases.fleet_state import FleetState
from scheduler.usecases.tenant_policies import TenantPolicies


class WorkflowChecker:
    def __init__(self, *, policies: TenantPolicies, fleet: FleetState, frames_per_image: int) -> None:
        self._policies, self._fleet, self._frames_per_image = policies, fleet, frames_per_image

    async def check_workflow(self, command: SubmitJob, limits: Limits, *, size_bytes: int) -> CheckedWorkflow:
        """Check a workflow and return it as a node will run it, with random seeds drawn.

        Args:
            command: the submission.
            limits: limits of the tenant.
            size_bytes: size of the received command; a large one, or an editor file, is checked in a thread.

        Raises:
            InvalidWorkflow: no node can run it, or it exceeds the tenant's limits.
            StartTimeTooLong: ``start_within_seconds`` exceeds the tenant's limit.
            RunTimeTooLong: ``run_within_seconds`` exceeds the tenant's limit.
            EmptyFleet: no node has ever joined.
        """
        if _exceeds_limit(command.start_within_seconds, limits.start_seconds):
            raise StartTimeTooLong(most=f"{limits.start_seconds:g}")
        if _exceeds_limit(command.run_within_seconds, limits.run_seconds):
            raise RunTimeTooLong(most=f"{limits.run_seconds:g}")
        sizes = {
            str(upload): size for upload, size in zip(command.inputs, command.input_sizes, strict=False) if all(size)
        }
        types = dict(zip(map(str, command.inputs), command.input_types, strict=False))
        policy = await self._policies.build_policy(limits)
        context = CheckContext(
            policy,
            limits,
            sizes,
            self._frames_per_image,
            now=datetime.now(UTC),
            types=types,
            randomize_seeds=command.randomize_seeds,
        )
        catalogs = await self._fleet.load_catalogs()
        uploads = frozenset(map(str, command.inputs))
        if size_bytes <= INLINE_BYTES and not is_ui_format(command.graph):  # an editor file may grow by its subgraphs
            checked = check_workflow(command.graph, uploads, catalogs, context, secrets.randbelow)
        else:
            checked = await offload(check_workflow, command.graph, uploads, catalogs, context, secrets.randbelow)
        if isinstance(checked, UnrunnableGraph):
            raise await offload(checked.build_refusal)
        return checked


def _exceeds_limit(seconds: float | None, limit: float | None) -> bool:
    return seconds is not None and limit is not None and seconds > limit
