"""Reads the workflow of a job, and its events and attempts."""

import asyncio
from typing import NamedTuple

from chassis.messaging.bus import Bus
from contracts.scheduler.jobs import (
    READ_JOB,
    READ_JOB_GRAPH,
    Job,
    JobEvent,
    JobGraph,
    ReadJob,
    ReadJobGraph,
)
from contracts.scheduler.search import INSPECT_JOB, AttemptSummary, InspectJob
from gateway.jobs.service import parse_job_id
from gateway.workflows.builtin import choice as built_in
from gateway.workflows.errors import UnknownWorkflow
from gateway.workflows.schemas import WorkflowVersion
from gateway.workflows.service import SavedWorkflows


class JobWithGraph(NamedTuple):
    """A job and its workflow. ``saved``: the newest version of the saved workflow that it names, if that exists."""

    job: Job
    graph: JobGraph
    saved: WorkflowVersion | None


class JobHistory:
    """Reads what a job ran, and how it went.

    Every method raises UnknownJob (or RelayedRefusal) if the tenant has no such job.
    """

    def __init__(self, bus: Bus, saved_workflows: SavedWorkflows) -> None:
        self._bus, self._saved_workflows = bus, saved_workflows

    async def read_job_with_graph(self, text: str, *, tenant: str) -> JobWithGraph:
        """Return a job with its workflow."""
        job_id = parse_job_id(text)
        job, graph = await asyncio.gather(
            self._bus.request(READ_JOB, ReadJob(job_id=job_id), tenant=tenant),
            self._bus.request(READ_JOB_GRAPH, ReadJobGraph(job_id=job_id), tenant=tenant),
        )
        return JobWithGraph(job.job, graph, await self._find_saved(job.job.workflow, tenant))

    async def read_timeline(self, text: str, *, tenant: str) -> tuple[tuple[JobEvent, ...], tuple[AttemptSummary, ...]]:
        """Return the transitions and attempts of a job, oldest first."""
        job_id = parse_job_id(text)
        # INSPECT_JOB is for jobs of any tenant, so the tenant is checked first.
        found = await self._bus.request(READ_JOB, ReadJob(job_id=job_id, after=0), tenant=tenant)
        inspected = await self._bus.request(INSPECT_JOB, InspectJob(job_id=job_id), tenant=tenant)
        return found.events, inspected.attempts

    async def _find_saved(self, name: str, tenant: str) -> WorkflowVersion | None:
        if name in {built_in.CUSTOM, *built_in.NAMES}:
            return None
        try:
            return await self._saved_workflows.read_workflow(name, None, tenant=tenant)
        except UnknownWorkflow:
            return None
