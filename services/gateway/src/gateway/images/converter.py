"""Pictures converted by helper processes, one process for each picture."""

import asyncio
import math
import sys
from asyncio.subprocess import DEVNULL, PIPE, Process
from collections.abc import AsyncIterator
from contextlib import suppress
from dataclasses import dataclass
from importlib.metadata import version

from chassis.telemetry.logs import log
from gateway.errors import ConversionFailed, NotConvertible, TooManyPixels
from gateway.images.formats import Said, Wanted, format_of

ENCODER = f"{version('pillow')} 2"  # the number grows when we have it make other bytes of the same picture
HELPER = ("-I", "-m", "gateway.images.converter_process")
CHUNK_BYTES = 1 << 18


@dataclass(frozen=True, slots=True)
class ImageConverter:
    """Starts the helpers.

    Attributes:
        max_pixels: of a picture, by its header, before any of it is decoded.
        within_s: how long one conversion may take in all, seconds.
    """

    max_pixels: int
    within_s: float

    @property
    def max_source_bytes(self) -> int:
        """The largest file that is looked at: every pixel uncompressed, and room for what ComfyUI writes besides."""
        return 4 * self.max_pixels + (16 << 20)

    @property
    def max_result_bytes(self) -> int:
        """The largest file that is taken from a helper."""
        return 5 * self.max_pixels + (1 << 20)

    @property
    def max_memory_bytes(self) -> int:
        """The address space of a helper."""
        return self.max_source_bytes + 24 * self.max_pixels + (384 << 20)

    async def convert(self, wanted: Wanted, source: AsyncIterator[bytes]) -> bytes:
        """The picture as wanted.

        Raises:
            NotConvertible: the source is no picture of a known format, is broken, or cannot be had in this one.
            TooManyPixels: it has more than ``max_pixels``.
            ConversionFailed: it took too long, or the helper died.
        """
        try:
            async with asyncio.timeout(self.within_s):
                status, result = await self._run(wanted, source)
        except TimeoutError:
            status, result = None, b""
        if status == Said.TOO_MANY_PIXELS:
            raise TooManyPixels(limit=self.max_pixels)
        if status == Said.NOT_CONVERTIBLE:
            raise NotConvertible
        if status != Said.CONVERTED or format_of(result[:12]) is not wanted.format:
            log.warning("gateway.picture.failed", status=status, bytes=len(result))
            raise ConversionFailed
        return result

    async def _run(self, wanted: Wanted, source: AsyncIterator[bytes]) -> tuple[int | None, bytes]:
        bounds = (self.max_pixels, self.max_source_bytes, self.max_memory_bytes, math.ceil(self.within_s))
        size = (wanted.width or 0, wanted.height or 0)
        asked = (wanted.format.value, wanted.quality, *size, int(wanted.faithful), *bounds)
        helper = await asyncio.create_subprocess_exec(
            sys.executable, *HELPER, *map(str, asked), stdin=PIPE, stdout=PIPE, stderr=DEVNULL, env={}
        )
        feeding = asyncio.create_task(_feed(helper, source), name="gateway.picture.feed")
        try:
            result = await self._result_of(helper)
            await feeding
            return await helper.wait(), result
        finally:
            feeding.cancel()
            if helper.returncode is None:
                with suppress(ProcessLookupError):
                    helper.kill()
            await asyncio.shield(_ended(helper, feeding))

    async def _result_of(self, helper: Process) -> bytes:
        """All that it says, or as much as is already too much."""
        assert helper.stdout is not None  # noqa: S101 - a pipe was asked for
        result = bytearray()
        while len(result) <= self.max_result_bytes and (chunk := await helper.stdout.read(CHUNK_BYTES)):
            result += chunk
        if len(result) > self.max_result_bytes:
            helper.kill()
        return bytes(result)


async def _feed(helper: Process, source: AsyncIterator[bytes]) -> None:
    """Give it the source, until it has enough: it may refuse after the first bytes."""
    assert helper.stdin is not None  # noqa: S101 - a pipe was asked for
    try:
        with suppress(BrokenPipeError, ConnectionResetError):
            async for chunk in source:
                helper.stdin.write(chunk)
                await helper.stdin.drain()
    finally:
        helper.stdin.close()


async def _ended(helper: Process, feeding: asyncio.Task[None]) -> None:
    await asyncio.gather(feeding, return_exceptions=True)
    await helper.wait()
