"""The current user."""

from fastapi import APIRouter, Request, Response

from gateway.accounts.schemas import MeBody
from gateway.accounts.user_cache import UserCache
from gateway.api.v1.problems import declare_problems
from gateway.edge.access import AnyPrincipal
from gateway.edge.fast_path_routes import FastPathRoute, build_json_response


def create_router(*, users: UserCache) -> APIRouter:
    routes = APIRouter()

    async def read_current_user(request: Request, principal: AnyPrincipal) -> Response:  # noqa: ARG001 - fast-path routes require this parameter
        """Return the user, the limits that apply, and the usage that counts towards them.

        Usage is cached up to a second.
        """
        return build_json_response(await users.read_user(principal))

    routes.add_api_route(
        "/api/v1/auth/me",
        read_current_user,
        summary="Read the current user with limits and usage",
        responses=declare_problems(),
        tags=["auth"],
        response_model=MeBody,
        route_class_override=FastPathRoute,
    )
    return routes
