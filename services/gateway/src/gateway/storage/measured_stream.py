"""Measures a file while it is stored."""

import hashlib
from collections.abc import AsyncIterator

from contracts.wire.errors import Refusal


class MeasuredStream:
    """Counts and hashes the bytes that pass through.

    Args:
        chunks: the bytes.
        max_bytes: maximum size of all chunks together.
        too_large: raised if there are more.
    """

    def __init__(self, chunks: AsyncIterator[bytes], max_bytes: int, too_large: Refusal) -> None:
        self._chunks, self._max_bytes, self._too_large = chunks, max_bytes, too_large
        self._digest = hashlib.sha256()
        self.size_bytes = 0

    @property
    def sha256(self) -> str:
        """SHA-256 of the bytes so far, in hex."""
        return self._digest.hexdigest()

    async def iterate_chunks(self) -> AsyncIterator[bytes]:
        async for chunk in self._chunks:
            self.size_bytes += len(chunk)
            if self.size_bytes > self._max_bytes:
                raise self._too_large
            self._digest.update(chunk)
            yield chunk
