"""Tickets: short-lived tokens with which a browser opens a WebSocket."""

from typing import Annotated

from pydantic import Field

from contracts.auth.credentials import Principal
from contracts.auth.fields import Secret
from contracts.auth.rpc import declare_auth_rpc
from contracts.wire.errors import ErrorKind, Refusal
from contracts.wire.model import StrictModel, TolerantModel

TICKET_LIFETIME_S = 30.0  # from the response to the WebSocket handshake


Origin = Annotated[str, Field(min_length=1, max_length=255)]


class CreateTicket(StrictModel):
    """Create a ticket that opens one WebSocket as this principal within ``TICKET_LIFETIME_S`` seconds.

    Attributes:
        origin: origin of the web pages that may use the ticket; None if no page may.
    """

    principal: Principal
    origin: Origin | None = None


class Ticket(TolerantModel):
    """A ticket. ``expires_in``: seconds until it expires."""

    text: Secret
    expires_in: float


class RedeemTicket(StrictModel):
    """Exchange a ticket for its principal. ``origin`` is that of the web page; None if the client is not a page."""

    ticket: Secret
    origin: Origin | None = None


class InvalidTicket(Refusal):
    """The ticket is unknown, used or expired, or is for another origin. Create a new one: POST /api/v1/ws-tickets."""

    kind, code = ErrorKind.UNAUTHENTICATED, "auth.ticket.invalid"


CREATE_TICKET = declare_auth_rpc("ticket", "make", CreateTicket, Ticket, "Create a ticket that opens one WebSocket.")
REDEEM_TICKET = declare_auth_rpc(
    "ticket",
    "spend",
    RedeemTicket,
    Principal,
    "Redeem a ticket and find its principal.",
    producers=("notifier",),
    timeout_s=1.5,
)

TOPICS = (CREATE_TICKET, REDEEM_TICKET)
