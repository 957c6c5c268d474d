"""Dry runs: what an action of an admin would do."""

from typing import Annotated, Any, Literal

from fastapi import Query
from pydantic import BaseModel, ConfigDict

from contracts.preview import NO_EFFECT, Effect, Preview
from contracts.scheduler.job_actions import JobAction, JobNotRepeatable
from contracts.scheduler.jobs import FINAL_STATES, JobState
from contracts.scheduler.search import JobWithAttempts

DryRun = Annotated[bool, Query(description="only return what would happen, and change nothing")]


class EffectBody(BaseModel):
    """An effect. ``count``: the number of affected jobs, users or sessions, or null."""

    code: str
    message: str
    count: int | None


class FieldChangeBody(BaseModel):
    """A field that would change. Limits of a user are named ``limits.…``."""

    field: str
    before: Any
    after: Any


class DryRunBody(BaseModel):
    """What the action would do now. Nothing was changed."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "dry_run": True,
                    "effects": [
                        {
                            "code": "jobs_without_node",
                            "message": "3 waiting jobs can only run on this node.",
                            "count": 3,
                        }
                    ],
                    "changes": [],
                }
            ]
        }
    )

    dry_run: Literal[True] = True
    effects: list[EffectBody]
    changes: list[FieldChangeBody]


def build_dry_run_body(preview: Preview) -> DryRunBody:
    return DryRunBody(
        effects=[EffectBody(**effect.model_dump()) for effect in preview.effects],
        changes=[FieldChangeBody(**change.model_dump()) for change in preview.changes],
    )


def preview_job_action(found: JobWithAttempts, action: JobAction) -> Preview:
    """Return what a cancellation or a requeue of a job would do.

    Raises:
        JobNotRepeatable: the requeue would be refused.
    """
    effect = _describe_cancellation(found) if action is JobAction.CANCEL else _describe_requeue(found)
    return Preview(effects=(effect,))


def _describe_cancellation(found: JobWithAttempts) -> Effect:
    job = found.job
    if job.state in FINAL_STATES:
        return Effect(code=NO_EFFECT, message=f"The job has ended already: {job.state}.")
    if job.state is JobState.QUEUED:
        return Effect(
            code="job_cancelled", message="The waiting job is cancelled. It costs its owner nothing.", count=1
        )
    message = (
        f"The job is stopped on node {found.attempts[-1].node} at {job.progress:.0f} %. "
        "Its owner is charged the GPU time until then, and the images that are stored by then."
    )
    return Effect(code="job_stopped", message=message, count=1)


def _describe_requeue(found: JobWithAttempts) -> Effect:
    job = found.job
    match job.state:
        case JobState.QUEUED:
            return Effect(code=NO_EFFECT, message="The job waits in the queue already.")
        case JobState.FAILED | JobState.EXPIRED:
            message = "The job runs again as a new job of its owner, within the owner's limits."
            return Effect(code="job_repeated", message=message, count=1)
        case JobState.SUCCEEDED | JobState.CANCELLED:
            raise JobNotRepeatable(state=job.state)
        case JobState.LEASED | JobState.RUNNING:
            message = (
                f"The job leaves node {found.attempts[-1].node} and goes back to the queue. "
                f"No attempt is used up; its progress ({job.progress:.0f} %) is lost."
            )
            return Effect(code="job_requeued", message=message, count=1)
