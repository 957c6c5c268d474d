"""Outputs of jobs: lists and bytes."""

from http import HTTPStatus
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request, Response

from contracts.gateway.outputs import JobNotFinished
from contracts.scheduler.jobs import UnknownJob
from contracts.scheduler.outputs import Output, OutputKind
from gateway.api.v1.problems import declare_problems
from gateway.edge.access import Reader
from gateway.images.errors import NotConvertible
from gateway.images.formats import ConversionOptions, ImageFormat
from gateway.jobs.schemas import OutputsBody, build_output_bodies
from gateway.outputs.conversion import OutputConverter
from gateway.outputs.errors import RESULT_PROBLEMS
from gateway.outputs.responses import (
    ThumbnailSize,
    build_thumbnail_options,
    find_output_format,
    respond_with_artifact,
    respond_with_image,
)
from gateway.outputs.service import ResultService
from gateway.storage.objects import ArtifactStore

DEFAULT_QUALITY = 85

_IMAGE_TYPES: dict[str, Any] = {format_.media_type: {} for format_ in ImageFormat}

Index = Annotated[int | None, Query(ge=0, le=1_000_000, description="index among all outputs, from 0")]
Node = Annotated[str | None, Query(max_length=256, description="only outputs of the node with this id")]
Temporary = Annotated[bool | None, Query(description="true: only previews; false: no previews")]
Side = Annotated[int | None, Query(ge=1, le=4096, description="pixels; scales down to fit, keeping the aspect ratio")]


def create_router(
    *, results: ResultService, objects: ArtifactStore, converter: OutputConverter, public_url: str
) -> APIRouter:
    routes = APIRouter(prefix="/api/v1/jobs/{job_id}", tags=["results"])
    result_responses: dict[int | str, dict[str, Any]] = {
        200: {"content": {**_IMAGE_TYPES, "application/octet-stream": {}}, "description": "The bytes."},
        206: {"description": "The requested range."},
        304: {"description": "The ETag matches If-None-Match."},
        **declare_problems(*RESULT_PROBLEMS, HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE),
    }
    thumbnail_responses: dict[int | str, dict[str, Any]] = {
        200: {"content": {"image/webp": {}}, "description": "The thumbnail."},
        304: result_responses[304],
        **declare_problems(*RESULT_PROBLEMS),
    }

    @routes.get(
        "/outputs",
        summary="List the outputs of a completed job",
        responses=declare_problems(UnknownJob, JobNotFinished),
    )
    async def list_outputs(tenant: Reader, job_id: str, *, temporary: Temporary = None) -> OutputsBody:
        job = await results.read_completed_job(job_id, tenant=tenant)
        shown = build_output_bodies(job, public_url)
        return OutputsBody(outputs=[output for output in shown if temporary in {None, output.temporary}])

    async def download_result(
        request: Request,
        tenant: Reader,
        job_id: str,
        *,
        index: Index = None,
        node: Node = None,
        temporary: Temporary = None,
        format_: Annotated[
            ImageFormat | None, Query(alias="format", description="convert the image to this format")
        ] = None,
        quality: Annotated[int | None, Query(ge=1, le=100, description="of JPEG and WebP; default 85")] = None,
        width: Side = None,
        height: Side = None,
    ) -> Response:
        """Return the bytes of the first saved file; else of the first preview; else of the first text or value.

        `index`, `node` and `temporary` select another output. One Range per request; the ETag is the SHA-256.

        With `format`, `quality`, `width` or `height` an image is converted: its first frame, upright, in sRGB, without
        metadata, and for JPEG on a white background. Only PNG, JPEG and WebP images can be converted; the response has
        an ETag of its own and no Range. Without `format` the image keeps its format.
        """
        output, artifact = await results.find_result(job_id, tenant=tenant, index=index, node=node, temporary=temporary)
        if format_ is None and quality is None and width is None and height is None:
            return await respond_with_artifact(request, output.name, artifact, objects)
        options = ConversionOptions(format_ or find_output_format(artifact), quality or DEFAULT_QUALITY, width, height)
        _require_image(output)
        return await respond_with_image(request, output.name, artifact, options, converter)

    @routes.get(
        "/thumbnail",
        summary="Download a thumbnail of one output (WebP)",
        responses=thumbnail_responses,
        response_class=Response,
    )
    async def download_thumbnail(
        request: Request,
        tenant: Reader,
        job_id: str,
        *,
        index: Index = None,
        node: Node = None,
        temporary: Temporary = None,
        size: ThumbnailSize = 256,
    ) -> Response:
        """The image that `/result` gives for the same parameters, scaled down to fit into a square."""
        output, artifact = await results.find_result(job_id, tenant=tenant, index=index, node=node, temporary=temporary)
        _require_image(output)
        return await respond_with_image(request, output.name, artifact, build_thumbnail_options(size), converter)

    for path, name in (("/result", "download_result"), ("/image", "download_image")):
        routes.get(
            path, summary="Download one output", operation_id=name, responses=result_responses, response_class=Response
        )(download_result)
        routes.head(path, include_in_schema=False)(download_result)
    return routes


def _require_image(output: Output) -> None:
    if output.kind is not OutputKind.IMAGE:
        raise NotConvertible
