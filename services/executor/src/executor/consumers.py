"""Cancel messages. They may be lost: the next heartbeat reply says the same."""

from nats.aio.msg import Msg
from pydantic import ValidationError

from chassis.messaging.bus import Listener
from chassis.telemetry.logs import log
from contracts.executor.attempts import CancelAttempt
from executor.domain.attempt import Stop
from executor.usecases.at_hand import CurrentAttempt


def on_cancel(at_hand: CurrentAttempt) -> Listener:
    """Return the handler of ``cmd.executor.attempt.cancel``."""

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
