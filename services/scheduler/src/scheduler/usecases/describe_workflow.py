"""Describes the inputs of a workflow for a form."""

from datetime import UTC, datetime

from chassis.offload import INLINE_BYTES, offload
from contracts.scheduler.workflow_forms import DescribeWorkflow, WorkflowForm
from contracts.workflow import is_ui_format
from scheduler.domain.workflow_form import describe_workflow
from scheduler.usecases.fleet_state import FleetState


class WorkflowDescriber:
    def __init__(self, fleet: FleetState) -> None:
        self._fleet = fleet

    async def describe_workflow(self, query: DescribeWorkflow, *, size_bytes: int) -> WorkflowForm:
        """Return the inputs of a workflow. A large one, or an editor file, is read in a thread.

        Raises:
            InvalidWorkflow: the body is not a graph, or a file that cannot be converted exactly.
            EmptyFleet: no node has ever joined.
        """
        catalogs, now = await self._fleet.load_catalogs(), datetime.now(UTC)
        if size_bytes <= INLINE_BYTES and not is_ui_format(query.graph):
            return describe_workflow(query.graph, catalogs, now=now)
        return await offload(lambda: describe_workflow(query.graph, catalogs, now=now))
