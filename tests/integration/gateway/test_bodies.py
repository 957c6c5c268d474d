"""Memory limit of all request bodies together."""

import asyncio

import httpx
import pytest

from tests.integration.gateway.conftest import ALICE, BOB, Gateway
from tests.kit.waiting import until

JOBS = "/api/v1/jobs"
LARGEST = 8 << 20
HEAD = b"POST /api/v1/jobs HTTP/1.1\r\nHost: a\r\nX-API-Key: alice-key\r\nContent-Type: application/json\r\n"


@pytest.mark.requirement("B-12")
async def test_bodies_of_one_client_get_a_bounded_share_of_memory(gateway: Gateway) -> None:
    async def post(who: dict[str, str]) -> httpx.Response:
        return await gateway.http.post(JOBS, headers=who, json={"x": "y" * 1000})

    assert (await post(ALICE)).status_code == (await post(BOB)).status_code == 422
    host, port = gateway.origin.removeprefix("http://").split(":")
    unfinished = [await asyncio.open_connection(host, int(port)) for _ in range(8)]
    for _, writer in unfinished:
        writer.write(HEAD + b"Content-Length: %d\r\n\r\n" % LARGEST + b" " * (LARGEST - 1))

    async def full() -> bool:
        answer = await post(ALICE)
        return answer.status_code == 429 and answer.json()["code"] == "request.too_many_bodies"

    await until(full)
    assert int((await post(ALICE)).headers["retry-after"]) > 0
    assert (await post(BOB)).status_code == 422
    for _, writer in unfinished:
        writer.transport.abort()

    async def room_again() -> bool:
        return (await post(ALICE)).status_code == 422

    await until(room_again)
