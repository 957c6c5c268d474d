"""The dead letters of all services that have some: the gateway's own and those it asks for."""

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

OWN = "gateway"
LISTS = {"notifier": notifier.LIST_DEAD_LETTERS, "scheduler": scheduler.LIST_DEAD_LETTERS}
REDRIVES = (notifier.REDRIVE_DEAD_LETTER, scheduler.REDRIVE_DEAD_LETTER)


class FleetDeadLetters:
    """Lists and redrives dead letters wherever they are kept."""

    def __init__(self, bus: Bus, own: DeadLetters) -> None:
        self._bus, self._own = bus, own

    async def list_page(self, query: ListDeadLetters, *, tenant: str, service: str | None) -> DeadLetterPage:
        """Return a page of the dead letters of one service or of all, newest first.

        Raises:
            Unavailable: a service that has some cannot be asked.
        """
        services = (OWN, *LISTS) if service is None else (service,)
        pages = await asyncio.gather(*(self._list_page_of(name, query, tenant) for name in services))
        letters = sorted((letter for page in pages for letter in page.letters), key=lambda one: one.id, reverse=True)
        more = len(letters) > query.limit or any(page.more for page in pages)
        return DeadLetterPage(letters=tuple(letters[: query.limit]), more=more)

    async def redrive(self, letter_id: UUID, *, tenant: str) -> None:
        """Have the message handled again by the service that could not handle it.

        Raises:
            UnknownDeadLetter: no service has one of this id.
            DeadLetterNotRedrivable, DeadLetterFailedAgain, RelayedRefusal: it was not handled.
        """
        command = RedriveDeadLetter(id=letter_id)
        with suppress(UnknownDeadLetter):
            await self._own.redrive(command)
            return
        for topic in REDRIVES:
            try:
                await self._bus.request(topic, command, tenant=tenant)
            except RelayedRefusal as refusal:
                if refusal.details.code != UnknownDeadLetter.code:
                    raise
            else:
                return
        raise UnknownDeadLetter

    async def _list_page_of(self, service: str, query: ListDeadLetters, tenant: str) -> DeadLetterPage:
        if service == OWN:
            return await self._own.list_page(query)
        return await self._bus.request(LISTS[service], query, tenant=tenant)
