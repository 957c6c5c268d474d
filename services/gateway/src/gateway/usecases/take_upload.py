"""Take an image from outside: what is kept of it are its pixels."""

import asyncio
import hashlib
import math
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import timedelta
from uuid import UUID

from chassis.ids import new_id
from chassis.logs import log
from gateway.clients.pictures import Pictures
from gateway.domain.errors import (
    AnimatedImage,
    BrokenImage,
    ConversionFailed,
    NotConvertible,
    TooManyPixels,
    TooManyUploads,
    UnsupportedImage,
    UploadTooManyPixels,
)
from gateway.domain.picture_format import PictureFormat, Wanted
from gateway.domain.picture_header import PictureHeader, Unfit, read_header
from gateway.store.objects import Objects
from gateway.store.uploads import Picture, Upload, Uploads
from gateway.usecases.picture_line import PictureLine

CHUNK_BYTES = 1 << 18
JPEG_QUALITY = 95
KEPT_AS = {PictureFormat.PNG: PictureFormat.PNG, PictureFormat.JPEG: PictureFormat.JPEG,
           PictureFormat.WEBP: PictureFormat.PNG}  # fmt: skip
"""A JPEG as a PNG would be ten times the size; a WebP may hold alpha or no loss at all, which only a PNG keeps."""


@dataclass(frozen=True, slots=True)
class UploadDesk:
    """Where images come in. ``max_bytes`` is of one image as it is sent."""

    uploads: Uploads
    objects: Objects
    pictures: Pictures
    line: PictureLine
    max_bytes: int

    def look_at(self, begun: bytes | bytearray, *, whole: bool = False) -> PictureHeader | None:
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

    async def take(self, sent: bytes | bytearray, *, tenant: str, keep: timedelta | None) -> tuple[Upload, bool]:
        """Keep an image for this long, None for good; and whether it is new.

        Durable when it returns. The same bytes again are the same upload, kept longer, never shorter. What is kept is
        made from the pixels alone: upright, in sRGB, with its alpha, and without a byte of what else was in the file.

        Raises:
            UnsupportedImage, AnimatedImage, UploadTooManyPixels: see ``look_at``.
            BrokenImage: its pixels cannot be had.
            TooManyUploads: the tenant has no room for it.
            TooManyConversions, Unavailable: the machine is busy with images, of this tenant or of all.
        """
        header = await asyncio.to_thread(self.look_at, sent, whole=True)  # it may have to inflate some megabytes
        if header is None:
            raise UnsupportedImage
        sent_sha256 = await _sha256(sent)
        known = await self.uploads.refresh(tenant, sent_sha256, keep)
        if known is not None:
            return known, False
        await self.uploads.check_room(tenant, size_bytes=0)
        async with self.line.turn(tenant):  # also while it is stored: so many are in memory, and no more
            clean = await self._clean(sent, KEPT_AS[header.format], header)
            picture = await _described(clean, KEPT_AS[header.format], UUID(tenant), sent_sha256)
            await self.objects.put(picture.key, _pieces(clean))
        return await self._record(picture, keep)

    async def _clean(self, sent: bytes | bytearray, format_: PictureFormat, header: PictureHeader) -> bytes:
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

    async def _record(self, picture: Picture, keep: timedelta | None) -> tuple[Upload, bool]:
        """Whatever else goes wrong leaves bytes that the sweep finds: whether they were recorded is not known then."""
        try:
            upload, new = await self.uploads.add(picture, keep)
        except TooManyUploads:
            await self.objects.delete(picture.key)
            raise
        if new:
            log.info("gateway.upload.stored", upload_id=str(upload.id), bytes=upload.size_bytes)
        else:  # the same bytes came twice at once
            await self.objects.delete(picture.key)
        return upload, new


async def _described(content: bytes, format_: PictureFormat, tenant_id: UUID, sent_sha256: str) -> Picture:
    header = read_header(content, whole=True)
    assert isinstance(header, PictureHeader)  # noqa: S101 - the helper's format was looked at
    upload_id = new_id()
    return Picture(
        id=upload_id,
        tenant_id=tenant_id,
        sent_sha256=sent_sha256,
        sha256=await _sha256(content),
        key=f"{tenant_id}/uploads/{upload_id}",
        content_type=format_.media_type,
        size_bytes=len(content),
        width=header.width,
        height=header.height,
    )


async def _sha256(content: bytes | bytearray) -> str:
    """In hex, in a thread: ten milliseconds of it would hold up everybody else."""
    return (await asyncio.to_thread(hashlib.sha256, content)).hexdigest()


async def _pieces(content: bytes | bytearray) -> AsyncIterator[bytes]:
    for start in range(0, len(content), CHUNK_BYTES):
        yield bytes(content[start : start + CHUNK_BYTES])
