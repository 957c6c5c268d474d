"""Tickets: how a browser, which cannot send headers with it, opens a websocket."""

from typing import Annotated

from fastapi import APIRouter, Query, Request
from pydantic import BaseModel, ConfigDict, Field

from chassis.messaging.bus import Bus
from contracts.auth.tickets import CREATE_TICKET, CreateTicket
from gateway.api.v1.problems import problems
from gateway.edge.access import Watcher
from gateway.edge.page_origin import ORIGIN, page_origin

_TICKET = "cft_3q2-7wTgD0c5v9Jm1aYk8PzXhRnQeLs4uVbWoKtE6iA"


class TicketBody(BaseModel):
    """A ticket, good once and for ``expires_in`` seconds. ``url``: a websocket for many jobs that it opens."""

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


def router(*, bus: Bus, public_url: str) -> APIRouter:
    """The one route."""
    routes = APIRouter(prefix="/api/v1", tags=["watching"])
    socket = "ws" + public_url.removeprefix("http")

    @routes.post("/ws-tickets", status_code=201, summary="A ticket for one websocket", responses=problems(422))
    async def make(
        who: Watcher,
        request: Request,
        *,
        origin: Annotated[
            str | None,
            Query(
                pattern=f"^{ORIGIN}$",
                max_length=255,
                description="of the page that will open the socket, where the request does not come from that page",
            ),
        ] = None,
    ) -> TicketBody:
        """Put it into the URL of ``/ws`` or ``/ws/jobs/{id}`` as ``?ticket=``; nothing else is taken there.

        It opens one socket, from pages of the origin that asked (or of ``?origin=``; neither: from no page), and that
        ends with the credential which asked.
        """
        command = CreateTicket(principal=who, origin=page_origin(origin, request.headers.getlist("origin")))
        ticket = await bus.request(CREATE_TICKET, command, tenant=who.tenant)
        text = ticket.text.get_secret_value()
        return TicketBody(ticket=text, expires_in=int(ticket.expires_in), url=f"{socket}/ws?ticket={text}")

    return routes
