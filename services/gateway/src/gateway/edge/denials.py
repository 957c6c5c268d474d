"""Who was refused what they may not do is told to auth, which keeps the audit log."""

import asyncio
from time import monotonic

from chassis.messaging.bus import Bus
from chassis.telemetry.logs import log
from contracts.auth.audit import RECORD_DENIAL, RecordDenial
from contracts.auth.credentials import Principal
from contracts.wire.errors import Refusal
from gateway.edge.rate_limits.domain import Bucket, Policy

PER_SECOND = 10


class Denials:
    """Tells auth in the background, at most ``PER_SECOND`` a second; nobody waits for it, and a failure is logged."""

    def __init__(self, bus: Bus) -> None:
        self._bus = bus
        self._bucket = Bucket(Policy("denial", PER_SECOND, window_s=1), monotonic())
        self._telling: set[asyncio.Task[None]] = set()

    def note(self, principal: Principal, *, what: str, code: str, ip: str) -> None:
        """Have it recorded.

        Args:
            principal: who was refused.
            what: they wanted to do.
            code: of the refusal.
            ip: where they asked from.
        """
        if not self._bucket.take(monotonic()).allowed:
            log.warning("gateway.denial.not_recorded", error="too many", user_id=principal.tenant, what=what)
            return
        denial = RecordDenial(what=what[:200], code=code, key_id=principal.key_id, ip=ip)
        task = asyncio.create_task(self._tell(principal.tenant, denial), name="gateway.denial")
        self._telling.add(task)
        task.add_done_callback(self._telling.discard)

    async def _tell(self, user_id: str, denial: RecordDenial) -> None:
        try:
            await self._bus.request(RECORD_DENIAL, denial, tenant=user_id)
        except Refusal as refusal:
            log.warning("gateway.denial.not_recorded", error=str(refusal), user_id=user_id, what=denial.what)
