"""Credential verification, WebSocket tickets and user changes, for the public services."""

from auth.consumers.request_user import parse_user_id
from auth.usecases.manage_tickets import TicketService
from auth.usecases.read_changes import ChangeReader
from auth.usecases.verify_credential import CredentialVerifier
from chassis.messaging.bus import Bus
from contracts.auth.changes import READ_CHANGES, Changes, ReadChanges
from contracts.auth.credentials import VERIFY_CREDENTIAL, Principal, VerifyCredential
from contracts.auth.tickets import CREATE_TICKET, REDEEM_TICKET, CreateTicket, RedeemTicket, Ticket
from contracts.wire.topic import Address


def register(bus: Bus, *, verifier: CredentialVerifier, change_reader: ChangeReader, tickets: TicketService) -> None:
    async def verify_credential(command: VerifyCredential, _: Address) -> Principal:
        return await verifier.verify_key(command.credential.get_secret_value())

    async def read_changes(query: ReadChanges, _: Address) -> Changes:
        return await change_reader.read_changes(query.since)

    async def create_ticket(command: CreateTicket, address: Address) -> Ticket:
        return await tickets.create_ticket(parse_user_id(address), command)

    async def redeem_ticket(command: RedeemTicket, _: Address) -> Principal:
        return await tickets.redeem_ticket(command)

    bus.serve(VERIFY_CREDENTIAL, verify_credential)
    bus.serve(READ_CHANGES, read_changes)
    bus.serve(CREATE_TICKET, create_ticket)
    bus.serve(REDEEM_TICKET, redeem_ticket)
