"""The outputs of all completed jobs of a tenant."""

from datetime import datetime
from typing import Annotated
from uuid import UUID

from pydantic import AwareDatetime, Field

from contracts.scheduler.outputs import Output, OutputKind
from contracts.scheduler.rpc import declare_scheduler_rpc
from contracts.wire.model import StrictModel, TolerantModel


class OutputPosition(StrictModel):
    """The place of an output in the list.

    Attributes:
        completed_at: end of its job.
        index: zero-based place among the outputs of its job.
    """

    completed_at: AwareDatetime
    job_id: UUID
    index: Annotated[int, Field(ge=0)]


class ListOutputs(StrictModel):
    """List the outputs of the tenant's completed jobs: the job that ended last first, its outputs in their order.

    Attributes:
        after: the position of the last output of the previous page.
        job_id: return only outputs of this job.
        kinds: return only outputs of these kinds; all if empty.
        temporary: True returns only previews, False no previews.
        workflow, label: return only outputs of jobs with this workflow name or label.
        created_after, created_before: return only outputs of jobs that ended at or after the first and before the
            second.
    """

    limit: Annotated[int, Field(ge=1, le=100)] = 20
    after: OutputPosition | None = None
    job_id: UUID | None = None
    kinds: tuple[OutputKind, ...] = ()
    temporary: bool | None = None
    workflow: str | None = None
    label: tuple[str, str] | None = None
    created_after: AwareDatetime | None = None
    created_before: AwareDatetime | None = None


class ListedOutput(TolerantModel):
    """An output and its job. ``index``: zero-based place among the outputs of the job."""

    job_id: UUID
    index: int
    completed_at: datetime
    workflow: str
    labels: dict[str, str]
    output: Output


class OutputPage(TolerantModel):
    """A page of outputs. ``more`` is true if another page follows."""

    outputs: tuple[ListedOutput, ...]
    more: bool


LIST_OUTPUTS = declare_scheduler_rpc(
    "outputs", "list", ListOutputs, OutputPage, "List the outputs of a tenant, newest first.", timeout_s=1.8
)

TOPICS = (LIST_OUTPUTS,)
