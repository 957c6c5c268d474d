"""Credentials, tickets, and what changed about those that they speak for."""

from auth.consumers.subject import user_of
from auth.usecases.read_changes import ChangeReader
from auth.usecases.tickets import Tickets
from auth.usecases.verify_credential import CredentialVerifier
from chassis.messaging.bus import Bus
from contracts.auth import (
    MAKE_TICKET,
    READ_CHANGES,
    SPEND_TICKET,
    VERIFY_CREDENTIAL,
    Changes,
    MakeTicket,
    Principal,
    ReadChanges,
    SpendTicket,
    Ticket,
    VerifyCredential,
)
from contracts.wire.topic import Address


def register(bus: Bus, *, verifier: CredentialVerifier, changes: ChangeReader, tickets: Tickets) -> None:
    """Serve the doors."""

    async def verify(command: VerifyCredential, _: Address) -> Principal:
        return await verifier.verify(command.credential.get_secret_value())

    async def read_changes(query: ReadChanges, _: Address) -> Changes:
        return await changes.read(query.since)

    async def make_ticket(command: MakeTicket, address: Address) -> Ticket:
        return await tickets.make(user_of(address), command)

    async def spend_ticket(command: SpendTicket, _: Address) -> Principal:
        return await tickets.spend(command)

    bus.serve(VERIFY_CREDENTIAL, verify)
    bus.serve(READ_CHANGES, read_changes)
    bus.serve(MAKE_TICKET, make_ticket)
    bus.serve(SPEND_TICKET, spend_ticket)
