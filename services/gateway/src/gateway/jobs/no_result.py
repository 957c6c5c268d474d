"""Explains why a job has no result."""

from contracts.gateway.outputs import JobNotFinished
from contracts.scheduler.jobs import JOB_ERRORS, STATUS_OF_STATE, Job, JobError, JobStatus
from contracts.wire.errors import FieldError

_DETERMINISTIC_ERRORS = frozenset({"job.run_time_exceeded", "job.poison", "job.no_outputs"})
_CORRECT = "Correct the job and submit it again. If it is right, report this error to the operator of this API"
_WAIT = "Wait until its status is completed: poll GET /api/v1/jobs/<id>, or follow its events"


def build_no_result_refusal(job: Job) -> JobNotFinished:
    """Return the refusal for a job that is not completed: its state, the cause, and what to do."""
    match STATUS_OF_STATE[job.state]:
        case JobStatus.FAILED:
            error = job.error or JobError(code="node.fault", message="")
            field_error = FieldError(code=error.code, message=describe_cause(error), node_id=error.node_id)
            advice = _CORRECT if would_fail_again(error) else "Submit it again"
            return JobNotFinished(reason=f"it failed. {describe_cause(error)}. {advice}", errors=(field_error,))
        case JobStatus.CANCELLED:
            return JobNotFinished(reason="it was cancelled. Submit it again to have it run")
        case JobStatus.PROCESSING:
            return JobNotFinished(reason=f"it is running. {_WAIT}")
        case _ if job.held:
            return JobNotFinished(reason="an operator holds it. Ask the operator, or cancel it")
        case _:
            return JobNotFinished(reason=f"it is waiting to run. {_WAIT}")


def would_fail_again(error: JobError) -> bool:
    """Whether running the same job again would give the same error."""
    return error.code.startswith("workflow.") or error.code in _DETERMINISTIC_ERRORS


def describe_cause(error: JobError) -> str:
    """Return the failed node and its error as one clause without a final period.

    Falls back to the meaning of the code.
    """
    where = f"Node {error.node_id}" if error.node_id else ""
    if error.node_class:
        where = f"{where} ({error.node_class})" if where else error.node_class
    message = (error.message or JOB_ERRORS.get(error.code, error.code)).removesuffix(".")
    return f"{where}: {message}" if where else message
