"""Hand a submission to the scheduler: the same for HTTP and for the door."""

import hashlib
import json
import secrets
from collections.abc import Callable
from typing import Any, NamedTuple

import orjson

from chassis.bus import Bus
from chassis.ids import new_id
from chassis.logs import bound, log
from contracts.gateway import Submission
from contracts.scheduler import (
    READ_JOB,
    SUBMIT_JOB,
    InvalidWorkflow,
    Job,
    Quota,
    ReadJob,
    SubmitJob,
    Submitted,
    UnknownJob,
)
from contracts.wire.errors import FieldError, Kind, Refusal, Relayed, Unavailable
from contracts.workflow import read_graph
from gateway.domain import parameters, text_to_image
from gateway.domain.idempotency import idempotency_key
from gateway.domain.json_body import MAX_ERRORS
from gateway.usecases.fleet import FleetView
from gateway.usecases.saved_workflows import SavedWorkflows, fill_in

READ_BACK_S = 0.5  # with SUBMIT_JOB's own time it stays below the 2 s in which a client hears of an outage
PATIENT_S = 5.0


class Plan(NamedTuple):
    """What a submission becomes. ``explain`` has errors of the graph point at what the client sent instead."""

    graph: dict[str, Any]
    workflow: str
    explain: Callable[[tuple[FieldError, ...]], tuple[FieldError, ...]] = tuple


class Accepted:
    """A job that the scheduler committed.

    Attributes:
        quota: None where only reading it back told that it was.
        graph: what was submitted now; of a replayed job it may differ in what we chose, such as the seed.
    """

    def __init__(self, job: Job, *, replayed: bool, quota: Quota | None, graph: dict[str, Any]) -> None:
        self.job, self.replayed, self.quota, self.graph = job, replayed, quota, graph


async def submit_job(
    submission: Submission,
    *,
    tenant: str,
    idempotency_keys: list[str],
    bus: Bus,
    fleet: FleetView,
    saved: SavedWorkflows,
    part_of: str = "",
    parameters_at: str = "/parameters",
) -> Accepted:
    """Have a submission committed.

    The job's id is minted here, so that an answer that was lost can be asked for again without a second job.

    Args:
        submission: what to run.
        tenant: for whom.
        idempotency_keys: every Idempotency-Key that came with it; at most one is allowed.
        bus: the way to the scheduler.
        fleet: names the model where the submission does not.
        saved: has the workflow that the submission names.
        part_of: digest of the request that this is a part of; the key is compared by all of that.
        parameters_at: where in the request the parameters are, as a JSON Pointer.

    Raises:
        BadIdempotencyKey: the key is malformed.
        InvalidWorkflow: the graph cannot run.
        UnknownWorkflow: the tenant has saved none of this name and version.
        BadParameters: they are not what that workflow takes.
        Relayed: the scheduler refused.
        Unavailable: nobody knows whether it was committed, or it was not. The same Idempotency-Key is safe to send.
    """
    plan = await _plan(submission, tenant, fleet, saved, parameters_at)
    command = SubmitJob(
        job_id=new_id(),
        graph=plan.graph,
        workflow=plan.workflow,
        priority=submission.priority,
        labels=submission.labels,
        start_within_seconds=submission.start_within_seconds,
        run_within_seconds=submission.run_within_seconds,
        idempotency_key=idempotency_key(idempotency_keys),
        request_hash=_request_hash(submission, part_of),
    )
    with bound(job_id=str(command.job_id)):
        try:
            return await _commit(command, tenant, bus)
        except Relayed as relayed:
            if submission.workflow is None and relayed.refused.code == InvalidWorkflow.code:
                raise InvalidWorkflow(plan.explain(relayed.refused.errors)) from relayed
            raise


async def _commit(command: SubmitJob, tenant: str, bus: Bus) -> Accepted:
    """Submit. An answer that was lost is read back; only a scheduler that answers at all is given more time."""
    try:
        return _accepted(await bus.ask(SUBMIT_JOB, command, tenant=tenant), command)
    except (Unavailable, Relayed) as refusal:
        if refusal.refused.kind is not Kind.UNAVAILABLE or not _in_doubt(refusal):
            raise
        log.warning("gateway.job.submit_in_doubt")
        doubt: Refusal = refusal
    try:
        read = await bus.ask(READ_JOB, ReadJob(job_id=command.job_id), tenant=tenant, within_s=READ_BACK_S)
    except Relayed as relayed:
        if relayed.refused.code != UnknownJob.code:
            raise doubt from None
        return _accepted(await bus.ask(SUBMIT_JOB, command, tenant=tenant, within_s=PATIENT_S), command)
    except Unavailable:
        raise doubt from None
    return Accepted(read.job, replayed=False, quota=None, graph=command.graph)


def _in_doubt(refusal: Refusal) -> bool:
    """Whether it may have been committed all the same: no answer in time, or an answer that the database went away."""
    return isinstance(refusal.__cause__, TimeoutError) or (
        isinstance(refusal, Relayed) and refusal.refused.code == Unavailable.code
    )


def _accepted(submitted: Submitted, command: SubmitJob) -> Accepted:
    return Accepted(submitted.job, replayed=submitted.replayed, quota=submitted.quota, graph=command.graph)


async def _plan(
    submission: Submission, tenant: str, fleet: FleetView, saved: SavedWorkflows, parameters_at: str
) -> Plan:
    if submission.workflow_name is not None:
        version = await saved.read(submission.workflow_name, submission.version, tenant=tenant)
        graph = fill_in(version, submission.parameters, parameters_at)
        explain = lambda errors: parameters.explain(errors, version.parameters, parameters_at)  # noqa: E731
        return Plan(graph, version.heading.name, explain)
    if submission.workflow is None:
        model = submission.model or await fleet.default_model()
        graph = text_to_image.build(submission, model=model, seed=secrets.randbelow(text_to_image.MAX_SEED + 1))
        return Plan(graph, text_to_image.NAME, text_to_image.explain)
    _, errors = read_graph(submission.workflow, "/workflow")
    if errors:
        raise InvalidWorkflow(errors[:MAX_ERRORS])
    return Plan(submission.workflow, text_to_image.CUSTOM)


def _request_hash(submission: Submission, part_of: str) -> str:
    """Of what was asked, not of what became of it: the seed that we drew must not make a repetition another request."""
    asked = {name: getattr(submission, name) for name in submission.model_fields_set}
    try:
        written = orjson.dumps(asked, option=orjson.OPT_SORT_KEYS)
    except orjson.JSONEncodeError:  # an integer of more than 64 bits
        written = json.dumps(asked, sort_keys=True, separators=(",", ":")).encode()
    return hashlib.sha256(written + part_of.encode()).hexdigest()
