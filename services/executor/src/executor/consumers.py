"""Hints of the scheduler about attempts. They may be lost."""

from chassis.messaging.bus import Subscriber
from chassis.messaging.metadata import Metadata
from contracts.executor.attempts import CancelAttempt, ReleaseAttempt
from executor.domain.attempt import StopReason
from executor.usecases.live_attempts import LiveAttempts


def build_cancel_subscriber(live: LiveAttempts) -> Subscriber[CancelAttempt]:
    """Return the subscriber to ``cmd.executor.attempt.cancel``. The next heartbeat reply says the same."""

    async def stop_attempt(hint: CancelAttempt, _: Metadata) -> None:
        live.request_stop(StopReason.CANCELLED, hint.job_id, hint.attempt)

    return stop_attempt


def build_release_subscriber(live: LiveAttempts) -> Subscriber[ReleaseAttempt]:
    """Return the subscriber to ``cmd.executor.attempt.release``. An attempt that has started stays."""

    async def release_attempt(hint: ReleaseAttempt, _: Metadata) -> None:
        live.release_attempt(hint.job_id, hint.attempt)

    return release_attempt
