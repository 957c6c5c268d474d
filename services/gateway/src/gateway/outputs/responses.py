"""Responses with the bytes of an output, as stored or converted."""

import re
from collections.abc import AsyncGenerator
from typing import Annotated

from fastapi import Query, Request, Response

from contracts.gateway.outputs import UnknownOutput
from gateway.edge.streaming import StreamedResponse
from gateway.images.formats import ConversionOptions, ImageFormat
from gateway.outputs.conversion import OutputConverter
from gateway.storage.artifacts import Artifact
from gateway.storage.byte_range import etag_matches
from gateway.storage.objects import ArtifactStore
from gateway.storage.responses import StoredObject, build_content_disposition, respond_with_object

THUMBNAIL_QUALITY = 75
CHUNK_BYTES = 1 << 18

ThumbnailSize = Annotated[int, Query(ge=1, le=1024, description="largest length of the longer side, pixels")]


def build_thumbnail_options(size: int) -> ConversionOptions:
    return ConversionOptions(ImageFormat.WEBP, THUMBNAIL_QUALITY, size, size)


async def respond_with_image(
    request: Request,
    name: str,
    artifact: Artifact,
    options: ConversionOptions,
    converter: OutputConverter,
    *,
    wait_if_full: bool = False,
) -> Response:
    """Return a converted image, or 304 if the client has it.

    Args:
        request: its headers are followed.
        name: file name of the output.
        artifact: the stored image.
        options: format and size.
        converter: converts it.
        wait_if_full: wait while the owner has too many images queued, instead of refusing.

    Raises:
        NotConvertible, TooManyPixels, ConversionFailed, TooManyConversions, Unavailable, UnknownOutput: see
            ``OutputConverter.convert``.
    """
    headers = {
        "ETag": converter.compute_etag(artifact, options),
        "Cache-Control": "private, no-cache",
        "Accept-Ranges": "none",
    }
    if etag_matches(request.headers.get("if-none-match"), headers["ETag"]):
        return Response(status_code=304, headers=headers)
    image, release_memory = await converter.convert(
        artifact, options, tenant=str(artifact.tenant_id), wait_if_full=wait_if_full
    )
    renamed = re.sub(r"\.[A-Za-z0-9]{1,5}$", "", name) + f".{options.format.extension}"
    headers |= {
        "Content-Type": options.format.media_type,
        "Content-Length": str(len(image)),
        "Content-Disposition": build_content_disposition(renamed, options.format.media_type),
        "Content-Security-Policy": "default-src 'none'; sandbox",
    }
    if request.method == "HEAD":
        release_memory()
        return Response(headers=headers)
    return StreamedResponse(_iterate_chunks(image), headers, release_memory)


async def _iterate_chunks(content: bytes) -> AsyncGenerator[bytes, None]:
    for start in range(0, len(content), CHUNK_BYTES):
        yield content[start : start + CHUNK_BYTES]


def find_output_format(artifact: Artifact) -> ImageFormat:
    """Return the format of the stored image; PNG for formats that cannot be written."""
    format_name = artifact.content_type.removeprefix("image/")
    return ImageFormat(format_name) if format_name in list(ImageFormat) else ImageFormat.PNG


async def respond_with_artifact(request: Request, name: str, artifact: Artifact, objects: ArtifactStore) -> Response:
    """Return the stored bytes, the requested range of them, or 304.

    Raises:
        UnknownOutput: the bytes were deleted.
    """
    disposition = build_content_disposition(name, artifact.content_type)
    stored = StoredObject(artifact.key, artifact.sha256, artifact.size_bytes, artifact.content_type, disposition)
    try:
        return await respond_with_object(request, stored, objects)
    except FileNotFoundError:
        raise UnknownOutput from None
