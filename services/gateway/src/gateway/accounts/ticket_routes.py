"""Tickets that open a websocket from a browser, which cannot send headers with it."""

from typing import Annotated

from fastapi import APIRouter, Query, Request
from pydantic import BaseModel, ConfigDict, Field

from chassis.messaging.bus import Bus
from contracts.auth.tickets import CREATE_TICKET, CreateTicket
from gateway.api.v1.problems import declare_problems
from gateway.edge.access import ReaderPrincipal
from gateway.edge.page_origin import ORIGIN, find_page_origin

_TICKET = "cft_3q2-7wTgD0c5v9Jm1aYk8PzXhRnQeLs4uVbWoKtE6iA"


class TicketBody(BaseModel):
    """A ticket.

    It works once and expires after ``expires_in`` seconds. ``url``: the websocket for many jobs, with the ticket.
    """

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {"ticket": _TICKET, "expires_in": 30, "url": f"wss://api.example/ws?ticket={_TICKET}"},
            ]
        }
    )

    ticket: str
    expires_in: Annotated[int, Field(ge=0, le=30)]
    url: str


def create_router(*, bus: Bus, public_url: str) -> APIRouter:
    routes = APIRouter(prefix="/api/v1", tags=["watching"])
    websocket_origin = "ws" + public_url.removeprefix("http")

    @routes.post(
        "/ws-tickets", status_code=201, summary="Create a ticket that opens one websocket", responses=declare_problems()
    )
    async def create_ticket(
        principal: ReaderPrincipal,
        request: Request,
        *,
        origin: Annotated[
            str | None,
            Query(
                pattern=f"^{ORIGIN}$",
                max_length=255,
                description="origin of the page that will open the websocket; default: the Origin header",
            ),
        ] = None,
    ) -> TicketBody:
        """Add the ticket to the URL of ``/ws`` or ``/ws/jobs/{id}`` as ``?ticket=``. A URL takes no other credential.

        A ticket opens one websocket, from pages of the request's origin or of ``?origin=``; without either, not from a
        page. The websocket closes when the credential of this request expires or is revoked.
        """
        command = CreateTicket(principal=principal, origin=find_page_origin(origin, request.headers.getlist("origin")))
        ticket = await bus.request(CREATE_TICKET, command, tenant=principal.tenant)
        text = ticket.text.get_secret_value()
        return TicketBody(ticket=text, expires_in=int(ticket.expires_in), url=f"{websocket_origin}/ws?ticket={text}")

    return routes
