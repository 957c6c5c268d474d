"""Submits jobs to the scheduler, for all APIs."""

import secrets
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any, NamedTuple
from uuid import UUID

from chassis.ids import new_id
from chassis.messaging.bus import Bus
from chassis.offload import offload
from chassis.telemetry.logs import log, log_context
from contracts.gateway.submissions import Submission
from contracts.scheduler.jobs import READ_JOB, Job, ReadJob, UnknownJob
from contracts.scheduler.submissions import (
    SUBMIT_JOB,
    VALIDATE_WORKFLOW,
    InvalidWorkflow,
    SubmitJob,
    SubmitReply,
    ValidationReply,
)
from contracts.scheduler.usage import Quota
from contracts.scheduler.workflow_forms import DESCRIBE_WORKFLOW, DescribeWorkflow, WorkflowForm
from contracts.wire.errors import ErrorKind, FieldError, InternalFault, Refusal, RelayedRefusal, Unavailable
from contracts.workflow import is_ui_format, read_graph
from gateway.edge.idempotency import parse_idempotency_key
from gateway.edge.json_body import MAX_ERRORS
from gateway.fleet.service import FleetView
from gateway.jobs.errors import STORE_PROBLEMS, ResultStorageFull
from gateway.jobs.extra_data import ExtraDataKeys
from gateway.jobs.input_pins import InputPins
from gateway.jobs.request_hash import hash_large_request, hash_request
from gateway.jobs.storage_limit import ResultStorageLimit
from gateway.jobs.workflow_pointers import build_input_pointer, find_longest_text, relocate_errors
from gateway.storage.status import StoreStatus
from gateway.uploads.store import Upload
from gateway.workflows import parameters
from gateway.workflows.builtin import choice as built_in
from gateway.workflows.builtin import image_to_image
from gateway.workflows.builtin.image_to_image import Size
from gateway.workflows.builtin.nodes import MAX_SEED
from gateway.workflows.service import SavedWorkflows, set_parameter_values
from gateway.workflows.submission_formats import ParsedSubmission

READ_BACK_TIMEOUT_S = 0.5
"""Together with the timeout of SUBMIT_JOB it is below the 2 s within which clients learn of an outage."""
SECOND_TRY_TIMEOUT_S = 5.0
STORAGE_REFUSALS: tuple[type[Refusal], ...] = (ResultStorageFull, *STORE_PROBLEMS)
MAX_SUBMISSION_BYTES = 4 << 20  # as JSON: each service parses or serializes a submission in one call


class SubmissionPlan(NamedTuple):
    """What a submission runs.

    Attributes:
        model, seed: checkpoint and seed of a built-in workflow.
        relocate_errors: makes the pointers of errors refer to the submission as it was sent.
        is_large: whether checking the graph takes more than a millisecond, so that a thread does it.
    """

    graph: dict[str, Any]
    workflow: str
    model: str | None = None
    seed: int | None = None
    relocate_errors: Callable[[tuple[FieldError, ...]], tuple[FieldError, ...]] = tuple
    is_large: bool = False


class AcceptedJob:
    """A job that the scheduler has committed.

    Attributes:
        quota: None if the reply was lost and the job was read back.
    """

    def __init__(self, job: Job, *, replayed: bool, quota: Quota | None) -> None:
        self.job, self.replayed, self.quota = job, replayed, quota


class JobSubmitter:
    """Submits jobs.

    Args:
        bus: connection to the scheduler.
        fleet: chooses the default model.
        saved_workflows: the saved workflows.
        pins: pins the uploads of jobs.
        result_limit: limits the stored results of each tenant.
        store: says whether results can be stored.
        on_usage_changed: called with the user whose usage has changed.
        extra_data_keys: the keys of ``extra_data`` that reach nodes.
    """

    def __init__(
        self,
        bus: Bus,
        *,
        fleet: FleetView,
        saved_workflows: SavedWorkflows,
        pins: InputPins,
        result_limit: ResultStorageLimit,
        store: StoreStatus,
        on_usage_changed: Callable[[UUID], None],
        extra_data_keys: ExtraDataKeys,
    ) -> None:
        self._extra_data_keys, self._on_usage_changed = extra_data_keys, on_usage_changed
        self._bus, self._fleet, self._saved_workflows, self._pins = bus, fleet, saved_workflows, pins
        self._result_limit, self._store = result_limit, store

    async def submit_job(
        self,
        sent: ParsedSubmission,
        *,
        tenant: str,
        idempotency_keys: list[str],
        endpoint: str | None = None,
        batch_digest: str = "",
        parameters_pointer: str = "/parameters",
        is_large: bool = False,
    ) -> AcceptedJob:
        """Submit one job.

        The job's id is generated here, so that after a lost reply the job can be looked up instead of submitted twice.
        An idempotency key returns its job even if the saved workflow or upload of the request no longer exists.

        Args:
            sent: what to run.
            tenant: owner of the job.
            idempotency_keys: all Idempotency-Key headers of the request; more than one is refused.
            endpoint: method and path template of the request, for usage statistics.
            batch_digest: digest of the batch that the submission belongs to. It is part of the request hash, so that an
                idempotency key of another batch is refused.
            parameters_pointer: JSON Pointer to the parameters in the request.
            is_large: whether checking it takes more than a millisecond, so that a thread does it.

        Raises:
            BadIdempotencyKey: the key is malformed.
            InvalidRequest: ``extra_data`` is invalid.
            InvalidWorkflow: the graph cannot run, or the submission is larger than ``MAX_SUBMISSION_BYTES``.
            UnknownWorkflow: the tenant has no saved workflow of this name and version.
            BadParameters: the parameters do not fit the saved workflow.
            ResultStorageFull: the tenant's stored outputs have reached their limit.
            StorageFull, StoreMismatch: results could not be stored now.
            RelayedRefusal: the scheduler refused.
            Unavailable: the job may or may not be committed. Sending the same Idempotency-Key again is safe.
        """
        key, job_id = parse_idempotency_key(idempotency_keys), new_id()
        submission = sent.submission
        request_hash = (
            await _hash_large_submission(sent, batch_digest) if is_large else hash_request(submission, batch_digest)
        )
        try:
            plan = await self._plan_submission(sent, tenant, parameters_pointer, is_large)
            extra_data = self._extra_data_keys.check_extra_data(submission.extra_data)
            await self._result_limit.check_limit(tenant)
            self._store.require_space_for_new_work()
        except Refusal as refusal:
            if key is None or not _may_have_been_accepted(refusal, submission):
                raise
            return await self._replay_job(job_id, key, request_hash, tenant, refusal)
        with _relocated_errors(plan):
            graph, pinned = await self._pins.pin_uploads(
                plan.graph, tenant=tenant, job_id=job_id, is_large=plan.is_large
            )
        command = _build_command(
            submission,
            plan._replace(graph=dict(graph)),
            pinned,
            extra_data=extra_data,
            job_id=job_id,
            idempotency_key=key,
            request_hash=request_hash,
            endpoint=endpoint,
        )
        with log_context(job_id=str(job_id)), _relocated_errors(plan):
            try:
                accepted = await self._submit_to_scheduler(command, tenant, is_large=plan.is_large)
            except Refusal as refusal:
                if command.inputs and not may_be_committed(refusal):
                    await self._pins.unpin_uploads(job_id)
                raise
            if command.inputs and accepted.job.job_id != job_id:  # replayed: that job has its own pins
                await self._pins.unpin_uploads(job_id)
        self._on_usage_changed(accepted.job.tenant_id)
        log.info("gateway.job.accepted", job_id=str(accepted.job.job_id), replayed=accepted.replayed)
        return accepted

    async def validate_submission(
        self, sent: ParsedSubmission, *, tenant: str, parameters_pointer: str = "/parameters", is_large: bool = False
    ) -> ValidationReply:
        """Check a submission without creating a job. All reasons to refuse it as invalid are among the errors.

        Raises:
            UnknownWorkflow, RelayedRefusal, Unavailable: see ``submit_job``.
        """
        submission = sent.submission
        try:
            if is_large:
                await _hash_large_submission(sent, "")
            plan = await self._plan_submission(sent, tenant, parameters_pointer, is_large)
            extra_data = self._extra_data_keys.check_extra_data(submission.extra_data)
            with _relocated_errors(plan):
                graph, uploads = await self._pins.find_uploads_in_graph(
                    plan.graph, tenant=tenant, is_large=plan.is_large
                )
            plan = plan._replace(graph=dict(graph))
            command = _build_command(submission, plan, uploads, extra_data=extra_data, job_id=new_id(), request_hash="")
            found = await self._bus.request(VALIDATE_WORKFLOW, command, tenant=tenant, is_large=plan.is_large)
        except Refusal as refusal:
            if refusal.details.kind is not ErrorKind.INVALID:
                raise
            return ValidationReply(errors=extract_field_errors(refusal))
        relocated = {"errors": plan.relocate_errors(found.errors), "warnings": plan.relocate_errors(found.warnings)}
        found = found.model_copy(update=relocated)
        try:
            await self._result_limit.check_limit(tenant)
            self._store.require_space_for_new_work()
        except STORAGE_REFUSALS as refusal:
            found = found.model_copy(update={"warnings": (*extract_field_errors(refusal), *found.warnings)})
        return found

    async def describe_inputs(
        self, sent: ParsedSubmission, *, tenant: str, is_large: bool = False
    ) -> tuple[dict[str, Any], WorkflowForm]:
        """Return the graph in API format that a submission would run, and the inputs that a form can set.

        Raises:
            InvalidWorkflow: the graph is not one, or a file that cannot be converted exactly.
            UnknownWorkflow, BadParameters, NoModel, RelayedRefusal, Unavailable: see ``submit_job``.
        """
        name = sent.submission.workflow_name
        if name is not None and name in built_in.NAMES:
            model = await self._fleet.choose_default_model()
            plan = SubmissionPlan(built_in.build_template(name, model=model), built_in.CUSTOM)
        else:
            plan = await self._plan_submission(sent, tenant, "/parameters", is_large)
        query = DescribeWorkflow(graph=plan.graph)
        with _relocated_errors(plan):
            form = await self._bus.request(DESCRIBE_WORKFLOW, query, tenant=tenant, is_large=plan.is_large)
        return (plan.graph if form.graph is None else form.graph), form

    async def _replay_job(
        self, job_id: UUID, key: str, request_hash: str, tenant: str, refusal: Refusal
    ) -> AcceptedJob:
        """Return the job that the same key created earlier; raise ``refusal`` if there is none.

        Sends an empty graph, which the scheduler refuses if there is no such job.
        """
        command = SubmitJob(job_id=job_id, graph={}, idempotency_key=key, request_hash=request_hash)
        try:
            return await self._submit_to_scheduler(command, tenant)
        except Refusal as replayed:
            raise (refusal if replayed.details.code == InvalidWorkflow.code else replayed) from None

    async def _submit_to_scheduler(self, command: SubmitJob, tenant: str, *, is_large: bool = False) -> AcceptedJob:
        """Submit the job.

        After a lost reply, look the job up; if the scheduler answers but has no such job, submit it again.
        """
        try:
            return _to_accepted_job(await self._bus.request(SUBMIT_JOB, command, tenant=tenant, is_large=is_large))
        except Refusal as refusal:
            if not may_be_committed(refusal):
                raise
            log.warning("gateway.job.submit_in_doubt")
            first_refusal: Refusal = refusal
        try:
            read = await self._bus.request(
                READ_JOB, ReadJob(job_id=command.job_id), tenant=tenant, within_s=READ_BACK_TIMEOUT_S
            )
            return AcceptedJob(read.job, replayed=False, quota=None)
        except RelayedRefusal as relayed:
            if relayed.details.code != UnknownJob.code:
                raise first_refusal from first_refusal.__cause__
        except (Unavailable, InternalFault):
            raise first_refusal from first_refusal.__cause__
        # An internal error: the job was not committed, and submitting it again would hit the same bug.
        if first_refusal.details.kind is ErrorKind.INTERNAL:
            raise first_refusal from first_refusal.__cause__
        try:
            reply = self._bus.request(
                SUBMIT_JOB, command, tenant=tenant, within_s=SECOND_TRY_TIMEOUT_S, is_large=is_large
            )
            return _to_accepted_job(await reply)
        except Unavailable:  # the second request failed, too; the first may still have been committed
            raise first_refusal from first_refusal.__cause__

    async def _plan_submission(
        self, sent: ParsedSubmission, tenant: str, parameters_pointer: str, is_large: bool
    ) -> SubmissionPlan:
        submission = sent.submission
        if submission.workflow_name is not None:
            version = await self._saved_workflows.read_workflow(
                submission.workflow_name, submission.version, tenant=tenant
            )
            graph = set_parameter_values(version, submission.parameters, parameters_pointer)
            relocate = lambda errors: parameters.relocate_errors(errors, version.parameters, parameters_pointer)  # noqa: E731
            return SubmissionPlan(
                graph, version.summary.name, relocate_errors=relocate, is_large=is_large or version.is_large
            )
        if submission.workflow is None:
            model = submission.model or await self._fleet.choose_default_model()
            seed = secrets.randbelow(MAX_SEED + 1) if submission.seed == -1 else submission.seed
            graph = built_in.build_graph(await self._fill_in_image_size(submission, tenant), model=model, seed=seed)
            return SubmissionPlan(
                graph,
                built_in.find_workflow_name(submission),
                model,
                seed,
                partial(built_in.relocate_errors, submission),
            )
        relocate = partial(relocate_errors, graph_pointer=sent.workflow_pointer)
        if is_ui_format(submission.workflow):  # the scheduler has the class definitions needed to convert it
            return SubmissionPlan(submission.workflow, built_in.CUSTOM, relocate_errors=relocate, is_large=is_large)
        if is_large:
            _, errors = await offload(read_graph, submission.workflow, sent.workflow_pointer)
        else:
            _, errors = read_graph(submission.workflow, sent.workflow_pointer)
        if errors:
            raise InvalidWorkflow(errors[:MAX_ERRORS])
        return SubmissionPlan(submission.workflow, built_in.CUSTOM, relocate_errors=relocate, is_large=is_large)

    async def _fill_in_image_size(self, submission: Submission, tenant: str) -> Submission:
        """Return the submission with both sides if its image is scaled. The client may send only one of them."""
        image_names = {name for name in (submission.image, submission.mask) if name}
        if not image_names:
            return submission
        found = await self._pins.find_uploads(image_names, tenant=tenant)
        sizes = {name: Size(image.width, image.height) for name, image in found.items() if image.width and image.height}
        return image_to_image.fit_to_image(submission, sizes)


@contextmanager
def _relocated_errors(plan: SubmissionPlan) -> Iterator[None]:
    """Make the errors of an InvalidWorkflow refer to the submission as it was sent."""
    try:
        yield
    except Refusal as refusal:
        if refusal.details.code != InvalidWorkflow.code:
            raise
        raise InvalidWorkflow(plan.relocate_errors(refusal.details.errors)) from refusal


def _build_command(
    submission: Submission,
    plan: SubmissionPlan,
    uploads: Sequence[Upload],
    *,
    job_id: UUID,
    request_hash: str,
    idempotency_key: str | None = None,
    endpoint: str | None = None,
    extra_data: dict[str, Any] | None = None,
) -> SubmitJob:
    return SubmitJob(
        job_id=job_id,
        graph=plan.graph,
        extra_data=extra_data,
        inputs=tuple(upload.id for upload in uploads),
        input_sizes=tuple((upload.width or 0, upload.height or 0) for upload in uploads),
        input_types=tuple(upload.content_type for upload in uploads),
        workflow=plan.workflow,
        model=plan.model,
        seed=plan.seed,
        randomize_seeds=submission.randomize_seeds,
        priority=submission.priority,
        labels=submission.labels,
        start_within_seconds=submission.start_within_seconds,
        run_within_seconds=submission.run_within_seconds,
        idempotency_key=idempotency_key,
        request_hash=request_hash,
        endpoint=endpoint,
        fail_without_outputs=submission.on_no_outputs == "fail",
    )


def extract_field_errors(refusal: Refusal) -> tuple[FieldError, ...]:
    """Return the field errors of a refusal; if it has none, one error with its code and message."""
    refused = refusal.details
    return refused.errors or (FieldError(code=refused.code, message=refused.message),)


def may_be_committed(refusal: Refusal) -> bool:
    """Whether the job may have been committed despite the refusal.

    The reply was lost, the database failed, or a fault occurred that may have come after the commit.
    """
    return (
        refusal.details.code == InternalFault.code
        or isinstance(refusal.__cause__, TimeoutError)
        or (isinstance(refusal, RelayedRefusal) and refusal.details.code == Unavailable.code)
    )


def _may_have_been_accepted(refusal: Refusal, submission: Submission) -> bool:
    """Whether an earlier submission with this key may have been accepted, when uploads and workflows still existed."""
    if isinstance(refusal, STORAGE_REFUSALS):
        return True
    return submission.workflow is None and refusal.details.kind is not ErrorKind.UNAVAILABLE


def _to_accepted_job(submitted: SubmitReply) -> AcceptedJob:
    return AcceptedJob(submitted.job, replayed=submitted.replayed, quota=submitted.quota)


async def _hash_large_submission(sent: ParsedSubmission, batch_digest: str) -> str:
    digest, size = await offload(hash_large_request, sent.submission, batch_digest)
    if size > MAX_SUBMISSION_BYTES:
        raise InvalidWorkflow((_build_size_error(size, sent),))
    return digest


def _build_size_error(size: int, sent: ParsedSubmission) -> FieldError:
    message = f"A submission has at most {MAX_SUBMISSION_BYTES} bytes as compact JSON; this one has {size}."
    text = find_longest_text(sent.submission.workflow or {})
    if text is None:
        return FieldError(pointer=sent.workflow_pointer, code="workflow_too_large", message=message)
    return FieldError(
        pointer=build_input_pointer(sent.workflow_pointer, text.node_id, text.input),
        code="workflow_too_large",
        message=f"{message} The largest text is the input {text.input} of node {text.node_id}, {text.size} bytes. "
        "Upload files (POST /api/v1/upload) instead of writing them into the workflow.",
        node_id=text.node_id,
        input=text.input,
    )
