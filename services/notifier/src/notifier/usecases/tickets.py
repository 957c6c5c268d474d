"""Whose ticket is this?"""

import re
from collections.abc import Sequence

from pydantic import SecretStr

from chassis.messaging.bus import Bus
from contracts.auth import SPEND_TICKET, BadTicket, Principal, SpendTicket

_SHAPE = re.compile(r"cft_[\w-]{43}", re.ASCII)
_ORIGIN = re.compile(r"[!-~]{1,255}")


class Tickets:
    """Has auth take tickets back."""

    def __init__(self, bus: Bus) -> None:
        self._bus = bus

    async def spend(self, ticket: str, origins: Sequence[str]) -> Principal:
        """Whose it is; it works no second time, at whichever notifier.

        Args:
            origins: every ``Origin`` header of the socket's handshake.

        Raises:
            BadTicket, Relayed: it is none, or good no more, or not for a page of that origin.
            Unavailable: auth does not answer.
        """
        if not _SHAPE.fullmatch(ticket) or len(origins) > 1 or not all(map(_ORIGIN.fullmatch, origins)):
            raise BadTicket
        asked = SpendTicket(ticket=SecretStr(ticket), origin=origins[0] if origins else None)
        return await self._bus.request(SPEND_TICKET, asked)
