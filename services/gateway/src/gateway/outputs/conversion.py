"""A stored output as another picture."""

from collections.abc import Callable
from contextlib import ExitStack
from time import monotonic

from contracts.gateway.outputs import UnknownOutput
from gateway.edge.body_memory import BodyMemoryLimit
from gateway.errors import NotConvertible, TooManyBodies, TooManyConversions
from gateway.images.converter import ENCODER, ImageConverter
from gateway.images.formats import Wanted
from gateway.images.limiter import ImageLimiter
from gateway.storage.artifacts import Artifact
from gateway.storage.byte_range import ByteRange
from gateway.storage.objects import Objects


class Converter:
    """Converts outputs.

    Args:
        pictures: does the work.
        objects: where the outputs are.
        line: for all work on pictures.
    """

    def __init__(self, pictures: ImageConverter, objects: Objects, line: ImageLimiter) -> None:
        self._pictures, self._objects, self._line = pictures, objects, line
        largest = pictures.max_result_bytes
        self._answers = BodyMemoryLimit(total=4 * largest, each=2 * largest, clock=monotonic)

    def etag(self, artifact: Artifact, wanted: Wanted) -> str:
        """The strong ETag of the converted picture; known without converting."""
        return wanted.etag(artifact.sha256, ENCODER)

    async def convert(self, artifact: Artifact, wanted: Wanted, *, tenant: str) -> tuple[bytes, Callable[[], None]]:
        """The converted picture, and what is to be called when it has been sent: until then its memory is counted.

        Raises:
            NotConvertible, TooManyPixels, ConversionFailed: it cannot be.
            TooManyConversions: this tenant has too many in line, or too much that is not fetched yet.
            Unavailable: all tenants together have.
            UnknownOutput: the bytes of the output are gone.
        """
        if artifact.size_bytes > self._pictures.max_source_bytes or not artifact.size_bytes:
            raise NotConvertible
        try:
            async with self._line.turn(tenant):
                source = await self._objects.open(artifact.key, ByteRange(0, artifact.size_bytes))
                picture = await self._pictures.convert(wanted, source)
            with ExitStack() as held:
                held.enter_context(self._answers.of(tenant))(len(picture))
                return picture, held.pop_all().close
        except TooManyBodies:
            raise TooManyConversions(retry_after_s=1) from None
        except FileNotFoundError:
            raise UnknownOutput from None
