"""Cancel messages. They may be lost: the next heartbeat reply says the same."""

from chassis.messaging.bus import Subscriber
from chassis.messaging.metadata import Metadata
from contracts.executor.attempts import CancelAttempt
from executor.domain.attempt import Stop
from executor.usecases.at_hand import CurrentAttempt


def on_cancel(at_hand: CurrentAttempt) -> Subscriber[CancelAttempt]:
    """The subscriber to ``cmd.executor.attempt.cancel``."""

    async def stop(hint: CancelAttempt, _: Metadata) -> None:
        ref = at_hand.ref
        if ref is not None and (ref.job_id, ref.attempt) == (hint.job_id, hint.attempt):
            at_hand.order(Stop.CANCELLED, ref)

    return stop
