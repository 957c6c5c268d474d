"""Response body of the synchronous submission."""

from typing import Any

from pydantic import ConfigDict

from contracts.scheduler.jobs import FINAL_STATES, Job, JobError, JobState
from contracts.scheduler.outputs import OutputKind
from contracts.wire.errors import FieldError, Refusal
from gateway.jobs.errors import JobCancelled, JobFailed, JobLost
from gateway.jobs.no_result import describe_cause, would_fail_again
from gateway.jobs.schemas import JobBody, build_job_body, build_job_urls, choose_saved_or_previews, pick_output

_RETRY_S = 5

_EXAMPLE: dict[str, Any] = {
    "job_id": "0199f2b0-7c3e-7a51-9d24-5a1be0c0ffee",
    "status": "completed",
    "image_url": "https://api.example/api/v1/jobs/0199f2b0-7c3e-7a51-9d24-5a1be0c0ffee/result",
    "images": ["https://api.example/api/v1/jobs/0199f2b0-7c3e-7a51-9d24-5a1be0c0ffee/result?index=0"],
    "model": "sd_xl_base_1.0.safetensors",
    "seed": 4711,
}


class GenerateBody(JobBody):
    """A completed job with the URLs of its images.

    Attributes:
        images: URLs of all saved images, or of all previews if none was saved.
        image_url: the first of them, or null. Other outputs are in ``outputs``.
    """

    model_config = ConfigDict(json_schema_extra={"examples": [_EXAMPLE]})

    image_url: str | None
    images: list[str]


def build_generate_body(job: Job, public_url: str) -> GenerateBody:
    """Return the body for a job that has ended.

    Raises:
        JobFailed: the job failed and would fail again.
        JobLost: the job failed because of an infrastructure fault.
        JobCancelled: the job was cancelled.
    """
    if job.state is not JobState.SUCCEEDED:
        raise _build_refusal(job)
    body = build_job_body(job, public_url)
    urls_by_id = {output.id: output.url for output in body.outputs}
    images = choose_saved_or_previews([output for output in job.outputs if output.kind is OutputKind.IMAGE])
    urls = [urls_by_id[image.id] for image in images]
    image_url = urls[0] if urls else None
    if images and pick_output(job.outputs) == images[0]:
        image_url = build_job_urls(job.job_id, public_url).result
    return GenerateBody(**body.model_dump(), image_url=image_url, images=urls)


def _build_refusal(job: Job) -> Refusal:
    assert job.state in FINAL_STATES  # noqa: S101 - the caller has waited for the end
    if job.state is JobState.CANCELLED:
        return JobCancelled()
    error = job.error or JobError(code="node.lost", message="The job did not succeed.")
    errors = (FieldError(code=error.code, message=error.message, node_id=error.node_id),)
    if would_fail_again(error):
        return JobFailed(cause=describe_cause(error), errors=errors)
    return JobLost(errors=errors, retry_after_s=_RETRY_S)
