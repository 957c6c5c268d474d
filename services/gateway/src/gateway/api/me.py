"""What a user sees of itself."""

from collections.abc import Callable, Coroutine
from typing import Any

from fastapi import FastAPI, Request, Response
from fastapi.routing import APIRoute

from gateway.api.access import Anybody, needs_of
from gateway.api.problems import problems
from gateway.domain.public_account import MeBody
from gateway.usecases.me import MeView


def add_me(app: FastAPI, me: MeView) -> None:
    """Add the one route to the application."""

    class DirectRoute(APIRoute):
        """Answers with a body that is ready: clients poll it, and solving dependencies would take most of its time."""

        def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
            """FastAPI's own way to answer otherwise."""
            needs = needs_of(self)
            assert needs is not None  # noqa: S101 - declared below

            async def answer(request: Request) -> Response:
                who = needs.granted(request)
                return Response(me.ready(who) or await me.read(who), media_type="application/json")

            return answer

    async def read_me(_who: Anybody) -> MeBody:
        """Limits that hold now, and what is used of them, at most a second old."""
        raise NotImplementedError  # DirectRoute answers; this is what the document says of it

    app.router.add_api_route(
        "/api/v1/auth/me", read_me, summary="Who am I, what may I use, what do I use", responses=problems(),
        tags=["auth"], route_class_override=DirectRoute,
    )  # fmt: skip
