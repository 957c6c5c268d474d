"""Deadlines of requests: when the requester stops waiting, on the clock of the NATS server (decision record 0044)."""

import asyncio
from time import monotonic

from nats.aio.client import Client
from nats.errors import Error as NatsError
from pydantic import AwareDatetime, BaseModel, ValidationError

from chassis.telemetry.logs import log
from contracts.wire.errors import InvalidMessage, Unavailable
from contracts.wire.topic import SERVER_TIME_SUBJECT

DEADLINE_HEADER = "Request-Deadline"
"""Milliseconds since 1970 on the NATS server's clock. The request must not be started later."""

MAX_DIGITS = 15  # digits of a deadline: 31,000 years
MEASURE_TIMEOUT_S = 1.0  # a measurement that takes longer is given up
PRECISE_ROUND_TRIP_S = 0.1  # a measurement of a longer round trip is repeated, and does not replace an earlier one
MAX_MEASUREMENTS = 3


class RequestExpired(Unavailable):
    """The service {service} was too busy to start the request in time and did not execute it. Try again."""


class _ServerInfo(BaseModel):
    time: AwareDatetime


class _UserInfo(BaseModel):
    server: _ServerInfo


class ServerClock:
    """The clock of the connected NATS server, which requester and service share.

    It is this process's monotonic clock plus a measured offset, so it does not depend on the wall clocks of the
    machines. It is unknown until it has been measured. Without the permission to request the time, it stays unknown.
    """

    def __init__(self) -> None:
        self._offset_s: float | None = None

    @property
    def is_known(self) -> bool:
        """Whether the server's time has been measured."""
        return self._offset_s is not None

    async def measure_clock_offset(self, client: Client) -> None:
        """Measure the offset of the server's clock, exact to half a round trip. A failure keeps the previous offset."""
        for _ in range(MAX_MEASUREMENTS):
            sent_at = monotonic()
            try:
                async with asyncio.timeout(MEASURE_TIMEOUT_S):  # see Bus._send
                    reply = await client.request(SERVER_TIME_SUBJECT, b"", timeout=None)  # type: ignore[arg-type]
                server_time = _UserInfo.model_validate_json(reply.data).server.time
            except (TimeoutError, NatsError, OSError, ValidationError) as error:
                if not self.is_known:
                    log.warning("bus.server_time_unknown", subject=SERVER_TIME_SUBJECT, error=type(error).__name__)
                return
            received_at = monotonic()
            is_precise = received_at - sent_at <= PRECISE_ROUND_TRIP_S
            if is_precise or not self.is_known:
                self._offset_s = server_time.timestamp() - (sent_at + received_at) / 2
            if is_precise:
                return

    def build_deadline_header(self, within_s: float) -> dict[str, str]:
        """Return the headers of a request that must start within ``within_s`` seconds: none if the clock is unknown."""
        if self._offset_s is None:
            return {}
        return {DEADLINE_HEADER: str(round((monotonic() + self._offset_s + within_s) * 1000))}

    def parse_deadline_header(self, header: str | None) -> float | None:
        """Return the deadline on ``time.monotonic()``; None if there is none, or while the clock is unknown.

        Raises:
            InvalidMessage: the header is not a number of milliseconds.
        """
        if header is None:
            return None
        if len(header) > MAX_DIGITS or not (header.isascii() and header.isdigit()):
            raise InvalidMessage
        return None if self._offset_s is None else int(header) / 1000 - self._offset_s


def has_passed(deadline: float | None) -> bool:
    """Whether a deadline on ``time.monotonic()`` has passed; False for None."""
    return deadline is not None and monotonic() > deadline
