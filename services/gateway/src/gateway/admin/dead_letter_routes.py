"""Messages that services could not process, for admins: list them, and have one processed again."""

from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Query, Request, Response

from contracts.wire.dead_letters import DeadLetterFailedAgain, DeadLetterNotRedrivable, UnknownDeadLetter
from gateway.admin.dead_letter_schemas import DeadLettersBody, DeadLetterService, build_dead_letter_body
from gateway.admin.dead_letters import AllDeadLetters
from gateway.admin.operation_routes import Cursor, Limit, build_admin_context
from gateway.admin.operations import AdminActions
from gateway.admin.search import AdminSearch
from gateway.api.v1.errors import BadCursor
from gateway.api.v1.problems import declare_problems
from gateway.edge.access import Admin

Service = Annotated[DeadLetterService | None, Query(description="only messages that this service could not process")]
Node = Annotated[
    str | None, Query(pattern=r"^[A-Za-z0-9_-]{1,64}$", description="only requests of this node's executor")
]


def create_router(*, search: AdminSearch, operations: AdminActions, dead_letters: AllDeadLetters) -> APIRouter:
    routes = APIRouter(prefix="/api/v1/admin/dead-letters", tags=["admin"])

    @routes.get(
        "", summary="List messages that could not be processed, newest first", responses=declare_problems(BadCursor)
    )
    async def list_dead_letters(
        principal: Admin,
        request: Request,
        *,
        service: Service = None,
        node: Node = None,
        limit: Limit = 20,
        cursor: Cursor = None,
    ) -> DeadLettersBody:
        """Requests of executors, and messages of streams: unreadable, impossible to store, or hitting a bug.

        Each service keeps them for 14 days, at most 10,000. Purging a job deletes its dead letters.
        """
        found, next_cursor = await search.list_dead_letters(
            build_admin_context(principal, request), limit=limit, cursor=cursor, service=service, node=node
        )
        return DeadLettersBody(
            dead_letters=[build_dead_letter_body(letter) for letter in found], next_cursor=next_cursor
        )

    @routes.post(
        "/{letter_id}/redrive",
        status_code=204,
        summary="Process a message again",
        responses=declare_problems(UnknownDeadLetter, DeadLetterNotRedrivable, DeadLetterFailedAgain),
    )
    async def redrive(principal: Admin, request: Request, letter_id: str) -> Response:
        """The service that could not process the message processes it again, and deletes it here if that succeeds.

        Only messages of streams can be redriven (``redrivable``): the sender of a request received an error.
        """
        try:
            parsed_id = UUID(letter_id)
        except ValueError:
            raise UnknownDeadLetter from None
        admin = build_admin_context(principal, request)
        await operations.record_action(admin, "dead_letters.redrive", id=str(parsed_id))
        await dead_letters.redrive(parsed_id, tenant=admin.tenant)
        return Response(status_code=204)

    return routes
