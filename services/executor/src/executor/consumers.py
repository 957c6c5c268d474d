"""Cancel messages. They may be lost: the next heartbeat reply says the same."""

from chassis.messaging.bus import Subscriber
from chassis.messaging.metadata import Metadata
from contracts.executor.attempts import CancelAttempt
from executor.domain.attempt import StopReason
from executor.usecases.current_attempt import CurrentAttempt


def on_cancel(current: CurrentAttempt) -> Subscriber[CancelAttempt]:
    """Return the subscriber to ``cmd.executor.attempt.cancel``."""

    async def stop(hint: CancelAttempt, _: Metadata) -> None:
        ref = current.ref
        if ref is not None and (ref.job_id, ref.attempt) == (hint.job_id, hint.attempt):
            current.request_stop(StopReason.CANCELLED, ref)

    return stop
