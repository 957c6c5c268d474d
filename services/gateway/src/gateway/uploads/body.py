"""Reads an uploaded file as a stream, and refuses it as soon as enough bytes show that it is invalid.

An image is read into memory to be re-encoded. Any other file is streamed to the store.
"""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass

from fastapi import Request

from contracts.file_types import FILE_TYPES
from gateway.edge.capacity_limit import CapacityLimit
from gateway.edge.errors import UnsupportedMediaType
from gateway.edge.request_body import describe_content_type, reserve_body_memory
from gateway.images.formats import ImageFormat, detect_format
from gateway.uploads.errors import FileTooLarge, UploadTooLarge
from gateway.uploads.file_signatures import LOOK_AT_BYTES
from gateway.uploads.form import FRAMING_BYTES, UploadForm, parse_boundary
from gateway.uploads.service import UploadService

FORM = "multipart/form-data"
IMAGE_TYPES = tuple(format_.media_type for format_ in ImageFormat)
BARE = ("application/octet-stream", *FILE_TYPES)
READ_S = 300  # for 10 MiB over a slow connection
FILE_READ_S = 3600
FILES_AT_ONCE, FILES_OF_ONE = 32, 4  # each takes some 17 MiB of memory while it is written
LOOK_AT = (64, 4 << 10, 64 << 10, 1 << 20)  # received bytes; a JPEG can have much metadata before its size


@dataclass(frozen=True, slots=True)
class ReceivedImage:
    content: bytearray


@dataclass(frozen=True, slots=True)
class ReceivedFile:
    """The first bytes of a file that is not an image, and the rest; see ``UploadService.store_file``."""

    begun: bytes
    rest: AsyncIterator[bytes]


class UploadBodies:
    """Reads uploads; their number and memory are limited."""

    def __init__(self, service: UploadService, files: CapacityLimit) -> None:
        self._service, self._files = service, files

    @asynccontextmanager
    async def received(
        self, request: Request, tenant: str, file_bytes: int
    ) -> AsyncIterator[ReceivedImage | ReceivedFile]:
        """The uploaded file: the file of a form, or the body itself. Its memory is reserved until the block ends.

        Args:
            request: a request whose body has not been read.
            tenant: owner of the upload.
            file_bytes: largest size of a file that is not an image.

        Raises:
            UnsupportedMediaType: the body is neither a form nor of a supported type.
            Malformed: the form does not have exactly one file.
            UploadTooLarge, FileTooLarge: the declared or received size is too large.
            UnsupportedImage, AnimatedImage, UploadTooManyPixels: the first bytes show it.
            BodyTooSlow: it took more than ``READ_S``, or ``FILE_READ_S`` if it is not an image.
            TooManyBodies, Unavailable: the memory limit of the client, or of all clients, is reached.
        """
        boundary = parse_boundary(request.headers.get("content-type", ""))
        form = UploadForm(boundary) if boundary else None
        sent_as = _parse_media_type(request)
        if form is None and sent_as not in BARE:
            raise UnsupportedMediaType(
                problem=describe_content_type(request.headers.get("content-type", "")),
                expected="the file as a form (curl -F file=@photo.png), or its bytes as application/octet-stream",
            )
        self._check_declared_size(request, is_form=form is not None, sent_as=sent_as, file_bytes=file_bytes)
        body = _FileBody(request, form)
        with reserve_body_memory(request, READ_S) as take:
            begun = await body.read(LOOK_AT_BYTES, take)
            if detect_format(bytes(begun[:12])) is not None:
                yield ReceivedImage(await self._read_image(body, begun, take))
                return
            self._service.check_file(bytes(begun[:LOOK_AT_BYTES]), at_most=file_bytes, whole=body.ended)
        with self._files.reserve(tenant, within_s=FILE_READ_S) as stay:
            stay(1)
            yield ReceivedFile(bytes(begun), body.chunks(stay))

    def _check_declared_size(self, request: Request, *, is_form: bool, sent_as: str, file_bytes: int) -> None:
        declared = int(request.headers.get("content-length", "0"))  # the server has checked that it is a number
        framing = FRAMING_BYTES if is_form else 0
        if not is_form and sent_as in IMAGE_TYPES and declared > self._service.max_bytes:
            raise UploadTooLarge(limit=self._service.max_bytes)
        if declared > max(self._service.max_bytes, file_bytes) + framing:
            raise FileTooLarge(limit=file_bytes)

    async def _read_image(self, body: "_FileBody", content: bytearray, take: Callable[[int], None]) -> bytearray:
        """Return the whole image.

        Its header is checked at each of ``LOOK_AT``, so that an invalid image is refused early.
        """
        looks = list(LOOK_AT)
        while True:
            if len(content) > self._service.max_bytes:
                raise UploadTooLarge(limit=self._service.max_bytes)
            if looks and len(content) >= looks[0]:
                looks = [] if self._service.check_image(content) else [at for at in LOOK_AT if at > len(content)]
            if body.ended:
                return content
            content += await body.read(1, take)


class _FileBody:
    """The bytes of the file in a body.

    Attributes:
        ended: whether all of them were read.
    """

    def __init__(self, request: Request, form: UploadForm | None) -> None:
        self._stream, self._form = request.stream(), form
        self._around = 0  # bytes of the form around the file
        self.ended = False

    async def read(self, at_least: int, take: Callable[[int], None]) -> bytearray:
        """Return the next bytes of the file: at least ``at_least``, or fewer at its end."""
        content = bytearray()
        while not self.ended and len(content) < at_least:
            content += await self._read_next_chunk(take)
        return content

    async def chunks(self, stay: Callable[[int], None]) -> AsyncIterator[bytes]:
        """Yield the rest of the file."""
        while not self.ended:
            if chunk := await self._read_next_chunk(lambda _size: stay(0)):
                yield chunk

    async def _read_next_chunk(self, take: Callable[[int], None]) -> bytes:
        async for chunk in self._stream:
            take(len(chunk))
            if self._form is None:
                return chunk
            content = self._form.take(chunk)
            self._around += len(chunk) - len(content)
            if self._around > FRAMING_BYTES:
                self._form.refuse_framing()
            return content
        self.ended = True
        if self._form is not None:
            self._form.end()
        return b""


def _parse_media_type(request: Request) -> str:
    return request.headers.get("content-type", "").partition(";")[0].strip().lower()
