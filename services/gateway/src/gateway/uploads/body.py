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
from gateway.uploads.file_signatures import SIGNATURE_BYTES
from gateway.uploads.form import MAX_FRAMING_BYTES, UploadForm, parse_boundary
from gateway.uploads.service import UploadService

FORM_MEDIA_TYPE = "multipart/form-data"
IMAGE_TYPES = tuple(format_.media_type for format_ in ImageFormat)
BARE_MEDIA_TYPES = ("application/octet-stream", *FILE_TYPES)
IMAGE_TIMEOUT_S = 300  # enough for 10 MiB over a slow connection
FILE_TIMEOUT_S = 3600
MAX_CONCURRENT_FILES, MAX_CONCURRENT_FILES_PER_TENANT = 32, 4  # each takes some 17 MiB of memory while it is written
HEADER_CHECK_SIZES = (64, 4 << 10, 64 << 10, 1 << 20)  # received bytes; a JPEG can have much metadata before its size


@dataclass(frozen=True, slots=True)
class ReceivedImage:
    content: bytearray


@dataclass(frozen=True, slots=True)
class ReceivedFile:
    """The first bytes of a file that is not an image, and the rest; see ``UploadService.store_file``."""

    prefix: bytes
    rest: AsyncIterator[bytes]


class UploadReceiver:
    """Reads uploads; their number and memory are limited."""

    def __init__(self, service: UploadService, files: CapacityLimit) -> None:
        self._service, self._files = service, files

    @asynccontextmanager
    async def receive_file(
        self, request: Request, tenant: str, max_file_bytes: int
    ) -> AsyncIterator[ReceivedImage | ReceivedFile]:
        """Receive the file of a form, or the body itself. Its memory is reserved until the block ends.

        Args:
            request: a request whose body has not been read.
            tenant: owner of the upload.
            max_file_bytes: largest size of a file that is not an image.

        Raises:
            UnsupportedMediaType: the body is neither a form nor of a supported type.
            Malformed: the form does not have exactly one file.
            UploadTooLarge, FileTooLarge: the declared or received size is too large.
            UnsupportedImage, AnimatedImage, UploadTooManyPixels: the first bytes show it.
            BodyTooSlow: it took more than ``IMAGE_TIMEOUT_S``, or ``FILE_TIMEOUT_S`` if it is not an image.
            TooManyBodies, Unavailable: the memory limit of the client, or of all clients, is reached.
        """
        boundary = parse_boundary(request.headers.get("content-type", ""))
        form = UploadForm(boundary) if boundary else None
        media_type = _parse_media_type(request)
        if form is None and media_type not in BARE_MEDIA_TYPES:
            raise UnsupportedMediaType(
                problem=describe_content_type(request.headers.get("content-type", "")),
                expected="the file as a form (curl -F file=@photo.png), or its bytes as application/octet-stream",
            )
        self._check_declared_size(
            request, is_form=form is not None, media_type=media_type, max_file_bytes=max_file_bytes
        )
        body = _FileBody(request, form)
        with reserve_body_memory(request, IMAGE_TIMEOUT_S) as take:
            prefix = await body.read(SIGNATURE_BYTES, take)
            if detect_format(bytes(prefix[:12])) is not None:
                yield ReceivedImage(await self._read_image(body, prefix, take))
                return
            self._service.check_file(bytes(prefix[:SIGNATURE_BYTES]), max_bytes=max_file_bytes, is_complete=body.ended)
        with self._files.reserve(tenant, within_s=FILE_TIMEOUT_S) as reserve:
            reserve(1)
            yield ReceivedFile(bytes(prefix), body.iterate_chunks(reserve))

    def _check_declared_size(self, request: Request, *, is_form: bool, media_type: str, max_file_bytes: int) -> None:
        declared = int(request.headers.get("content-length", "0"))  # the server has checked that it is a number
        framing = MAX_FRAMING_BYTES if is_form else 0
        if not is_form and media_type in IMAGE_TYPES and declared > self._service.max_bytes:
            raise UploadTooLarge(limit=self._service.max_bytes)
        if declared > max(self._service.max_bytes, max_file_bytes) + framing:
            raise FileTooLarge(limit=max_file_bytes)

    async def _read_image(self, body: "_FileBody", content: bytearray, take: Callable[[int], None]) -> bytearray:
        """Return the whole image.

        Its header is checked at each of ``HEADER_CHECK_SIZES``, so that an invalid image is refused early.
        """
        remaining_sizes = list(HEADER_CHECK_SIZES)
        while True:
            if len(content) > self._service.max_bytes:
                raise UploadTooLarge(limit=self._service.max_bytes)
            if remaining_sizes and len(content) >= remaining_sizes[0]:
                is_known = self._service.check_image(content) is not None
                remaining_sizes = [] if is_known else [size for size in HEADER_CHECK_SIZES if size > len(content)]
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
        self._framing_bytes = 0  # bytes of the form around the file
        self.ended = False

    async def read(self, at_least: int, take: Callable[[int], None]) -> bytearray:
        """Return the next bytes of the file: at least ``at_least``, or fewer at its end."""
        content = bytearray()
        while not self.ended and len(content) < at_least:
            content += await self._read_next_chunk(take)
        return content

    async def iterate_chunks(self, reserve: Callable[[int], None]) -> AsyncIterator[bytes]:
        """Yield the rest of the file."""
        while not self.ended:
            if chunk := await self._read_next_chunk(lambda _size: reserve(0)):
                yield chunk

    async def _read_next_chunk(self, take: Callable[[int], None]) -> bytes:
        async for chunk in self._stream:
            take(len(chunk))
            if self._form is None:
                return chunk
            content = self._form.extract_file_bytes(chunk)
            self._framing_bytes += len(chunk) - len(content)
            if self._framing_bytes > MAX_FRAMING_BYTES:
                self._form.refuse_framing()
            return content
        self.ended = True
        if self._form is not None:
            self._form.check_complete()
        return b""


def _parse_media_type(request: Request) -> str:
    return request.headers.get("content-type", "").partition(";")[0].strip().lower()
