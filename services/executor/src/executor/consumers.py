"""Handlers of the scheduler's messages about attempts. Heartbeat replies repeat them, because they may be lost."""

from chassis.messaging.bus import Subscriber
from chassis.messaging.metadata import Metadata
from contracts.executor.attempts import CancelAttempt, ReleaseAttempt
from executor.domain.attempt import StopReason
from executor.usecases.live_attempts import LiveAttempts


def build_cancel_subscriber(live_attempts: LiveAttempts) -> Subscriber[CancelAttempt]:
    """Return the subscriber to ``cmd.executor.attempt.cancel``."""

    async def stop_attempt(hint: CancelAttempt, _: Metadata) -> None:
        live_attempts.request_stop(StopReason.CANCELLED, hint.job_id, hint.attempt)

    return stop_attempt


def build_release_subscriber(live_attempts: LiveAttempts) -> Subscriber[ReleaseAttempt]:
    """Return the subscriber to ``cmd.executor.attempt.release``. It hands back attempts that have not started."""

    async def release_attempt(hint: ReleaseAttempt, _: Metadata) -> None:
        live_attempts.release_attempt(hint.job_id, hint.attempt)

    return release_attempt
