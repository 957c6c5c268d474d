from uuid import UUID

from pydantic import SecretStr

from auth.domain.ticket import digest_ticket, new_ticket
from auth.store import tickets
from chassis.database.postgres import Database
from contracts.auth.accounts import UnknownTenant
from contracts.auth.credentials import Principal
from contracts.auth.tickets import CreateTicket, InvalidTicket, RedeemTicket, Ticket


class TicketService:
    """Issues and redeems single-use WebSocket tickets."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def create_ticket(self, user_id: UUID, command: CreateTicket) -> Ticket:
        """Issue a ticket for the requesting credential. It expires with that credential.

        Raises:
            UnknownTenant: the credential belongs to another user.
        """
        if command.principal.user_id != user_id:
            raise UnknownTenant
        text = new_ticket()
        digest = digest_ticket(text)
        assert digest is not None  # noqa: S101 - a new token is well-formed
        async with self._database.connection() as connection:
            expires_in = await tickets.add_ticket(connection, digest, command.principal, command.origin)
        return Ticket(text=SecretStr(text), expires_in=max(0.0, expires_in))

    async def redeem_ticket(self, command: RedeemTicket) -> Principal:
        """Redeem a ticket and return its principal. The ticket is used even when it is refused.

        Raises:
            InvalidTicket: unknown, used, expired, for another origin, or its credential has ended; does not say which.
        """
        digest = digest_ticket(command.ticket.get_secret_value())
        if digest is None:
            raise InvalidTicket
        async with self._database.transaction() as connection:  # the ticket must not be redeemed twice
            redeemed = await tickets.redeem_ticket(connection, digest)
        if redeemed is None or not redeemed.is_valid or redeemed.origin != command.origin:
            raise InvalidTicket
        return redeemed.principal
