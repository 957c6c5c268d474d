"""The dead letters of all services: the gateway reads its own, and requests those of the others."""

import asyncio
from contextlib import suppress
from uuid import UUID

from chassis.messaging.bus import Bus
from chassis.messaging.dead_letters import DeadLetters
from contracts.notifier import dead_letters as notifier
from contracts.scheduler import dead_letters as scheduler
from contracts.wire.dead_letters import (
    DeadLetterPage,
    ListDeadLetters,
    RedriveDeadLetter,
    UnknownDeadLetter,
)
from contracts.wire.errors import RelayedRefusal

OWN_SERVICE = "gateway"
LIST_TOPICS = {"notifier": notifier.LIST_DEAD_LETTERS, "scheduler": scheduler.LIST_DEAD_LETTERS}
REDRIVE_TOPICS = (notifier.REDRIVE_DEAD_LETTER, scheduler.REDRIVE_DEAD_LETTER)


class AllDeadLetters:
    """Lists and redrives dead letters wherever they are kept."""

    def __init__(self, bus: Bus, own: DeadLetters) -> None:
        self._bus, self._own = bus, own

    async def list_page(self, query: ListDeadLetters, *, tenant: str, service: str | None) -> DeadLetterPage:
        """Return a page of the dead letters of one service or of all, newest first.

        Raises:
            Unavailable: another service does not answer.
        """
        services = (OWN_SERVICE, *LIST_TOPICS) if service is None else (service,)
        pages = await asyncio.gather(*(self._list_service_page(name, query, tenant) for name in services))
        letters = sorted(
            (letter for page in pages for letter in page.letters), key=lambda letter: letter.id, reverse=True
        )
        more = len(letters) > query.limit or any(page.more for page in pages)
        return DeadLetterPage(letters=tuple(letters[: query.limit]), more=more)

    async def redrive(self, letter_id: UUID, *, tenant: str) -> None:
        """Have the service that could not process the message process it again.

        Raises:
            UnknownDeadLetter: no service has a dead letter with this id.
            DeadLetterNotRedrivable: the gateway cannot process the message again.
            DeadLetterFailedAgain: the gateway failed to process the message again.
            RelayedRefusal: another service has the dead letter, and refused for one of these reasons.
            Unavailable: another service does not answer.
        """
        command = RedriveDeadLetter(id=letter_id)
        with suppress(UnknownDeadLetter):
            await self._own.redrive(command)
            return
        for topic in REDRIVE_TOPICS:
            try:
                await self._bus.request(topic, command, tenant=tenant)
            except RelayedRefusal as refusal:
                if refusal.details.code != UnknownDeadLetter.code:
                    raise
            else:
                return
        raise UnknownDeadLetter

    async def _list_service_page(self, service: str, query: ListDeadLetters, tenant: str) -> DeadLetterPage:
        if service == OWN_SERVICE:
            return await self._own.list_page(query)
        return await self._bus.request(LIST_TOPICS[service], query, tenant=tenant)
