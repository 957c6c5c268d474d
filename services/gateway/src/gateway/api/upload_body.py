"""Reads the image of a request: looked at as it comes, and refused as soon as it says enough."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from fastapi import Request

from gateway.api.body import room_of
from gateway.domain.errors import UnsupportedMediaType, UploadTooLarge
from gateway.domain.picture_format import PictureFormat
from gateway.domain.upload_form import FRAMING_BYTES, UploadForm, boundary_of
from gateway.usecases.take_upload import UploadDesk

FORM = "multipart/form-data"
PICTURES = tuple(format_.media_type for format_ in PictureFormat)
READ_S = 300  # a slow line needs it for 10 MiB
LOOK_AT = (64, 4 << 10, 64 << 10, 1 << 20)  # bytes that have come; a JPEG may have much before it tells its size


@asynccontextmanager
async def received(request: Request, desk: UploadDesk) -> AsyncIterator[bytearray]:
    """The bytes of the image, the file of a form or the body itself. Their room is held until the block ends.

    Raises:
        UnsupportedMediaType: neither a form nor one of the image types.
        Malformed: a form that does not have exactly one file.
        UploadTooLarge: more bytes than ``desk.max_bytes``, declared or sent.
        UnsupportedImage, AnimatedImage, UploadTooManyPixels: its beginning says so.
        BodyTooSlow: it took more than ``READ_S``.
        TooManyBodies, Unavailable: no room for it, for this client or for all.
    """
    boundary = boundary_of(request.headers.get("content-type", ""))
    form = UploadForm(boundary) if boundary else None
    if form is None and _media_type(request) not in PICTURES:
        raise UnsupportedMediaType(expected=", ".join((FORM, *PICTURES)))
    declared = int(request.headers.get("content-length", "0"))  # digits, or the connection had been refused
    if declared > desk.max_bytes + (FRAMING_BYTES if form else 0):
        raise UploadTooLarge(limit=desk.max_bytes)
    with room_of(request, READ_S) as take:
        yield await _read(request, form, desk, take)


async def _read(request: Request, form: UploadForm | None, desk: UploadDesk, take: Callable[[int], None]) -> bytearray:
    content, size, looks = bytearray(), 0, list(LOOK_AT)
    async for chunk in request.stream():
        take(len(chunk))
        size += len(chunk)
        content += form.take(chunk) if form else chunk
        if len(content) > desk.max_bytes or size > desk.max_bytes + FRAMING_BYTES:
            raise UploadTooLarge(limit=desk.max_bytes)
        if looks and len(content) >= looks[0]:
            looks = [] if desk.look_at(content) else [at for at in LOOK_AT if at > len(content)]
    if form:
        form.end()
    return content


def _media_type(request: Request) -> str:
    return request.headers.get("content-type", "").partition(";")[0].strip().lower()
