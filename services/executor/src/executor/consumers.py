"""The hint that an attempt is to stop now. The same is in the next heartbeat's answer, so it may be lost."""

from nats.aio.msg import Msg
from pydantic import ValidationError

from chassis.messaging.bus import Listener
from chassis.telemetry.logs import log
from contracts.executor import CancelAttempt
from executor.domain.attempt import Stop
from executor.usecases.at_hand import AtHand


def on_cancel(at_hand: AtHand) -> Listener:
    """The listener of ``cmd.executor.attempt.cancel``."""

    async def listen(message: Msg) -> None:
        try:
            hint = CancelAttempt.model_validate_json(message.data)
        except ValidationError as error:
            log.warning("executor.hint.unreadable", errors=error.error_count())
            return
        ref = at_hand.ref
        if ref is not None and (ref.job_id, ref.attempt) == (hint.job_id, hint.attempt):
            at_hand.order(Stop.CANCELLED, ref)

    return listen
