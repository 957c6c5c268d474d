"""Stores uploaded files. Images are re-encoded; other files are stored unchanged and never decoded."""

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
from gateway.images.converter import ImageConverter
from gateway.images.errors import ConversionFailed, NotConvertible, TooManyPixels
from gateway.images.formats import ConversionOptions, ImageFormat
from gateway.images.headers import HeaderProblem, ImageHeader, read_header
from gateway.images.limiter import ImageLimiter
from gateway.storage.objects import ArtifactStore
from gateway.uploads.errors import (
    SUPPORTED_FORMATS,
    AnimatedImage,
    BrokenImage,
    FileTooLarge,
    NotKeptExactly,
    TooManyUploads,
    UnsupportedImage,
    UploadTooManyPixels,
)
from gateway.uploads.file_signatures import LOOK_AT_BYTES, detect_file_type, may_be_recognized_by_size, read_exr_size
from gateway.uploads.store import NewUpload, Upload, UploadStore

CHUNK_BYTES = 1 << 18
JPEG_QUALITY = 95
KEPT_AS = {ImageFormat.PNG: ImageFormat.PNG, ImageFormat.JPEG: ImageFormat.JPEG,
           ImageFormat.WEBP: ImageFormat.PNG}  # fmt: skip
"""The format of the stored file. JPEG stays JPEG, ten times smaller than PNG; WebP can have alpha or be lossless."""


@dataclass(frozen=True, slots=True)
class UploadService:
    """Checks and stores uploaded files.

    Attributes:
        max_bytes: of an image as sent.
        max_file_bytes: of any other file, for all tenants.
    """

    uploads: UploadStore
    objects: ArtifactStore
    converter: ImageConverter
    limiter: ImageLimiter
    max_bytes: int
    max_file_bytes: int

    def file_bytes(self, limit: int | None) -> int:
        """Return the maximum bytes of an upload that is not an image: the tenant's limit, or the default if None."""
        return self.max_file_bytes if limit is None else min(limit, self.max_file_bytes)

    def check_file(self, begun: bytes, *, at_most: int, whole: bool) -> None:
        """Check that a file that begins with these bytes can be of a supported type.

        Raises:
            UnsupportedImage: it cannot.
            UploadTooManyPixels: it is an EXR image that is too large.
        """
        known = detect_file_type(begun, len(begun) if whole else None)
        if known is None and (whole or not may_be_recognized_by_size(begun, at_most)):
            raise UnsupportedImage(formats=SUPPORTED_FORMATS)
        if known is not None:
            self._read_image_size(known, begun)

    def check_image(self, begun: bytes | bytearray, *, whole: bool = False) -> ImageHeader | None:
        """Return the header of an image that begins with these bytes; None if more bytes are needed. Cheap.

        Raises:
            UnsupportedImage, AnimatedImage: the image is not supported.
            BrokenImage: it has far too much metadata.
            UploadTooManyPixels: it is too large.
        """
        header = read_header(begun, whole=whole)
        if header is HeaderProblem.ANIMATED:
            raise AnimatedImage
        if header is HeaderProblem.BLOATED:
            raise self._build_broken_image()
        if isinstance(header, HeaderProblem):
            raise UnsupportedImage(formats=SUPPORTED_FORMATS)
        if header is not None and header.width * header.height > self.converter.max_pixels:
            raise _build_too_many_pixels(self.converter.max_pixels, header.width, header.height)
        return header

    async def store_image(
        self, sent: bytes | bytearray, *, tenant: str, keep: timedelta | None, exact: bool = False
    ) -> tuple[Upload, bool]:
        """Store an image durably for this long, None for ever; and whether it is new.

        The same bytes are the same upload; sending them again can only extend its life. The stored file is re-encoded
        from the pixels: upright, in sRGB, with alpha, without metadata. With ``exact`` a PNG is stored unchanged, since
        re-encoding loses 16-bit channels.

        Raises:
            NotKeptExactly: ``exact``, but the image is not a PNG.
            UnsupportedImage, AnimatedImage, UploadTooManyPixels: see ``check_image``.
            BrokenImage: it cannot be decoded.
            TooManyUploads: the tenant has too many uploads.
            StorageFull, StoreMismatch: nothing can be stored now.
            TooManyConversions, Unavailable: too many images of this tenant, or of all, are being processed.
        """
        header = await asyncio.to_thread(self.check_image, sent, whole=True)  # it can inflate some megabytes
        if header is None:
            raise UnsupportedImage(formats=SUPPORTED_FORMATS)
        if exact and header.format is not ImageFormat.PNG:
            raise NotKeptExactly
        sent_sha256 = await _compute_sha256(b"exact " + sent if exact else sent)
        known = await self.uploads.refresh(tenant, sent_sha256, keep)
        if known is not None:
            return known, False
        self.objects.status.check_new_work()
        await self.uploads.check_limits(tenant, size_bytes=0)
        async with self.limiter.slot(tenant):  # held until it is stored, which limits the images in memory
            content = bytes(sent) if exact else await self._reencode_image(sent, KEPT_AS[header.format], header)
            new = await _described(content, KEPT_AS[header.format], UUID(tenant), sent_sha256, exact=exact)
            await self.objects.put(new.key, _iterate_chunks(content))
        return await self._record_upload(new, keep)

    async def store_file(
        self, begun: bytes, rest: AsyncIterator[bytes], *, tenant: str, keep: timedelta | None, at_most: int
    ) -> tuple[Upload, bool]:
        """Store a file unchanged, with some megabytes of memory; otherwise like ``store_image``.

        If ``rest`` raises, nothing is stored.

        Args:
            begun: the first ``LOOK_AT_BYTES`` or more, or all bytes; see ``check_file``.
            rest: the following bytes.
            tenant: owner of the upload.
            keep: for how long, None for ever.
            at_most: largest size, bytes.

        Raises:
            FileTooLarge: it is larger.
            UnsupportedImage: the whole file is not of a supported type.
            UploadTooManyPixels: it is an EXR image that is too large.
            TooManyUploads: the tenant has too many uploads.
            StorageFull, StoreMismatch: nothing can be stored now.
        """
        self.objects.status.check_new_work()
        await self.uploads.check_limits(tenant, size_bytes=0)
        upload_id = new_id()
        key, passing = f"{tenant}/uploads/{upload_id}", _MeasuredFile(begun, rest, at_most)
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
        return await self._record_upload(new, keep)

    def _described(self, begun: bytes, size_bytes: int) -> tuple[FileType, tuple[int, int] | None]:
        known = detect_file_type(begun[:LOOK_AT_BYTES], size_bytes)
        if known is None:
            raise UnsupportedImage(formats=SUPPORTED_FORMATS)
        return known, self._read_image_size(known, begun)

    def _read_image_size(self, known: FileType, begun: bytes) -> tuple[int, int] | None:
        if known.kind is not FileKind.IMAGE:
            return None
        size = read_exr_size(begun)
        if size is None:
            raise UnsupportedImage(formats=SUPPORTED_FORMATS)
        if size[0] * size[1] > self.converter.max_pixels:
            raise _build_too_many_pixels(self.converter.max_pixels, *size)
        return size

    async def _reencode_image(self, sent: bytes | bytearray, format_: ImageFormat, header: ImageHeader) -> bytes:
        wanted = ConversionOptions(format_, JPEG_QUALITY, faithful=True)
        try:
            return await self.converter.convert(wanted, _iterate_chunks(sent))
        except TooManyPixels:
            limit = self.converter.max_pixels
            raise _build_too_many_pixels(limit, header.width, header.height) from None
        except (NotConvertible, ConversionFailed):
            raise self._build_broken_image() from None

    def _build_broken_image(self) -> BrokenImage:
        return BrokenImage(seconds=math.ceil(self.converter.within_s))

    async def _record_upload(self, new: NewUpload, keep: timedelta | None) -> tuple[Upload, bool]:
        """Record the stored file. After other errors than TooManyUploads the file stays: it may have been recorded."""
        try:
            upload, is_new = await self.uploads.add(new, keep)
        except TooManyUploads:
            await self.objects.delete(new.key)
            raise
        if is_new:
            log.info("gateway.upload.stored", upload_id=str(upload.id), bytes=upload.size_bytes)
        else:  # a concurrent request uploaded the same bytes
            await self.objects.delete(new.key)
        return upload, is_new


class _MeasuredFile:
    """Counts and hashes the bytes that pass through."""

    def __init__(self, begun: bytes, rest: AsyncIterator[bytes], at_most: int) -> None:
        self._begun, self._rest, self._at_most = begun, rest, at_most
        self.size_bytes = 0
        self.digest = hashlib.sha256()

    async def chunks(self) -> AsyncIterator[bytes]:
        yield self._count_bytes(self._begun)
        async for chunk in self._rest:
            yield self._count_bytes(chunk)

    def _count_bytes(self, chunk: bytes) -> bytes:
        self.size_bytes += len(chunk)
        if self.size_bytes > self._at_most:
            raise FileTooLarge(limit=self._at_most)
        self.digest.update(chunk)
        return chunk


async def _described(
    content: bytes, format_: ImageFormat, tenant_id: UUID, sent_sha256: str, *, exact: bool
) -> NewUpload:
    header = read_header(content, whole=True)
    assert isinstance(header, ImageHeader)  # noqa: S101 - the converter has checked the format
    upload_id = new_id()
    return NewUpload(
        id=upload_id,
        tenant_id=tenant_id,
        sent_sha256=sent_sha256,
        sha256=await _compute_sha256(content),
        key=f"{tenant_id}/uploads/{upload_id}",
        content_type=format_.media_type,
        size_bytes=len(content),
        width=header.width,
        height=header.height,
        exact=exact,
    )


async def _compute_sha256(content: bytes | bytearray) -> str:
    """In hex; computed in a thread, since it takes some ten milliseconds."""
    return (await asyncio.to_thread(hashlib.sha256, content)).hexdigest()


async def _iterate_chunks(content: bytes | bytearray) -> AsyncIterator[bytes]:
    for start in range(0, len(content), CHUNK_BYTES):
        yield bytes(content[start : start + CHUNK_BYTES])


def _build_too_many_pixels(limit: int, width: int, height: int) -> UploadTooManyPixels:
    return UploadTooManyPixels(limit=limit, width=width, height=height, side=math.isqrt(limit))
