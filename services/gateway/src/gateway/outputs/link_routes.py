"""Outputs by signed links, which need no credential."""

from http import HTTPStatus
from time import time
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request, Response

from contracts.gateway.outputs import UnknownOutput
from gateway.api.v1.problems import declare_public_problems
from gateway.images.errors import ConversionFailed, NotConvertible, TooManyConversions, TooManyPixels
from gateway.outputs.archive_routes import ZIP_RESPONSE, respond_with_archive
from gateway.outputs.conversion import OutputConverter
from gateway.outputs.errors import BadLink, TooManyFiles
from gateway.outputs.responses import ThumbnailSize, build_thumbnail_options, respond_with_artifact, respond_with_image
from gateway.outputs.service import ResultService
from gateway.signing.link_urls import LinkUrls
from gateway.signing.links import OutputLink
from gateway.storage.objects import ArtifactStore

Token = Annotated[str, Query(max_length=4000, description="from the list of outputs, which has the whole URL")]


def create_router(
    *, results: ResultService, objects: ArtifactStore, converter: OutputConverter, links: LinkUrls
) -> APIRouter:
    routes = APIRouter(prefix="/api/v1/outputs", tags=["results"])
    content: dict[int | str, dict[str, Any]] = {
        200: {"content": {"application/octet-stream": {}}, "description": "The bytes."},
        206: {"description": "The requested range."},
        304: {"description": "The ETag matches If-None-Match."},
        **declare_public_problems(BadLink, UnknownOutput, HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE),
    }
    thumbnail: dict[int | str, dict[str, Any]] = {
        200: {"content": {"image/webp": {}}, "description": "The thumbnail."},
        304: content[304],
        **declare_public_problems(
            BadLink, UnknownOutput, NotConvertible, TooManyPixels, ConversionFailed, TooManyConversions
        ),
    }

    def verify_link(output_id: str, token: str) -> OutputLink:
        link = links.verify_output(output_id, token)
        if link is None:
            raise BadLink
        return link

    @routes.get(
        "/archive.zip",
        summary="Download outputs as a ZIP file by a signed link",
        responses=ZIP_RESPONSE | declare_public_problems(BadLink, UnknownOutput, TooManyFiles),
        response_class=Response,
    )
    async def download_linked_archive(*, token: Token = "") -> Response:
        """The link comes from POST `/api/v1/outputs.zip`, and needs no credential."""
        link = links.verify_archive(token)
        if link is None:
            raise BadLink
        found = await results.find_archive_of_jobs(link.job_ids, tenant=link.tenant, temporary=None)
        return respond_with_archive(found, "outputs", objects)

    async def download_linked_output(request: Request, output_id: str, *, token: Token = "") -> Response:
        """The link is `url` of GET `/api/v1/outputs`, and needs no credential. Ranges work as for `/result`."""
        link = verify_link(output_id, token)
        artifact = await results.find_linked_artifact(link)
        return _set_cache_headers(await respond_with_artifact(request, link.name, artifact, objects), link)

    routes.get(
        "/{output_id}/content",
        summary="Download an output by a signed link",
        responses=content,
        response_class=Response,
    )(download_linked_output)
    routes.head("/{output_id}/content", include_in_schema=False)(download_linked_output)

    @routes.get(
        "/{output_id}/thumbnail",
        summary="Download a thumbnail of an output by a signed link (WebP)",
        responses=thumbnail,
        response_class=Response,
    )
    async def download_linked_thumbnail(
        request: Request, output_id: str, *, token: Token = "", size: ThumbnailSize = 256
    ) -> Response:
        """The link is `thumbnail_url` of GET `/api/v1/outputs`, and needs no credential.

        Requests beyond the number of conversions at a time wait instead of being refused.
        """
        link = verify_link(output_id, token)
        artifact = await results.find_linked_artifact(link)
        if not artifact.content_type.startswith("image/"):
            raise NotConvertible
        options = build_thumbnail_options(size)
        image = await respond_with_image(request, link.name, artifact, options, converter, wait_if_full=True)
        return _set_cache_headers(image, link)

    return routes


def _set_cache_headers(response: Response, link: OutputLink) -> Response:
    """Let browsers cache the response for as long as the link is valid: what is stored never changes."""
    response.headers["Cache-Control"] = f"private, max-age={max(0, link.expires_s - int(time()))}, immutable"
    return response
