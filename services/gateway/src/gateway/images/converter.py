"""Converts images in helper processes, one process per image."""

import asyncio
import math
import sys
from asyncio.subprocess import DEVNULL, PIPE, Process
from collections.abc import AsyncIterator
from contextlib import suppress
from dataclasses import dataclass
from importlib.metadata import version

from chassis.telemetry.logs import log
from gateway.images.errors import ConversionFailed, NotConvertible, TooManyPixels
from gateway.images.formats import ConversionOptions, ExitStatus, detect_format

ENCODER_VERSION = f"{version('pillow')} 2"  # increase the number when a change produces other bytes for the same image
CONVERTER_ARGUMENTS = ("-I", "-m", "gateway.images.converter_process")
CHUNK_BYTES = 1 << 18


@dataclass(frozen=True, slots=True)
class ImageConverter:
    """Starts the helper processes.

    Attributes:
        max_pixels: maximum pixels of an image, checked in its header before it is decoded.
        within_s: timeout of one conversion, seconds.
    """

    max_pixels: int
    within_s: float

    @property
    def max_source_bytes(self) -> int:
        """The largest source: every pixel uncompressed, plus room for ComfyUI's metadata."""
        return 4 * self.max_pixels + (16 << 20)

    @property
    def max_result_bytes(self) -> int:
        """The largest result accepted from a helper."""
        return 5 * self.max_pixels + (1 << 20)

    @property
    def max_memory_bytes(self) -> int:
        """The limit on the address space of a helper."""
        return self.max_source_bytes + 24 * self.max_pixels + (384 << 20)

    async def convert(self, options: ConversionOptions, source: AsyncIterator[bytes]) -> bytes:
        """Return the converted image.

        Raises:
            NotConvertible: the source is not an image of a known format, is damaged, or cannot be converted to the
                requested format.
            TooManyPixels: the image has more than ``max_pixels``.
            ConversionFailed: the conversion timed out, or the helper crashed.
        """
        try:
            async with asyncio.timeout(self.within_s):
                status, result = await self._run_helper(options, source)
        except TimeoutError:
            status, result = None, b""
        if status == ExitStatus.TOO_MANY_PIXELS:
            raise TooManyPixels(limit=self.max_pixels)
        if status == ExitStatus.NOT_CONVERTIBLE:
            raise NotConvertible
        if status != ExitStatus.CONVERTED or detect_format(result[:12]) is not options.format:
            log.warning("gateway.image.conversion_failed", status=status, bytes=len(result))
            raise ConversionFailed
        return result

    async def _run_helper(self, options: ConversionOptions, source: AsyncIterator[bytes]) -> tuple[int | None, bytes]:
        limits = (self.max_pixels, self.max_source_bytes, self.max_memory_bytes, math.ceil(self.within_s))
        size = (options.width or 0, options.height or 0)
        arguments = (options.format.value, options.quality, *size, int(options.for_workflow_input), *limits)
        helper = await asyncio.create_subprocess_exec(
            sys.executable, *CONVERTER_ARGUMENTS, *map(str, arguments), stdin=PIPE, stdout=PIPE, stderr=DEVNULL, env={}
        )
        writing_source = asyncio.create_task(_write_source(helper, source), name="gateway.image.feed")
        try:
            result = await self._read_result(helper)
            await writing_source
            return await helper.wait(), result
        finally:
            writing_source.cancel()
            if helper.returncode is None:
                with suppress(ProcessLookupError):
                    helper.kill()
            await asyncio.shield(_end_helper(helper, writing_source))

    async def _read_result(self, helper: Process) -> bytes:
        """Return the output of the helper, at most a chunk more than ``max_result_bytes``."""
        assert helper.stdout is not None  # noqa: S101 - stdin and stdout are pipes
        result = bytearray()
        while len(result) <= self.max_result_bytes and (chunk := await helper.stdout.read(CHUNK_BYTES)):
            result += chunk
        if len(result) > self.max_result_bytes:
            helper.kill()
        return bytes(result)


async def _write_source(helper: Process, source: AsyncIterator[bytes]) -> None:
    """Write the source to the helper until it stops reading: it can refuse after the first bytes."""
    assert helper.stdin is not None  # noqa: S101 - stdin and stdout are pipes
    try:
        with suppress(BrokenPipeError, ConnectionResetError):
            async for chunk in source:
                helper.stdin.write(chunk)
                await helper.stdin.drain()
    finally:
        helper.stdin.close()


async def _end_helper(helper: Process, writing_source: asyncio.Task[None]) -> None:
    await asyncio.gather(writing_source, return_exceptions=True)
    await helper.wait()
