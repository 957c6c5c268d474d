"""Reads an uploaded file as a stream, and refuses it as soon as enough bytes show that it is invalid.

An image is read into memory, to be made anew. Any other file flows on to the store.
"""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass

from fastapi import Request

from contracts.file_types import FILE_TYPES
from gateway.edge.body_memory import BodyMemoryLimit
from gateway.edge.request_body import room_of
from gateway.errors import FileTooLarge, UnsupportedMediaType, UploadTooLarge
from gateway.images.formats import ImageFormat, format_of
from gateway.uploads.file_signatures import LOOK_AT_BYTES
from gateway.uploads.form import FRAMING_BYTES, UploadForm, boundary_of
from gateway.uploads.service import UploadService

FORM = "multipart/form-data"
PICTURES = tuple(format_.media_type for format_ in ImageFormat)
BARE = ("application/octet-stream", *FILE_TYPES)
READ_S = 300  # a slow line needs it for 10 MiB
FILE_READ_S = 3600
FILES_AT_ONCE, FILES_OF_ONE = 32, 4  # each holds some 17 MiB on its way to the store
LOOK_AT = (64, 4 << 10, 64 << 10, 1 << 20)  # bytes that have come; a JPEG may have much before it tells its size


@dataclass(frozen=True, slots=True)
class ReceivedImage:
    """All bytes of an image."""

    content: bytearray


@dataclass(frozen=True, slots=True)
class ReceivedFile:
    """The beginning of any other file, and what follows; see ``UploadService.take_file``."""

    begun: bytes
    rest: AsyncIterator[bytes]


class UploadBodies:
    """Reads uploads, some at a time."""

    def __init__(self, desk: UploadService, files: BodyMemoryLimit) -> None:
        self._desk, self._files = desk, files

    @asynccontextmanager
    async def received(
        self, request: Request, tenant: str, file_bytes: int
    ) -> AsyncIterator[ReceivedImage | ReceivedFile]:
        """What is uploaded, the file of a form or the body itself. Its room is held until the block ends.

        Args:
            request: its body was not read.
            tenant: who sends it.
            file_bytes: that a file which is no image may have.

        Raises:
            UnsupportedMediaType: neither a form nor one of the types that are taken.
            Malformed: a form that does not have exactly one file.
            UploadTooLarge, FileTooLarge: more bytes than may be, declared or sent.
            UnsupportedImage, AnimatedImage, UploadTooManyPixels: its beginning says so.
            BodyTooSlow: it took more than ``READ_S``, or ``FILE_READ_S`` where it is no image.
            TooManyBodies, Unavailable: no room for it, for this client or for all.
        """
        boundary = boundary_of(request.headers.get("content-type", ""))
        form = UploadForm(boundary) if boundary else None
        sent_as = _media_type(request)
        if form is None and sent_as not in BARE:
            raise UnsupportedMediaType(expected=f"{FORM} or application/octet-stream")
        self._check_declared(request, is_form=form is not None, sent_as=sent_as, file_bytes=file_bytes)
        body = _Body(request, form)
        with room_of(request, READ_S) as take:
            begun = await body.read(LOOK_AT_BYTES, take)
            if format_of(bytes(begun[:12])) is not None:
                yield ReceivedImage(await self._image(body, begun, take))
                return
            self._desk.check_file(bytes(begun[:LOOK_AT_BYTES]), at_most=file_bytes, whole=body.ended)
        with self._files.of(tenant, within_s=FILE_READ_S) as stay:
            stay(1)
            yield ReceivedFile(bytes(begun), body.chunks(stay))

    def _check_declared(self, request: Request, *, is_form: bool, sent_as: str, file_bytes: int) -> None:
        declared = int(request.headers.get("content-length", "0"))  # digits, or the connection had been refused
        framing = FRAMING_BYTES if is_form else 0
        if not is_form and sent_as in PICTURES and declared > self._desk.max_bytes:
            raise UploadTooLarge(limit=self._desk.max_bytes)
        if declared > max(self._desk.max_bytes, file_bytes) + framing:
            raise FileTooLarge(limit=file_bytes)

    async def _image(self, body: "_Body", content: bytearray, take: Callable[[int], None]) -> bytearray:
        """Refused at each of ``LOOK_AT`` if its header says that it is nothing to wait for."""
        looks = list(LOOK_AT)
        while True:
            if len(content) > self._desk.max_bytes:
                raise UploadTooLarge(limit=self._desk.max_bytes)
            if looks and len(content) >= looks[0]:
                looks = [] if self._desk.look_at(content) else [at for at in LOOK_AT if at > len(content)]
            if body.ended:
                return content
            content += await body.read(1, take)


class _Body:
    """The bytes of the file in a body.

    Attributes:
        ended: whether all of them were read.
    """

    def __init__(self, request: Request, form: UploadForm | None) -> None:
        self._stream, self._form = request.stream(), form
        self._around = 0  # bytes that are not of the file
        self.ended = False

    async def read(self, at_least: int, take: Callable[[int], None]) -> bytearray:
        """The next bytes of the file: at least ``at_least``, fewer only at its end."""
        content = bytearray()
        while not self.ended and len(content) < at_least:
            content += await self._next(take)
        return content

    async def chunks(self, stay: Callable[[int], None]) -> AsyncIterator[bytes]:
        """The rest of the file."""
        while not self.ended:
            if chunk := await self._next(lambda _size: stay(0)):
                yield chunk

    async def _next(self, take: Callable[[int], None]) -> bytes:
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


def _media_type(request: Request) -> str:
    return request.headers.get("content-type", "").partition(";")[0].strip().lower()
