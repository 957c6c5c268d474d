"""The NATS API for external systems. Replies have the bodies of the REST API.

The tenant comes from the subject, which the NATS server has authorized.
"""

from collections.abc import Callable
from uuid import UUID

from chassis.http.app import build_problem_body
from chassis.ids import new_id
from chassis.messaging.bus import Bus
from chassis.messaging.serving import CheckRequest
from chassis.offload import INLINE_BYTES
from chassis.telemetry.logs import get_log_context
from contracts.auth.accounts import UnknownUser
from contracts.gateway.nats_api import NATS_CANCEL_JOB, NATS_READ_JOB, NATS_SUBMIT_JOB, HttpBody, NatsJobRequest
from contracts.scheduler.jobs import Job
from contracts.wire.errors import RefusalDetails
from contracts.wire.topic import Address
from gateway.accounts.user_cache import UserCache
from gateway.edge.errors import BodyTooLarge
from gateway.edge.json_body import MAX_WORKFLOW_BODY_BYTES, parse_json
from gateway.edge.rate_limits.domain import per_minute_policy
from gateway.edge.rate_limits.service import RateLimiter, build_rate_limited_refusal
from gateway.jobs.schemas import build_job_body
from gateway.jobs.service import JobService
from gateway.jobs.submit import JobSubmitter
from gateway.workflows.submission_formats import ParsedSubmission, parse_submission

IDEMPOTENCY_HEADER = "Idempotency-Key"
MAX_JOB_REQUEST_BYTES = 1024  # bytes of a request that names a job


class NatsApiRateLimits:
    """Counts requests of external systems in the same buckets as HTTP requests of the same user.

    Args:
        limiter: None disables rate limits.
        users: has each user's limits.
    """

    def __init__(self, limiter: RateLimiter | None, users: UserCache) -> None:
        self._limiter, self._users = limiter, users

    def create_check(self, policy_name: str) -> CheckRequest:
        """Return a function that counts a message as a request of a policy, "read" or "write"."""

        async def admit(address: Address) -> None:
            if self._limiter is None:
                return
            try:
                user_id = UUID(address.tenant)
            except ValueError:
                raise UnknownUser from None
            limits = await self._users.read_limits_by_id(user_id)
            if limits.requests_per_minute is None:
                return
            policy = per_minute_policy(policy_name, limits.requests_per_minute)
            decision = await self._limiter.take(policy.key(str(user_id)), policy)
            if not decision.allowed:
                raise build_rate_limited_refusal(policy, decision)

        return admit


def serve_requests(
    bus: Bus,
    jobs: JobService,
    submitter: JobSubmitter,
    public_url: str,
    *,
    rates: NatsApiRateLimits,
    on_usage_changed: Callable[[UUID], None],
) -> None:
    """Serve requests of external systems. Call it before the bus starts.

    ``on_usage_changed`` is called with the user whose usage has changed.
    """

    def build_body(job: Job) -> HttpBody:
        return HttpBody.model_validate(build_job_body(job, public_url).model_dump(mode="json"))

    async def submit(submission: ParsedSubmission, address: Address) -> HttpBody:
        key = address.headers.get(IDEMPOTENCY_HEADER)
        accepted = await submitter.submit_job(
            submission,
            tenant=address.tenant,
            idempotency_keys=[] if key is None else [key],
            is_large=address.size_bytes > INLINE_BYTES,
        )
        return build_body(accepted.job)

    async def read(request: NatsJobRequest, address: Address) -> HttpBody:
        return build_body(await jobs.read_job(str(request.job_id), tenant=address.tenant))

    async def cancel(request: NatsJobRequest, address: Address) -> HttpBody:
        job = await jobs.cancel_job(str(request.job_id), tenant=address.tenant)
        on_usage_changed(job.tenant_id)
        return build_body(job)

    bus.serve(
        NATS_SUBMIT_JOB,
        submit,
        decode=_read_submission,
        render_refusal=_build_problem_body,
        check_request=rates.create_check("write"),
    )
    bus.serve(
        NATS_READ_JOB,
        read,
        decode=_parse_job_request,
        render_refusal=_build_problem_body,
        check_request=rates.create_check("read"),
    )
    bus.serve(
        NATS_CANCEL_JOB,
        cancel,
        decode=_parse_job_request,
        render_refusal=_build_problem_body,
        check_request=rates.create_check("write"),
    )


def _read_submission(data: bytes) -> ParsedSubmission:
    """Return the payload, parsed with the same checks as a request body."""
    if len(data) > MAX_WORKFLOW_BODY_BYTES:
        raise BodyTooLarge(limit=MAX_WORKFLOW_BODY_BYTES)
    return parse_submission(parse_json(data))


def _parse_job_request(data: bytes) -> NatsJobRequest:
    if len(data) > MAX_JOB_REQUEST_BYTES:
        raise BodyTooLarge(limit=MAX_JOB_REQUEST_BYTES)
    return NatsJobRequest.model_validate_json(data)


def _build_problem_body(refused: RefusalDetails) -> HttpBody:
    request_id = get_log_context().get("request_id") or new_id().hex
    return HttpBody.model_validate(build_problem_body(refused, request_id))
