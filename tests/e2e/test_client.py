"""The Python client on the whole system, over a network that drops connections."""

import asyncio
import re
import secrets
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from comfyfleet_client import (
    AsyncClient,
    Client,
    DamagedDownload,
    End,
    Forbidden,
    InvalidRequest,
    Job,
    JobStillRunning,
    NotFound,
    Output,
    OutputMade,
    Progress,
    Retry,
    ServerUnreachable,
    Session,
    Snapshot,
    Status,
    Unauthenticated,
)
from tests.e2e.conftest import simulated_only
from tests.e2e.test_identity import PASSWORD, slow
from tests.kit.fleet import HELLO, Fleet
from tests.kit.http import http_client
from tests.kit.waiting import until

EAGER = Retry(first_delay_s=0.05)
MAX_JOBS = 5  # attempts; a job that ends while a process is paused sends too few bytes for the last cut


class Network:
    """A TCP proxy. Each new connection takes the next limit and is cut after that many bytes from the server.

    Attributes:
        limits: bytes allowed per future connection; a connection without a limit is not cut.
        swap: replacements of bytes from the server.
        cut: number of cut connections.
        said: the bytes that clients sent.
        unavailable: number of responses with status 503.
    """

    def __init__(self, server: str) -> None:
        self._server = urlsplit(server)
        self.limits: deque[int] = deque()
        self.swap: tuple[bytes, bytes] | None = None
        self.cut = 0
        self.said = b""
        self.unavailable = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        left = self.limits.popleft() if self.limits else None
        server, to_server = await asyncio.open_connection(self._server.hostname, self._server.port)
        up, down = (
            asyncio.create_task(self._up(reader, to_server)),
            asyncio.create_task(self._down(server, writer, left)),
        )
        try:
            await asyncio.wait((up, down), return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in (up, down):
                task.cancel()
            await asyncio.gather(up, down, return_exceptions=True)
            for end in (writer, to_server):
                end.transport.abort()

    async def _up(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while chunk := await reader.read(65536):
            self.said += chunk
            writer.write(chunk)
            await writer.drain()

    async def _down(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, left: int | None) -> None:
        while chunk := await reader.read(65536):
            self.unavailable += chunk.count(b"HTTP/1.1 503")
            passed = chunk if left is None else chunk[:left]
            writer.write(passed.replace(*self.swap) if self.swap else passed)
            await writer.drain()
            if left is not None:
                left -= len(passed)
                if len(passed) < len(chunk) or left == 0:
                    self.cut += 1
                    writer.close()  # the forwarded bytes arrive before the end of the stream
                    return


@asynccontextmanager
async def network(fleet: Fleet, *limits: int) -> AsyncIterator[tuple[Network, str]]:
    """Run a failing network in front of the system; yields it and its URL."""
    bad = Network(fleet.base_url)
    bad.limits.extend(limits)
    server = await asyncio.start_server(bad.serve, "127.0.0.1", 0)
    try:
        yield bad, f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    finally:
        server.close()


def files(folder: Path) -> list[str]:
    return [path.name for path in folder.iterdir()]


@pytest.fixture
async def fleeting(fleet: Fleet) -> AsyncIterator[AsyncClient]:
    async with AsyncClient(fleet.base_url, key=fleet.key, retry=EAGER) as client:
        yield client


@pytest.mark.requirement("F-2")
async def test_submission_with_a_lost_reply_creates_one_job(fleet: Fleet, fleeting: AsyncClient) -> None:
    label = secrets.token_hex(4)

    def submit(url: str) -> str:
        with Client(url, key=fleet.key, retry=EAGER) as client:
            return client.jobs.submit(workflow=HELLO, labels={"test": label}).job_id

    async with network(fleet, 0, 20) as (bad, url):
        made = await asyncio.to_thread(submit, url)
        assert bad.cut == 2
        keys = re.findall(rb"(?i)\r\nidempotency-key: (\S+)", bad.said)
        assert len(keys) == bad.said.count(b"POST /api/v1/jobs ") >= 3
        assert len(set(keys)) == 1
    assert [job.job_id async for job in fleeting.jobs.list(label=f"test:{label}")] == [made]
    assert (await fleeting.jobs.wait(made, timeout=60)).succeeded


@simulated_only
@pytest.mark.parametrize("sync", [True, False], ids=["sync", "async"])
async def test_watching_survives_disconnects_and_yields_each_state_once(
    fleet: Fleet, fleeting: AsyncClient, *, sync: bool
) -> None:
    cuts: list[int] = []
    for _ in range(MAX_JOBS):
        job = await fleeting.jobs.submit("a lighthouse", width=64, height=64, steps=100)
        cuts.append(await watch_over_failing_network(fleet, job, sync=sync))
        if cuts[-1] == 4:
            break
    assert cuts[-1] == 4, cuts


async def watch_over_failing_network(fleet: Fleet, job: Job, *, sync: bool) -> int:
    """Watch a job and assert that each state is seen once. Return how many connections were cut."""

    def watched(url: str) -> list[object]:
        with Client(url, key=fleet.key, retry=EAGER) as client:
            return list(client.jobs.watch(job, after=0))

    async with network(fleet, 0, 700, 1500, 1900) as (bad, url), AsyncClient(url, key=fleet.key, retry=EAGER) as client:
        seen = (
            await asyncio.to_thread(watched, url)
            if sync
            else [event async for event in client.jobs.watch(job, after=0)]
        )
        assert b"?after=0" in bad.said
    assert isinstance(seen[0], Snapshot)
    states = [event for event in seen if isinstance(event, Status)]
    assert [state.seq for state in states] == [1, 2, 3, 4]
    assert [state.status for state in states] == ["pending", "processing", "processing", "completed"]
    assert [type(event) for event in seen[-3:]] == [OutputMade, Status, End]
    assert sum(isinstance(event, Snapshot | OutputMade | End) for event in seen) == 3
    return bad.cut


@simulated_only
async def test_watching_yields_progress_and_the_end_of_a_cancelled_job(fleeting: AsyncClient) -> None:
    graph = slow(1)
    for node in range(10, 70):  # runs for a minute and reports progress every second
        graph[str(node)] = graph["2"] | {"inputs": {"image": graph["3"]["inputs"]["images"], "seconds": 1}}
        graph["3"]["inputs"]["images"] = [str(node), 0]
    job = await fleeting.jobs.submit(workflow=graph)
    shown = []
    async for event in fleeting.jobs.watch(job):
        shown.append(event)
        if isinstance(event, Progress):
            await fleeting.jobs.cancel(job)
    assert any(isinstance(event, Progress) for event in shown)
    assert isinstance(shown[-1], End)
    assert shown[-1].status == "cancelled"


@simulated_only
async def test_interrupted_download_resumes(fleet: Fleet, fleeting: AsyncClient, tmp_path: Path) -> None:
    job = await fleeting.jobs.wait(await fleeting.jobs.submit("noise", width=512, height=512, steps=1), timeout=60)
    size = job.outputs[0].size_bytes
    assert size > 20_000
    async with fleet.client() as plain:
        whole = (await plain.get(f"/jobs/{job.job_id}/result")).content
    file = tmp_path / "picture.png"

    def download(url: str) -> Output:
        with Client(url, key=fleet.key, retry=EAGER) as client:
            return client.jobs.download(job, to=file)

    async with network(fleet, size // 2, size // 3) as (bad, url):
        output = await asyncio.to_thread(download, url)
        assert bad.cut == 2
        requests = bad.said.count(f"GET /api/v1/jobs/{job.job_id}/result".encode())
        assert requests - 1 >= 2
        # the client repeats a request without a Range header if it has received no bytes
        assert requests - 1 - bad.unavailable <= bad.said.lower().count(b"\r\nrange: bytes=") <= requests - 1
        assert file.read_bytes() == whole
        assert output == job.outputs[0]
        async with AsyncClient(url, key=fleet.key) as client:
            assert await client.jobs.download(job, 0) == whole
    assert files(tmp_path) == ["picture.png"]


async def test_corrupted_download_is_not_saved(fleet: Fleet, fleeting: AsyncClient, tmp_path: Path) -> None:
    job = await fleeting.jobs.wait(await fleeting.jobs.submit(workflow=HELLO), timeout=60)
    async with network(fleet) as (bad, url), AsyncClient(url, key=fleet.key) as client:
        bad.swap = (b"IDAT", b"IDAX")
        with pytest.raises(DamagedDownload):
            await client.jobs.download(job, to=tmp_path / "picture.png")
    assert files(tmp_path) == []


@pytest.mark.requirement("python-client")
async def test_client_covers_a_session_from_registration_to_logout(fleet: Fleet) -> None:
    name, kept = f"pat-{secrets.token_hex(4)}", list[Session]()
    async with AsyncClient(fleet.base_url, username=name, password=PASSWORD, on_session=kept.append) as client:
        assert (await client.register(name, f"{name}@example.com", PASSWORD)).tier == "free"
        await until(lambda: known(client))
        me = await client.me()
        assert (me.username, me.limits.images_per_day, me.left_today) == (name, 10, 10)
        key = await client.keys.create("box", scopes=["jobs:read"])
        assert [listed.id for listed in await client.keys.list()] == [key.id]
        async with AsyncClient(fleet.base_url, key=key.key) as other:
            assert [job async for job in other.jobs.list()] == []
            with pytest.raises(Forbidden) as refused:
                await other.jobs.submit(workflow=HELLO)
            assert refused.value.code == "auth.scope.missing"
            await client.keys.revoke(key)
            await until(lambda: unknown(other))
        await client.logout()
    assert kept
    async with AsyncClient(fleet.base_url, session=kept[-1]) as ended:
        await until(lambda: unknown(ended))


async def known(client: AsyncClient) -> bool:
    return not await unknown(client)


async def unknown(client: AsyncClient) -> bool:
    try:
        await client.me()
    except Unauthenticated:
        return True
    return False


async def test_api_refusal_raises_an_exception(fleet: Fleet, fleeting: AsyncClient) -> None:
    with pytest.raises(InvalidRequest) as invalid:
        await fleeting.jobs.submit("a cat", width=65, steps=0)
    assert {error.pointer for error in invalid.value.errors} == {"/width", "/steps"}
    assert invalid.value.request_id
    with pytest.raises(NotFound):
        await fleeting.jobs.get("../admin/tiers")
    for job_id in ("nope", "01a208b3-81a7-7293-8b20-4e83238f9076"):
        with pytest.raises(NotFound):
            await fleeting.jobs.get(job_id)
        with pytest.raises(NotFound):
            await anext(aiter(fleeting.jobs.watch(job_id)))
    async with AsyncClient(fleet.base_url, key="cf_wrong") as stranger:
        with pytest.raises(Unauthenticated):
            await stranger.me()
        with pytest.raises(Unauthenticated):
            await anext(aiter(stranger.jobs.watch("nope")))
    async with AsyncClient("http://127.0.0.1:1", key="k", retry=Retry(tries=2, first_delay_s=0.01)) as nobody:
        with pytest.raises(ServerUnreachable):
            await nobody.me()
        with pytest.raises(ServerUnreachable):
            await anext(aiter(nobody.jobs.watch("nope")))


@simulated_only
async def test_wait_timeout_leaves_the_job_running_until_cancelled(fleeting: AsyncClient) -> None:
    job = await fleeting.jobs.submit(workflow=slow(60))
    with pytest.raises(JobStillRunning):
        await fleeting.jobs.wait(job, timeout=0.3)
    waiting = asyncio.create_task(fleeting.jobs.wait(job, timeout=60))
    await fleeting.jobs.cancel(job)
    assert (await waiting).status == "cancelled"
    assert (await fleeting.jobs.cancel(job)).status == "cancelled"


@pytest.mark.requirement(
    "GET /api/v1/admin/tiers", "PATCH /api/v1/admin/tiers/{name}", "table auth.tiers", "limit.tiers-are-data"
)
async def test_client_admin_reads_and_changes_users_and_tiers(fleet: Fleet) -> None:
    def session(name: str) -> None:
        with Client(fleet.base_url) as public, Client(fleet.base_url, key=fleet.credentials["admin_key"]) as admin:
            user = public.register(name, f"{name}@example.com", PASSWORD)
            assert [found.id for found in admin.admin.users(search=name)] == [user.id]
            assert admin.admin.change_user(user.id, tier="basic", limits={"queue_cap": 7}).own_limits == ("queue_cap",)
            changed = admin.admin.user(user.id)
            assert (changed.tier, changed.limits.queue_cap) == ("basic", 7)
            every = [found.id for found in admin.admin.users(page_size=1)]
            assert len(every) == len(set(every)) >= 3
            enterprise = next(tier for tier in admin.admin.tiers() if tier.name == "enterprise")
            assert admin.admin.change_tier("enterprise", weight=enterprise.limits.weight) == enterprise

    await asyncio.to_thread(session, f"eve-{secrets.token_hex(4)}")


async def test_abandoned_watch_leaves_no_open_connection(fleet: Fleet, fleeting: AsyncClient) -> None:
    job = await fleeting.jobs.submit(workflow=HELLO)
    async for event in fleeting.jobs.watch(job):
        assert isinstance(event, Snapshot)
        break
    with Client(fleet.base_url, key=fleet.key) as client:
        events = await asyncio.to_thread(client.jobs.watch, job)
        assert isinstance(await asyncio.to_thread(next, events), Snapshot)
        with suppress(StopIteration):
            events.close()  # type: ignore[attr-defined]
    models = await fleeting.models()
    async with http_client(base_url=fleet.base_url, headers={"X-API-Key": fleet.key}) as plain:
        assert models == (await plain.get("/api/v1/models")).json()["models"]
