"""What a user sees of itself."""

from fastapi import FastAPI, Request, Response

from gateway.accounts.me import MeView
from gateway.accounts.schemas import MeBody
from gateway.api.v1.problems import problems
from gateway.edge.access import Anybody
from gateway.edge.direct_routes import DirectRoute


def add_me(app: FastAPI, me: MeView) -> None:
    """Add the one route to the application."""

    async def read_me(request: Request, who: Anybody) -> Response:  # noqa: ARG001 - every direct route takes it
        """Limits that hold now, and what is used of them, at most a second old."""
        return Response(me.ready(who) or await me.read(who), media_type="application/json")

    app.router.add_api_route(
        "/api/v1/auth/me", read_me, summary="Who am I, what may I use, what do I use", responses=problems(),
        tags=["auth"], response_model=MeBody, route_class_override=DirectRoute,
    )  # fmt: skip
