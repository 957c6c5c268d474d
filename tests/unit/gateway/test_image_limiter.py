"""The queue for image processing."""

import asyncio

import pytest

from gateway.images.errors import TooManyConversions
from gateway.images.limiter import MAX_WAITING_PER_TENANT, ImageLimiter


async def test_thumbnail_requests_wait_while_the_image_queue_is_full() -> None:
    limiter, running, most = ImageLimiter(2), 0, 0

    async def convert() -> None:
        nonlocal running, most
        async with limiter.slot_waiting_if_full("alice"):
            running += 1
            most = max(most, running)
            await asyncio.sleep(0)
            running -= 1

    async def convert_at_once() -> None:
        async with limiter.slot("alice"):
            await asyncio.sleep(0)

    await asyncio.gather(*(convert() for _ in range(100)))
    assert most == 2
    refused = await asyncio.gather(*(convert_at_once() for _ in range(100)), return_exceptions=True)
    assert any(isinstance(one, TooManyConversions) for one in refused)


async def test_number_of_waiting_image_requests_is_limited() -> None:
    limiter, may_end = ImageLimiter(1), asyncio.Event()

    async def convert() -> None:
        async with limiter.slot_waiting_if_full("alice"):
            await may_end.wait()

    waiting = [asyncio.create_task(convert()) for _ in range(MAX_WAITING_PER_TENANT)]
    await asyncio.sleep(0)
    with pytest.raises(TooManyConversions):
        await convert()
    may_end.set()
    await asyncio.gather(*waiting)
    await convert()
