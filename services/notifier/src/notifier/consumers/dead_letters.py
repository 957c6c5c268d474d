"""Serves the requests of admins to list and redrive the dead letters of the notifier."""

from chassis.messaging.bus import Bus
from chassis.messaging.dead_letters import DeadLetters
from contracts.notifier.dead_letters import LIST_DEAD_LETTERS, REDRIVE_DEAD_LETTER
from contracts.wire.dead_letters import DeadLetterPage, ListDeadLetters, RedriveDeadLetter, Redriven
from contracts.wire.topic import Address


def serve_dead_letters(bus: Bus, dead_letters: DeadLetters) -> None:
    """Serve the requests. Call it before the bus starts."""

    async def list_page(query: ListDeadLetters, _: Address) -> DeadLetterPage:
        return await dead_letters.list_page(query)

    async def redrive(command: RedriveDeadLetter, _: Address) -> Redriven:
        return await dead_letters.redrive(command)

    bus.serve(LIST_DEAD_LETTERS, list_page)
    bus.serve(REDRIVE_DEAD_LETTER, redrive)
