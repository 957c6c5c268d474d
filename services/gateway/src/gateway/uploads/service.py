"""Take a file from outside. Of an image the pixels are kept; any other file is kept as it is, and never decoded."""

import asyncio
import hashlib
import math
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import timedelta
from uuid import UUID

from chassis.ids import new_id
from chassis.telemetry.logs import log
from contracts.file_types import FileKind, FileType
from contracts.wire.errors import Refusal
from gateway.errors import (
    AnimatedImage,
    BrokenImage,
    ConversionFailed,
    FileTooLarge,
    NotConvertible,
    NotKeptExactly,
    TooManyPixels,
    TooManyUploads,
    UnsupportedImage,
    UploadTooManyPixels,
)
from gateway.images.converter import ImageConverter
from gateway.images.formats import ImageFormat, Wanted
from gateway.images.headers import ImageHeader, Unfit, read_header
from gateway.images.limiter import ImageLimiter
from gateway.storage.objects import Objects
from gateway.uploads.file_signatures import LOOK_AT_BYTES, exr_size, file_type_of, may_be_told_by_size
from gateway.uploads.store import NewUpload, Upload, Uploads

CHUNK_BYTES = 1 << 18
JPEG_QUALITY = 95
KEPT_AS = {ImageFormat.PNG: ImageFormat.PNG, ImageFormat.JPEG: ImageFormat.JPEG,
           ImageFormat.WEBP: ImageFormat.PNG}  # fmt: skip
"""A JPEG as a PNG would be ten times the size; a WebP may hold alpha or no loss at all, which only a PNG keeps."""


@dataclass(frozen=True, slots=True)
class UploadService:
    """Where files come in.

    Attributes:
        max_bytes: of one image as it is sent.
        max_file_bytes: of any other file, whatever the limits of its tenant.
    """

    uploads: Uploads
    objects: Objects
    pictures: ImageConverter
    line: ImageLimiter
    max_bytes: int
    max_file_bytes: int

    def file_bytes(self, limit: int | None) -> int:
        """How large a file may be that is no image, where its tenant has this limit or none."""
        return self.max_file_bytes if limit is None else min(limit, self.max_file_bytes)

    def check_file(self, begun: bytes, *, at_most: int, whole: bool) -> None:
        """Whether a file that begins like this is one that is kept byte for byte, as far as that can be told.

        Raises:
            UnsupportedImage: it is none.
            UploadTooManyPixels: it is an image that says that it is larger than may be.
        """
        known = file_type_of(begun, len(begun) if whole else None)
        if known is None and (whole or not may_be_told_by_size(begun, at_most)):
            raise UnsupportedImage
        if known is not None:
            self._size_of(known, begun)

    def look_at(self, begun: bytes | bytearray, *, whole: bool = False) -> ImageHeader | None:
        """The header of an image that begins like this; None while more of it is needed. Costs next to nothing.

        Raises:
            UnsupportedImage, AnimatedImage: it is nothing that is taken.
            BrokenImage: it has far more beside its pixels than anybody needs.
            UploadTooManyPixels: it says that it is larger than may be.
        """
        header = read_header(begun, whole=whole)
        if header is Unfit.ANIMATED:
            raise AnimatedImage
        if header is Unfit.BLOATED:
            raise self._broken()
        if isinstance(header, Unfit):
            raise UnsupportedImage
        if header is not None and header.width * header.height > self.pictures.max_pixels:
            raise UploadTooManyPixels(limit=self.pictures.max_pixels, width=header.width, height=header.height)
        return header

    async def take(
        self, sent: bytes | bytearray, *, tenant: str, keep: timedelta | None, exact: bool = False
    ) -> tuple[Upload, bool]:
        """Keep an image for this long, None for good; and whether it is new.

        Durable when it returns. The same bytes again are the same upload, kept longer, never shorter. What is kept is
        made from the pixels alone: upright, in sRGB, with its alpha, and without a byte of what else was in the file.
        A PNG that is to be ``exact`` is kept as it was sent, since 16 bits of a colour do not survive that.

        Raises:
            NotKeptExactly: it is to be, and is no PNG.
            UnsupportedImage, AnimatedImage, UploadTooManyPixels: see ``look_at``.
            BrokenImage: its pixels cannot be had.
            TooManyUploads: the tenant has no room for it.
            TooManyConversions, Unavailable: the machine is busy with images, of this tenant or of all.
        """
        header = await asyncio.to_thread(self.look_at, sent, whole=True)  # it may have to inflate some megabytes
        if header is None:
            raise UnsupportedImage
        if exact and header.format is not ImageFormat.PNG:
            raise NotKeptExactly
        sent_sha256 = await _sha256(b"exact " + sent if exact else sent)
        known = await self.uploads.refresh(tenant, sent_sha256, keep)
        if known is not None:
            return known, False
        await self.uploads.check_room(tenant, size_bytes=0)
        async with self.line.turn(tenant):  # also while it is stored: so many are in memory, and no more
            kept = bytes(sent) if exact else await self._clean(sent, KEPT_AS[header.format], header)
            new = await _described(kept, KEPT_AS[header.format], UUID(tenant), sent_sha256, exact=exact)
            await self.objects.put(new.key, _pieces(kept))
        return await self._record(new, keep)

    async def take_file(
        self, begun: bytes, rest: AsyncIterator[bytes], *, tenant: str, keep: timedelta | None, at_most: int
    ) -> tuple[Upload, bool]:
        """Keep a file as it is, without holding more than some megabytes of it; see ``take`` for what else is the same.

        Whatever ``rest`` raises ends it without a trace.

        Args:
            begun: ``LOOK_AT_BYTES`` of it or more, or all; see ``check_file``.
            rest: what follows.
            tenant: whose it is.
            keep: for how long, None for good.
            at_most: bytes that it may have.

        Raises:
            FileTooLarge: it has more.
            UnsupportedImage: as a whole it is none of the types that are taken.
            UploadTooManyPixels: it is an image that says that it is larger than may be.
            TooManyUploads: the tenant has no room for it.
        """
        await self.uploads.check_room(tenant, size_bytes=0)
        upload_id = new_id()
        key, passing = f"{tenant}/uploads/{upload_id}", _Passing(begun, rest, at_most)
        await self.objects.put(key, passing.chunks())
        try:
            known, size = self._described(begun, passing.size_bytes)
        except Refusal:
            await self.objects.delete(key)
            raise
        sha256 = passing.digest.hexdigest()
        new = NewUpload(
            id=upload_id,
            tenant_id=UUID(tenant),
            sent_sha256=sha256,
            sha256=sha256,
            key=key,
            content_type=known.media_type,
            size_bytes=passing.size_bytes,
            width=size[0] if size else None,
            height=size[1] if size else None,
            exact=True,
        )
        return await self._record(new, keep)

    def _described(self, begun: bytes, size_bytes: int) -> tuple[FileType, tuple[int, int] | None]:
        known = file_type_of(begun[:LOOK_AT_BYTES], size_bytes)
        if known is None:
            raise UnsupportedImage
        return known, self._size_of(known, begun)

    def _size_of(self, known: FileType, begun: bytes) -> tuple[int, int] | None:
        if known.kind is not FileKind.IMAGE:
            return None
        size = exr_size(begun)
        if size is None:
            raise UnsupportedImage
        if size[0] * size[1] > self.pictures.max_pixels:
            raise UploadTooManyPixels(limit=self.pictures.max_pixels, width=size[0], height=size[1])
        return size

    async def _clean(self, sent: bytes | bytearray, format_: ImageFormat, header: ImageHeader) -> bytes:
        wanted = Wanted(format_, JPEG_QUALITY, faithful=True)
        try:
            return await self.pictures.convert(wanted, _pieces(sent))
        except TooManyPixels:
            limit = self.pictures.max_pixels
            raise UploadTooManyPixels(limit=limit, width=header.width, height=header.height) from None
        except (NotConvertible, ConversionFailed):
            raise self._broken() from None

    def _broken(self) -> BrokenImage:
        return BrokenImage(seconds=math.ceil(self.pictures.within_s))

    async def _record(self, new: NewUpload, keep: timedelta | None) -> tuple[Upload, bool]:
        """Whatever else goes wrong leaves bytes that the sweep finds: whether they were recorded is not known then."""
        try:
            upload, is_new = await self.uploads.add(new, keep)
        except TooManyUploads:
            await self.objects.delete(new.key)
            raise
        if is_new:
            log.info("gateway.upload.stored", upload_id=str(upload.id), bytes=upload.size_bytes)
        else:  # the same bytes came twice at once
            await self.objects.delete(new.key)
        return upload, is_new


class _Passing:
    """Counts and hashes what flows through it."""

    def __init__(self, begun: bytes, rest: AsyncIterator[bytes], at_most: int) -> None:
        self._begun, self._rest, self._at_most = begun, rest, at_most
        self.size_bytes = 0
        self.digest = hashlib.sha256()

    async def chunks(self) -> AsyncIterator[bytes]:
        yield self._counted(self._begun)
        async for chunk in self._rest:
            yield self._counted(chunk)

    def _counted(self, chunk: bytes) -> bytes:
        self.size_bytes += len(chunk)
        if self.size_bytes > self._at_most:
            raise FileTooLarge(limit=self._at_most)
        self.digest.update(chunk)
        return chunk


async def _described(
    content: bytes, format_: ImageFormat, tenant_id: UUID, sent_sha256: str, *, exact: bool
) -> NewUpload:
    header = read_header(content, whole=True)
    assert isinstance(header, ImageHeader)  # noqa: S101 - the helper's format was looked at
    upload_id = new_id()
    return NewUpload(
        id=upload_id,
        tenant_id=tenant_id,
        sent_sha256=sent_sha256,
        sha256=await _sha256(content),
        key=f"{tenant_id}/uploads/{upload_id}",
        content_type=format_.media_type,
        size_bytes=len(content),
        width=header.width,
        height=header.height,
        exact=exact,
    )


async def _sha256(content: bytes | bytearray) -> str:
    """In hex, in a thread: ten milliseconds of it would hold up everybody else."""
    return (await asyncio.to_thread(hashlib.sha256, content)).hexdigest()


async def _pieces(content: bytes | bytearray) -> AsyncIterator[bytes]:
    for start in range(0, len(content), CHUNK_BYTES):
        yield bytes(content[start : start + CHUNK_BYTES])
