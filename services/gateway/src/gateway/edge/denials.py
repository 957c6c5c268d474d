"""Reports requests that lack a scope to auth, for the audit log."""

import asyncio
from time import monotonic

from chassis.messaging.bus import Bus
from chassis.telemetry.logs import log
from contracts.auth.audit import RECORD_DENIAL, RecordDenial
from contracts.auth.credentials import Principal
from contracts.wire.errors import Refusal
from gateway.edge.rate_limits.domain import Policy, TokenBucket

MAX_PER_SECOND = 10


class DenialReporter:
    """Reports in the background, at most ``MAX_PER_SECOND`` denials a second.

    A failure is logged and does not affect the request.
    """

    def __init__(self, bus: Bus) -> None:
        self._bus = bus
        self._bucket = TokenBucket(Policy("denial", MAX_PER_SECOND, window_s=1), monotonic())
        self._tasks: set[asyncio.Task[None]] = set()

    def report(self, principal: Principal, *, what: str, code: str, ip: str) -> None:
        """Report one denied request.

        Args:
            principal: who was denied.
            what: method and path.
            code: error code of the refusal.
            ip: address of the client.
        """
        if not self._bucket.take(monotonic()).allowed:
            log.warning("gateway.denial.not_recorded", error="too many", user_id=principal.tenant, what=what)
            return
        denial = RecordDenial(what=what[:200], code=code, key_id=principal.key_id, ip=ip)
        task = asyncio.create_task(self._send_denial(principal.tenant, denial), name="gateway.denial")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _send_denial(self, user_id: str, denial: RecordDenial) -> None:
        try:
            await self._bus.request(RECORD_DENIAL, denial, tenant=user_id)
        except Refusal as refusal:
            log.warning("gateway.denial.not_recorded", error=str(refusal), user_id=user_id, what=denial.what)
