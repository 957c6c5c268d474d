"""The submission of a job, and its timeline."""

from fastapi import APIRouter

from contracts.scheduler.jobs import UnknownJob
from gateway.api.v1.problems import declare_problems
from gateway.edge.access import Reader
from gateway.jobs.history import JobHistory
from gateway.jobs.history_schemas import JobSubmissionBody, TimelineBody, build_timeline_body
from gateway.jobs.resubmission import rebuild_submission


def create_router(*, history: JobHistory) -> APIRouter:
    routes = APIRouter(prefix="/api/v1/jobs/{job_id}", tags=["jobs"])

    @routes.get("/submission", summary="Read the submission of a job", responses=declare_problems(UnknownJob))
    async def read_submission_of_job(tenant: Reader, job_id: str) -> JobSubmissionBody:
        """`submission` runs the same again. An upload that it names may have been deleted meanwhile."""
        found = await history.read_job_with_graph(job_id, tenant=tenant)
        return JobSubmissionBody(
            workflow=found.job.workflow,
            submission=rebuild_submission(found.job, found.graph.graph, found.saved),
            graph=found.graph.graph,
            extra_data=found.graph.extra_data,
        )

    @routes.get("/timeline", summary="Read the timeline of a job", responses=declare_problems(UnknownJob))
    async def read_timeline(tenant: Reader, job_id: str) -> TimelineBody:
        """Has every transition with its cause, and every attempt with its outcome.

        Progress of the nodes of the workflow is sent to watchers only, and not stored.
        """
        return build_timeline_body(*await history.read_timeline(job_id, tenant=tenant))

    return routes
