"""Tickets: short-lived tokens with which a browser opens a WebSocket."""

from typing import Annotated

from pydantic import Field

from contracts.auth.credentials import Principal
from contracts.auth.fields import Secret
from contracts.auth.rpc import auth_rpc
from contracts.wire.errors import Kind, Refusal
from contracts.wire.model import StrictModel, TolerantModel

TICKET_LIFETIME_S = 30.0  # from the answer that carries it to the handshake of the socket


Origin = Annotated[str, Field(min_length=1, max_length=255)]


class CreateTicket(StrictModel):
    """Ask for a ticket that opens one websocket within ``TICKET_LIFETIME_S`` for whoever has it, as this principal.

    Attributes:
        origin: of the pages that may use it, as browsers say it; None: it is for no page.
    """

    principal: Principal
    origin: Origin | None = None


class Ticket(TolerantModel):
    """A ticket. ``expires_in``: what is left of its life, seconds."""

    text: Secret
    expires_in: float


class RedeemTicket(StrictModel):
    """Somebody presents a ticket. ``origin``: of the page that does, None where it is none."""

    ticket: Secret
    origin: Origin | None = None


class InvalidTicket(Refusal):
    """The ticket is unknown, used, expired, or of another web page. Create another: POST /api/v1/ws-tickets."""

    kind, code = Kind.UNAUTHENTICATED, "auth.ticket.invalid"


CREATE_TICKET = auth_rpc("ticket", "make", CreateTicket, Ticket, "Create a ticket that opens one WebSocket.")
REDEEM_TICKET = auth_rpc(
    "ticket",
    "spend",
    RedeemTicket,
    Principal,
    "Redeem a ticket and find its principal.",
    producers=("notifier",),
    timeout_s=1.5,
)

TOPICS = (CREATE_TICKET, REDEEM_TICKET)
