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
from gateway.storage.measured_stream import MeasuredStream
from gateway.storage.objects import ArtifactStore
from gateway.uploads.errors import (
    SUPPORTED_FORMATS,
    AnimatedImage,
    BrokenImage,
    ExactUploadUnsupported,
    FileTooLarge,
    TooManyUploads,
    UnsupportedImage,
    UploadTooManyPixels,
)
from gateway.uploads.file_signatures import SIGNATURE_BYTES, detect_file_type, may_be_recognized_by_size, read_exr_size
from gateway.uploads.store import NewUpload, Upload, UploadStore

CHUNK_BYTES = 1 << 18
JPEG_QUALITY = 95
STORED_FORMAT = {ImageFormat.PNG: ImageFormat.PNG, ImageFormat.JPEG: ImageFormat.JPEG,
           ImageFormat.WEBP: ImageFormat.PNG}  # fmt: skip
"""The format of the stored file. JPEG stays JPEG, ten times smaller than PNG; WebP can have alpha or be lossless."""


@dataclass(frozen=True, slots=True)
class UploadService:
    """Checks and stores uploaded files.

    Attributes:
        max_bytes: maximum size of an image as sent.
        max_file_bytes: maximum size of any other file, for all tenants.
    """

    uploads: UploadStore
    objects: ArtifactStore
    converter: ImageConverter
    limiter: ImageLimiter
    max_bytes: int
    max_file_bytes: int

    def choose_max_file_bytes(self, limit: int | None) -> int:
        """Return the largest size of a file that is not an image, by the tenant's limit (None: unlimited)."""
        return self.max_file_bytes if limit is None else min(limit, self.max_file_bytes)

    def check_file(self, prefix: bytes, *, max_bytes: int, is_complete: bool) -> None:
        """Check that a file that begins with these bytes can be of a supported type.

        Raises:
            UnsupportedImage: it cannot.
            UploadTooManyPixels: it is an EXR image that is too large.
        """
        file_type = detect_file_type(prefix, len(prefix) if is_complete else None)
        if file_type is None and (is_complete or not may_be_recognized_by_size(prefix, max_bytes)):
            raise UnsupportedImage(formats=SUPPORTED_FORMATS)
        if file_type is not None:
            self._read_image_size(file_type, prefix)

    def check_image(self, prefix: bytes | bytearray, *, is_complete: bool = False) -> ImageHeader | None:
        """Return the header of an image that begins with these bytes; None if more bytes are needed. Cheap.

        Raises:
            UnsupportedImage, AnimatedImage: the image is not supported.
            BrokenImage: it has far too much metadata.
            UploadTooManyPixels: it is too large.
        """
        header = read_header(prefix, is_complete=is_complete)
        if header is HeaderProblem.ANIMATED:
            raise AnimatedImage
        if header is HeaderProblem.BLOATED:
            raise self._build_broken_image_error()
        if isinstance(header, HeaderProblem):
            raise UnsupportedImage(formats=SUPPORTED_FORMATS)
        if header is not None and header.width * header.height > self.converter.max_pixels:
            raise _build_too_many_pixels_error(self.converter.max_pixels, header.width, header.height)
        return header

    async def store_image(
        self, sent: bytes | bytearray, *, tenant: str, retention: timedelta | None, exact: bool = False
    ) -> tuple[Upload, bool]:
        """Store an image durably. Return the upload, and whether it is new.

        The same bytes are the same upload; sending them again can only extend its expiry. ``retention``: for how long
        it is kept, None for ever.

        The stored file is re-encoded from the pixels: upright, in sRGB, with alpha, without metadata. With ``exact`` a
        PNG is stored unchanged, since re-encoding loses 16-bit channels.

        Raises:
            ExactUploadUnsupported: ``exact``, but the image is not a PNG.
            UnsupportedImage, AnimatedImage, UploadTooManyPixels: see ``check_image``.
            BrokenImage: it cannot be decoded.
            TooManyUploads: the tenant has too many uploads.
            StorageFull, StoreMismatch: nothing can be stored now.
            TooManyConversions, Unavailable: too many images of this tenant, or of all, are being processed.
        """
        header = await asyncio.to_thread(self.check_image, sent, is_complete=True)  # it can inflate some megabytes
        if header is None:
            raise UnsupportedImage(formats=SUPPORTED_FORMATS)
        if exact and header.format is not ImageFormat.PNG:
            raise ExactUploadUnsupported
        sent_sha256 = await _compute_sha256(b"exact " + sent if exact else sent)
        existing = await self.uploads.find_and_extend(tenant, sent_sha256, retention)
        if existing is not None:
            return existing, False
        self.objects.status.require_space_for_new_work()
        await self.uploads.check_limits(tenant)
        async with self.limiter.slot(tenant):  # held until it is stored, which limits the images in memory
            content = bytes(sent) if exact else await self._reencode_image(sent, STORED_FORMAT[header.format], header)
            new = await _describe_image(content, STORED_FORMAT[header.format], UUID(tenant), sent_sha256, exact=exact)
            await self.objects.put(new.key, _iterate_chunks(content))
        return await self._record_upload(new, retention)

    async def store_file(
        self, prefix: bytes, rest: AsyncIterator[bytes], *, tenant: str, retention: timedelta | None, max_bytes: int
    ) -> tuple[Upload, bool]:
        """Store a file unchanged, with some megabytes of memory; otherwise like ``store_image``.

        If ``rest`` raises, nothing is stored.

        Args:
            prefix: the first ``SIGNATURE_BYTES`` or more, or all bytes; see ``check_file``.
            rest: the following bytes.
            tenant: owner of the upload.
            retention: for how long the upload is kept, None for ever.
            max_bytes: largest size, bytes.

        Raises:
            FileTooLarge: it is larger.
            UnsupportedImage: the whole file is not of a supported type.
            UploadTooManyPixels: it is an EXR image that is too large.
            TooManyUploads: the tenant has too many uploads.
            StorageFull, StoreMismatch: nothing can be stored now.
        """
        self.objects.status.require_space_for_new_work()
        await self.uploads.check_limits(tenant)
        upload_id = new_id()
        key = f"{tenant}/uploads/{upload_id}"
        measured = MeasuredStream(_iterate_file(prefix, rest), max_bytes, FileTooLarge(limit=max_bytes))
        await self.objects.put(key, measured.iterate_chunks())
        try:
            file_type, size = self._detect_supported_type(prefix, measured.size_bytes)
        except Refusal:
            await self.objects.delete(key)
            raise
        new = NewUpload(
            id=upload_id,
            tenant_id=UUID(tenant),
            sent_sha256=measured.sha256,
            sha256=measured.sha256,
            key=key,
            content_type=file_type.media_type,
            size_bytes=measured.size_bytes,
            width=size[0] if size else None,
            height=size[1] if size else None,
            exact=True,
        )
        return await self._record_upload(new, retention)

    def _detect_supported_type(self, prefix: bytes, size_bytes: int) -> tuple[FileType, tuple[int, int] | None]:
        file_type = detect_file_type(prefix[:SIGNATURE_BYTES], size_bytes)
        if file_type is None:
            raise UnsupportedImage(formats=SUPPORTED_FORMATS)
        return file_type, self._read_image_size(file_type, prefix)

    def _read_image_size(self, file_type: FileType, prefix: bytes) -> tuple[int, int] | None:
        if file_type.kind is not FileKind.IMAGE:
            return None
        size = read_exr_size(prefix)
        if size is None:
            raise UnsupportedImage(formats=SUPPORTED_FORMATS)
        if size[0] * size[1] > self.converter.max_pixels:
            raise _build_too_many_pixels_error(self.converter.max_pixels, *size)
        return size

    async def _reencode_image(self, sent: bytes | bytearray, format_: ImageFormat, header: ImageHeader) -> bytes:
        options = ConversionOptions(format_, JPEG_QUALITY, for_workflow_input=True)
        try:
            return await self.converter.convert(options, _iterate_chunks(sent))
        except TooManyPixels:
            limit = self.converter.max_pixels
            raise _build_too_many_pixels_error(limit, header.width, header.height) from None
        except (NotConvertible, ConversionFailed):
            raise self._build_broken_image_error() from None

    def _build_broken_image_error(self) -> BrokenImage:
        return BrokenImage(seconds=math.ceil(self.converter.within_s))

    async def _record_upload(self, new: NewUpload, retention: timedelta | None) -> tuple[Upload, bool]:
        """Record the stored file. After other errors than TooManyUploads the file stays: it may have been recorded."""
        try:
            upload, is_new = await self.uploads.add_or_extend(new, retention)
        except TooManyUploads:
            await self.objects.delete(new.key)
            raise
        if is_new:
            log.info("gateway.upload.stored", upload_id=str(upload.id), bytes=upload.size_bytes)
        else:  # a concurrent request uploaded the same bytes
            await self.objects.delete(new.key)
        return upload, is_new


async def _describe_image(
    content: bytes, format_: ImageFormat, tenant_id: UUID, sent_sha256: str, *, exact: bool
) -> NewUpload:
    header = read_header(content, is_complete=True)
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
    """Return the SHA-256 in hex. It is computed in a thread, since it takes tens of milliseconds."""
    return (await asyncio.to_thread(hashlib.sha256, content)).hexdigest()


async def _iterate_file(prefix: bytes, rest: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    yield prefix
    async for chunk in rest:
        yield chunk


async def _iterate_chunks(content: bytes | bytearray) -> AsyncIterator[bytes]:
    for start in range(0, len(content), CHUNK_BYTES):
        yield bytes(content[start : start + CHUNK_BYTES])


def _build_too_many_pixels_error(limit: int, width: int, height: int) -> UploadTooManyPixels:
    return UploadTooManyPixels(limit=limit, width=width, height=height, side=math.isqrt(limit))
