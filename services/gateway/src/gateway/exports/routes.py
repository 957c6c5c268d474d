"""The export of an account."""

from functools import partial
from typing import Annotated, Any

from fastapi import APIRouter, Query, Response

from gateway.accounts.errors import SessionNeeded
from gateway.api.v1.problems import declare_problems
from gateway.edge.access import AnyPrincipal
from gateway.edge.streaming import StreamedResponse
from gateway.exports.errors import ExportRunning
from gateway.exports.service import AccountExport

_ZIP: dict[int | str, dict[str, Any]] = {
    200: {
        "content": {"application/zip": {}},
        "description": "A ZIP file, streamed without Content-Length; Range is not supported.",
    }
}


def create_router(*, export: AccountExport) -> APIRouter:
    routes = APIRouter(tags=["auth"])

    @routes.get(
        "/api/v1/auth/me/export",
        summary="Export all data of the account as a ZIP file",
        responses=_ZIP | declare_problems(SessionNeeded, ExportRunning),
        response_class=Response,
    )
    async def export_account(
        principal: AnyPrincipal,
        *,
        files: Annotated[bool, Query(description="include the files of uploads and outputs")] = True,
    ) -> Response:
        """A ZIP file with one JSON Lines file per kind of record, followed by the uploads and the outputs of all jobs.

        Kinds: account, keys, sessions, usage by day, saved workflows, uploads, and jobs with their workflows; no
        secrets. `file` in the record of an upload or output names its file, or is null: at most the newest 50,000 files
        are included. Files deleted during the export are left out. One export at a time. The connection is closed early
        if a file cannot be read.
        """
        if principal.session_id is None:
            raise SessionNeeded
        content = await export.start_export(principal.user_id, with_files=files)
        headers = {
            "Content-Type": "application/zip",
            "Content-Disposition": 'attachment; filename="comfyfleet-account.zip"',
            "Accept-Ranges": "none",
            "Cache-Control": "private, no-store",
        }
        return StreamedResponse(content, headers, partial(export.release, principal.user_id))

    return routes
