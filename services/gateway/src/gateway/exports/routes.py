"""All that is kept of a user, to take along."""

from functools import partial
from typing import Annotated, Any

from fastapi import APIRouter, Query, Response

from gateway.api.v1.problems import problems
from gateway.edge.access import Anybody
from gateway.edge.streaming import Streamed
from gateway.errors import SessionNeeded
from gateway.exports.service import AccountExport

_ZIP: dict[int | str, dict[str, Any]] = {
    200: {"content": {"application/zip": {}}, "description": "A ZIP file, streamed: without Content-Length and Range."}
}


def router(*, export: AccountExport) -> APIRouter:
    """The route of the export."""
    routes = APIRouter(tags=["auth"])

    @routes.get(
        "/api/v1/auth/me/export",
        summary="Everything that is kept of the account, as one ZIP file",
        responses=_ZIP | problems(422),
        response_class=Response,
    )
    async def read(
        who: Anybody,
        *,
        files: Annotated[bool, Query(description="With uploads and outputs themselves.")] = True,
    ) -> Response:
        """A file of JSON lines for each sort of thing, and behind them the uploads and the outputs of all jobs.

        Account, keys, sessions, usage by day, saved workflows, uploads, jobs with their workflows; no secrets. The
        record of an upload or output names its `file`, null where it has none: 50,000 files at most, the newest. What
        is deleted meanwhile is left out. One export at a time; if something cannot be read, the connection breaks off.
        """
        if who.session_id is None:
            raise SessionNeeded
        content = await export.begin(who.user_id, with_files=files)
        headers = {
            "Content-Type": "application/zip",
            "Content-Disposition": 'attachment; filename="comfyfleet-account.zip"',
            "Accept-Ranges": "none",
            "Cache-Control": "private, no-store",
        }
        return Streamed(content, headers, partial(export.end, who.user_id))

    return routes
