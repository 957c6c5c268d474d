"""Every error code of failed jobs is documented."""

from types import ModuleType

import pytest

import executor.domain.attempt_result
import executor.usecases.post_prompt
import executor.usecases.prepare_prompt
import executor.usecases.queue_uploads
import executor.usecases.run_attempt
import executor.usecases.stage_inputs
import executor.usecases.upload_output
import executor.usecases.watch_prompt
import scheduler.domain.settlement
import scheduler.usecases.expire_jobs
from contracts.scheduler.jobs import JOB_ERRORS, JOB_WARNINGS, JobError
from executor.domain import image_quota, missing_outputs
from executor.domain.attempt_result import AttemptResult

UNSEEN = {"node.withdrawn"}  # for attempts that operators ended; their jobs continue


@pytest.mark.parametrize(
    "module",
    [
        executor.domain.attempt_result,
        executor.usecases.post_prompt,
        executor.usecases.prepare_prompt,
        executor.usecases.run_attempt,
        executor.usecases.stage_inputs,
        executor.usecases.upload_output,
        executor.usecases.queue_uploads,
        executor.usecases.watch_prompt,
        scheduler.domain.settlement,
        scheduler.usecases.expire_jobs,
    ],
    ids=lambda module: module.__name__,
)
def test_every_job_error_code_is_documented(module: ModuleType) -> None:
    errors = [value.error if isinstance(value, AttemptResult) else value for value in vars(module).values()]
    codes = {error.code for error in errors if isinstance(error, JobError)}
    assert codes
    assert codes <= JOB_ERRORS.keys() | UNSEEN


def test_every_warning_code_is_documented() -> None:
    warnings = {
        image_quota.QUOTA_CODE,
        missing_outputs.WARNING_CODE,
        scheduler.domain.settlement.NO_OUTPUTS_WARNING.code,
    }
    assert warnings == JOB_WARNINGS.keys()
