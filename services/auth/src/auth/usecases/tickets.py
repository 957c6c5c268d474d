"""A browser opens a websocket."""

from uuid import UUID

from pydantic import SecretStr

from auth.domain.ticket import new_ticket, ticket_digest
from auth.store import tickets
from chassis.database.postgres import Database
from contracts.auth import BadTicket, MakeTicket, Principal, SpendTicket, Ticket, UnknownTenant


class Tickets:
    """Gives tickets out, and takes each back once."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def make(self, user_id: UUID, command: MakeTicket) -> Ticket:
        """A ticket for the user's credential that asks. It ends with that.

        Raises:
            UnknownTenant: the credential is somebody else's.
        """
        if command.principal.user_id != user_id:
            raise UnknownTenant
        text = new_ticket()
        digest = ticket_digest(text)
        assert digest is not None  # noqa: S101 - it has the shape that it was made in
        async with self._database.single() as connection:
            expires_in = await tickets.add(connection, digest, command.principal, command.origin)
        return Ticket(text=SecretStr(text), expires_in=max(0.0, expires_in))

    async def spend(self, command: SpendTicket) -> Principal:
        """Whose it is. Whatever comes of it, it is spent.

        Raises:
            BadTicket: it is unknown, used, expired, or for pages of another origin, or its credential has ended;
                never says which.
        """
        digest = ticket_digest(command.ticket.get_secret_value())
        if digest is None:
            raise BadTicket
        async with self._database.single() as connection:
            spent = await tickets.spend(connection, digest)
        if spent is None or not spent.works or spent.origin != command.origin:
            raise BadTicket
        return spent.principal
