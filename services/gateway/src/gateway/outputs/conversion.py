"""Converts stored images."""

from collections.abc import Callable
from contextlib import ExitStack
from time import monotonic

from contracts.gateway.outputs import UnknownOutput
from gateway.edge.capacity_limit import CapacityLimit
from gateway.edge.errors import TooManyBodies
from gateway.images.converter import ENCODER_VERSION, ImageConverter
from gateway.images.errors import NotConvertible, TooManyConversions
from gateway.images.formats import ConversionOptions
from gateway.images.limiter import ImageLimiter
from gateway.storage.artifacts import Artifact
from gateway.storage.byte_range import ByteRange
from gateway.storage.objects import ArtifactStore


class OutputConverter:
    """Converts outputs.

    Args:
        converter: converts images in helper processes.
        objects: the artifact store.
        limiter: limits all image processing.
    """

    def __init__(self, converter: ImageConverter, objects: ArtifactStore, limiter: ImageLimiter) -> None:
        self._converter, self._objects, self._limiter = converter, objects, limiter
        largest = converter.max_result_bytes
        self._responses = CapacityLimit(total=4 * largest, per_client=2 * largest, clock=monotonic)

    def compute_etag(self, artifact: Artifact, options: ConversionOptions) -> str:
        """Return the strong ETag of the converted image, without converting it."""
        return options.compute_etag(artifact.sha256, ENCODER_VERSION)

    async def convert(
        self, artifact: Artifact, options: ConversionOptions, *, tenant: str, wait_if_full: bool = False
    ) -> tuple[bytes, Callable[[], None]]:
        """Return the converted image, and a function to call once it is sent, which releases its memory.

        Args:
            artifact: the stored image.
            options: format and size.
            tenant: owner of the image.
            wait_if_full: wait while the tenant has too many images queued, instead of refusing.

        Raises:
            NotConvertible, TooManyPixels, ConversionFailed: the image cannot be converted.
            TooManyConversions: the tenant has too many images queued or not yet fetched.
            Unavailable: all tenants together have too many images queued or not yet fetched.
            UnknownOutput: the bytes of the output were deleted.
        """
        if artifact.size_bytes > self._converter.max_source_bytes or not artifact.size_bytes:
            raise NotConvertible
        try:
            async with self._limiter.slot_waiting_if_full(tenant) if wait_if_full else self._limiter.slot(tenant):
                source = await self._objects.stream_range(artifact.key, ByteRange(0, artifact.size_bytes))
                image = await self._converter.convert(options, source)
            with ExitStack() as reservation:
                reservation.enter_context(self._responses.reserve(tenant))(len(image))
                return image, reservation.pop_all().close
        except TooManyBodies:
            raise TooManyConversions(retry_after_s=1) from None
        except FileNotFoundError:
            raise UnknownOutput from None
