"""Redeems WebSocket tickets."""

import re
from collections.abc import Sequence

from pydantic import SecretStr

from chassis.messaging.bus import Bus
from contracts.auth.credentials import Principal
from contracts.auth.tickets import REDEEM_TICKET, InvalidTicket, RedeemTicket

_TICKET = re.compile(r"cft_[\w-]{43}", re.ASCII)
_ORIGIN = re.compile(r"[!-~]{1,255}")


class TicketRedeemer:
    def __init__(self, bus: Bus) -> None:
        self._bus = bus

    async def redeem_ticket(self, ticket: str, origins: Sequence[str]) -> Principal:
        """Redeem a ticket and return its principal. It works once, across all replicas.

        Args:
            origins: every ``Origin`` header of the handshake.

        Raises:
            InvalidTicket, RelayedRefusal: invalid, used, expired, or for another origin.
            Unavailable: auth does not answer.
        """
        if not _TICKET.fullmatch(ticket) or len(origins) > 1 or not all(map(_ORIGIN.fullmatch, origins)):
            raise InvalidTicket
        request = RedeemTicket(ticket=SecretStr(ticket), origin=origins[0] if origins else None)
        return await self._bus.request(REDEEM_TICKET, request)
