"""Share own jobs, and read shared ones."""

from datetime import timedelta
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Response

from contracts.scheduler.jobs import UnknownJob
from gateway.api.v1.openapi import describe_request_body
from gateway.api.v1.problems import JSON_BODY, declare_problems
from gateway.edge.access import Reader, Writer
from gateway.edge.json_body import validate_model
from gateway.edge.request_body import read_json_body
from gateway.shares.errors import UnknownShare
from gateway.shares.schemas import NewShareBody, ShareBody, SharedJobBody, ShareRequest, build_shared_job_body
from gateway.shares.service import JobShares
from gateway.signing.link_urls import LinkUrls

_LOCATION = {"Location": {"description": "URL path of the share.", "schema": {"type": "string"}}}


def create_router(*, shares: JobShares, links: LinkUrls, public_url: str) -> APIRouter:
    routes = APIRouter(prefix="/api/v1", tags=["jobs"])

    @routes.post(
        "/jobs/{job_id}/share",
        status_code=201,
        summary="Share a job with the other users",
        openapi_extra=describe_request_body(ShareRequest, example={"expires_in_seconds": 604800}),
        responses={201: {"headers": _LOCATION}, **declare_problems(UnknownJob, *JSON_BODY)},
    )
    async def share_job(
        tenant: Writer, job_id: str, body: Annotated[Any, Depends(read_json_body)], response: Response
    ) -> NewShareBody:
        """Every signed-in user who has the token can read the job with its prompt and outputs until it expires.

        A job has one share: a new one replaces the previous token. Purging the job ends it.
        """
        lifetime = timedelta(seconds=validate_model(ShareRequest, body).expires_in_seconds)
        token, expires_at = await shares.share_job(job_id, tenant=tenant, lifetime=lifetime)
        response.headers["Location"] = f"/api/v1/jobs/{job_id}/share"
        return NewShareBody(token=token, url=f"{public_url}/api/v1/shared/{token}", expires_at=expires_at)

    @routes.get(
        "/jobs/{job_id}/share", summary="Read whether a job is shared", responses=declare_problems(UnknownShare)
    )
    async def read_share(tenant: Reader, job_id: str) -> ShareBody:
        return ShareBody(expires_at=await shares.read_expiry(job_id, tenant=tenant))

    @routes.delete(
        "/jobs/{job_id}/share", status_code=204, summary="Stop sharing a job", responses=declare_problems(UnknownShare)
    )
    async def end_share(tenant: Writer, job_id: str) -> Response:
        """Signed links to its outputs that were given out before work until they expire, 30 minutes at most."""
        await shares.end_share(job_id, tenant=tenant)
        return Response(status_code=204)

    @routes.get("/shared/{share_token}", summary="Read a shared job", responses=declare_problems(UnknownShare))
    async def read_shared_job(_: Reader, share_token: str) -> SharedJobBody:
        """For every signed-in user who has the token, read-only."""
        found, expires_at = await shares.read_shared_job(share_token)
        return build_shared_job_body(found, links, expires_at)

    return routes
