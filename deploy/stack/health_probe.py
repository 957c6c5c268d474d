"""HTTP health probes with a timeout, without an HTTP library."""

import asyncio
from contextlib import suppress


async def is_healthy(host: str, port: int, path: str, timeout_s: float = 2.0) -> bool:
    """Whether GET ``path`` responds with 200 within the timeout."""
    with suppress(OSError, TimeoutError, ValueError, IndexError):
        async with asyncio.timeout(timeout_s):
            reader, writer = await asyncio.open_connection(host, port)
            try:
                writer.write(f"GET {path} HTTP/1.1\r\nHost: {host}:{port}\r\nConnection: close\r\n\r\n".encode())
                status = await reader.readline()
            finally:
                writer.close()
        return int(status.split()[1]) == 200
    return False
