import asyncio
import hashlib
from typing import Any
from uuid import UUID, uuid4

import httpx
import pytest

from chassis.database import migrate
from contracts.gateway.transfers import GRANT_OUTPUTS, GrantOutputs, OutputGrant
from contracts.scheduler.jobs import JobState
from contracts.scheduler.outputs import Output, OutputSource
from tests.integration.gateway.conftest import ALICE, BOB, Gateway, settings_for, stored_files
from tests.integration.gateway.long_timeouts import create_app_with_long_timeouts
from tests.kit.http import http_client
from tests.kit.postgres import database_with_long_timeout
from tests.kit.scripted import Script, output_of
from tests.kit.serving import serving
from tests.kit.waiting import until

pytestmark = pytest.mark.shares_gateway

PNG = bytes(range(256)) * 12_000  # 3 MB, so that it is streamed in several pieces


async def grants(script: Script, job_id: UUID, count: int = 1) -> list[OutputGrant]:
    asked = GrantOutputs(job_id=job_id, attempt=1, count=count)
    granted = await script.bus.request(GRANT_OUTPUTS, asked, tenant=str(script.alice), key="n1")
    return list(granted.grants)


def here(gateway: Gateway, grant: OutputGrant) -> str:
    """Return the granted URL with the actual origin: the port is not known when the origin is configured."""
    return gateway.origin + httpx.URL(grant.url).path


async def finished(gateway: Gateway, script: Script, *contents: bytes, **more: Any) -> tuple[UUID, list[Output]]:
    """Add a completed job of Alice with these outputs. Return its id and the outputs."""
    job = script.scheduler.add(script.alice, uuid4())
    outputs = []
    for grant, content in zip(await grants(script, job.job_id, len(contents)), contents, strict=True):
        headers = {"Content-Type": str(more.get("content_type", "image/png"))}
        stored = await gateway.http.put(here(gateway, grant), content=content, headers=headers)
        assert stored.status_code == 200, stored.text
        digest = hashlib.sha256(content).hexdigest()
        assert stored.json() == {"id": str(grant.id), "size_bytes": len(content), "sha256": digest}
        outputs.append(output_of(grant.id, content, sha256=digest, **more))
    script.scheduler.change(job.job_id, JobState.SUCCEEDED, outputs=tuple(outputs))
    return job.job_id, outputs


@pytest.mark.requirement("table gateway.artifacts")
async def test_output_bytes_are_returned_unchanged(gateway: Gateway, script: Script) -> None:
    job_id, (output,) = await finished(gateway, script, PNG)
    for path in ("result", "image", "result?index=0", "result?node=9"):
        answer = await gateway.http.get(f"/api/v1/jobs/{job_id}/{path}", headers=ALICE)
        assert answer.content == PNG
        assert answer.headers["content-type"] == "image/png"
        assert answer.headers["content-length"] == str(len(PNG))
        assert answer.headers["etag"] == f'"{output.sha256}"'
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["content-disposition"] == "inline; filename=\"a.png\"; filename*=UTF-8''a.png"
    head = await gateway.http.head(f"/api/v1/jobs/{job_id}/result", headers=ALICE)
    assert (head.status_code, head.content, head.headers["content-length"]) == (200, b"", str(len(PNG)))
    files = stored_files(gateway.folder)
    assert [path.relative_to(gateway.folder).as_posix() for path in files] == [f"{script.alice}/{job_id}/1/{output.id}"]
    listed = (await gateway.http.get(f"/api/v1/jobs/{job_id}/outputs", headers=ALICE)).json()["outputs"]
    assert listed == [
        {
            "id": str(output.id), "node_id": "9", "name": "a.png", "kind": "image", "content_type": "image/png",
            "size_bytes": len(PNG), "sha256": output.sha256,
            "temporary": False, "source": "file", "key": None, "position": 0, "value": None,
            "url": f"https://fleet.example/api/v1/jobs/{job_id}/result?index=0",
        }
    ]  # fmt: skip


@pytest.mark.requirement("B-70")
async def test_range_and_conditional_requests_work_for_outputs(gateway: Gateway, script: Script) -> None:
    job_id, (output,) = await finished(gateway, script, PNG)
    path, etag = f"/api/v1/jobs/{job_id}/result", f'"{output.sha256}"'
    for asked, first, end in [("0-0", 0, 1), ("10-19", 10, 20), (f"{len(PNG) - 3}-", -3, None), ("-5", -5, None)]:
        part = await gateway.http.get(path, headers=ALICE | {"Range": f"bytes={asked}"})
        assert (part.status_code, part.content) == (206, PNG[first:end])
        start = first if first >= 0 else len(PNG) + first
        assert part.headers["content-range"] == f"bytes {start}-{start + len(part.content) - 1}/{len(PNG)}"
    beyond = await gateway.http.get(path, headers=ALICE | {"Range": f"bytes={len(PNG)}-"})
    assert (beyond.status_code, beyond.headers["content-range"]) == (416, f"bytes */{len(PNG)}")
    assert beyond.json()["status"] == 416
    several = await gateway.http.get(path, headers=ALICE | {"Range": "bytes=0-1,5-6"})
    assert (several.status_code, several.content) == (200, PNG)
    known = await gateway.http.get(path, headers=ALICE | {"If-None-Match": f'"x", {etag}'})
    assert (known.status_code, known.content) == (304, b"")
    changed = await gateway.http.get(path, headers=ALICE | {"Range": "bytes=0-1", "If-Range": '"x"'})
    assert changed.status_code == 200


async def test_default_result_prefers_saved_outputs_over_previews(gateway: Gateway, script: Script) -> None:
    job_id, outputs = await finished(gateway, script, b"preview", b"saved")
    told = (outputs[0].model_copy(update={"temporary": True}), outputs[1])
    script.scheduler.jobs[job_id] = script.scheduler.jobs[job_id].model_copy(update={"outputs": told})
    for query, content in [("", b"saved"), ("?index=0", b"preview"), ("?index=1", b"saved")]:
        answer = await gateway.http.get(f"/api/v1/jobs/{job_id}/result{query}", headers=ALICE)
        assert answer.content == content
    for query in ("?index=2", "?node=8"):
        answer = await gateway.http.get(f"/api/v1/jobs/{job_id}/result{query}", headers=ALICE)
        assert (answer.status_code, answer.json()["code"]) == (404, "output.not_found")


async def test_previews_and_values_can_be_selected(gateway: Gateway, script: Script) -> None:
    job_id, (value, preview, saved) = await finished(gateway, script, b"a caption", b"preview", b"saved")
    told = (
        value.model_copy(update={"source": OutputSource.VALUE, "key": "text", "position": 1, "value": "a caption"}),
        preview.model_copy(update={"temporary": True}),
        saved,
    )
    job = script.scheduler.jobs[job_id]
    path = f"/api/v1/jobs/{job_id}"

    async def result(query: str) -> bytes:
        return (await gateway.http.get(f"{path}/result{query}", headers=ALICE)).content

    script.scheduler.jobs[job_id] = job.model_copy(update={"outputs": told})
    assert [await result(f"?temporary={temporary}") for temporary in ("true", "false")] == [b"preview", b"saved"]
    assert await result("?index=0") == b"a caption"
    listed = (await gateway.http.get(f"{path}/outputs", headers=ALICE)).json()["outputs"]
    assert [(one["temporary"], one["source"], one["key"], one["position"], one["value"]) for one in listed] == [
        (False, "value", "text", 1, "a caption"), (True, "file", None, 0, None), (False, "file", None, 0, None),
    ]  # fmt: skip
    previews = (await gateway.http.get(f"{path}/outputs?temporary=true", headers=ALICE)).json()["outputs"]
    assert previews == [listed[1]]
    contradiction = await gateway.http.get(f"{path}/result?index=2&temporary=true", headers=ALICE)
    assert contradiction.json()["code"] == "output.not_found"

    script.scheduler.jobs[job_id] = job.model_copy(update={"outputs": told[:2]})
    assert await result("") == b"preview"  # preferred to a text
    script.scheduler.jobs[job_id] = job.model_copy(update={"outputs": told[:1]})
    assert await result("") == b"a caption"


async def test_active_content_is_served_as_a_download_only(gateway: Gateway, script: Script) -> None:
    name = 'x"\r\n/../é.html'
    job_id, _ = await finished(gateway, script, b"<script>", name=name, content_type="text/html")
    answer = await gateway.http.get(f"/api/v1/jobs/{job_id}/result", headers=ALICE)
    assert answer.headers["content-disposition"] == "attachment; filename=\"_.html\"; filename*=UTF-8''%C3%A9.html"
    assert "sandbox" in answer.headers["content-security-policy"]


async def test_result_is_available_only_after_completion(gateway: Gateway, script: Script) -> None:
    job = script.scheduler.add(script.alice, uuid4())
    for state, why in [(None, "it is waiting"), (JobState.LEASED, "it is running"), (JobState.FAILED, "it failed")]:
        if state:
            script.scheduler.change(job.job_id, state)
        for path in ("result", "outputs"):
            answer = await gateway.http.get(f"/api/v1/jobs/{job.job_id}/{path}", headers=ALICE)
            assert (answer.status_code, answer.json()["code"]) == (409, "job.not_finished")
            assert why in answer.json()["detail"]


@pytest.mark.requirement("B-70")
async def test_output_of_another_tenant_is_not_found(gateway: Gateway, script: Script) -> None:
    _, (output,) = await finished(gateway, script, PNG)
    forged = script.scheduler.add(script.bob, uuid4())
    script.scheduler.change(forged.job_id, JobState.SUCCEEDED, outputs=(output,))
    answer = await gateway.http.get(f"/api/v1/jobs/{forged.job_id}/result", headers=BOB)
    assert (answer.status_code, answer.json()["code"]) == (404, "output.not_found")


async def test_last_complete_output_upload_is_kept(gateway: Gateway, script: Script) -> None:
    job = script.scheduler.add(script.alice, uuid4())
    (grant,) = await grants(script, job.job_id)
    for content in (b"first", b"second", b"second"):
        answer = await gateway.http.put(here(gateway, grant), content=content)
        assert answer.json()["id"] == str(grant.id)
    script.scheduler.change(job.job_id, JobState.SUCCEEDED, outputs=(output_of(grant.id, b"second"),))
    assert (await gateway.http.get(f"/api/v1/jobs/{job.job_id}/result", headers=ALICE)).content == b"second"


@pytest.mark.requirement("F-14")
@pytest.mark.parametrize("framing", ["Content-Length: 9000000", "Transfer-Encoding: chunked"])
async def test_interrupted_output_upload_leaves_nothing(
    gateway: Gateway, script: Script, database_url: str, framing: str
) -> None:
    job = script.scheduler.add(script.alice, uuid4())
    (grant,) = await grants(script, job.job_id)
    url = httpx.URL(here(gateway, grant))
    _, writer = await asyncio.open_connection(url.host, url.port)
    writer.write(f"PUT {url.path} HTTP/1.1\r\nHost: x\r\n{framing}\r\n\r\n".encode())
    content = b"x" * 8_500_000  # more than one part, so that some bytes are already written
    writer.write(b"%x\r\n%s\r\n" % (len(content), content) if "chunked" in framing else content)
    await writer.drain()
    writer.transport.abort()
    assert (await gateway.http.put(here(gateway, grant), content=b"whole")).status_code == 200
    (other,) = await grants(script, job.job_id)
    too_large = await gateway.http.put(here(gateway, other), content=b"x" * 20_000_001)
    assert too_large.status_code == 413

    database = database_with_long_timeout(database_url)
    async with database.connection() as connection:
        rows = await connection.fetch("SELECT id, size_bytes FROM artifacts WHERE job_id = $1", job.job_id)
    await database.close()
    assert [tuple(row) for row in rows] == [(grant.id, 5)]

    def nothing_else_is_left() -> bool:
        return [path.name for path in stored_files(gateway.folder)] == [str(grant.id)]

    await until(nothing_else_is_left)


@pytest.mark.requirement("F-31", "PUT /internal/outputs/{token}")
async def test_output_upload_requires_a_valid_unexpired_token(
    gateway: Gateway, script: Script, database_url: str
) -> None:
    (grant,) = await grants(script, uuid4())
    path = httpx.URL(grant.url).path
    for token in (path[:-1], path[:-2] + "AA", "/internal/outputs/x", "/internal/outputs/~"):
        answer = await gateway.http.put(token, content=b"x")
        assert (answer.status_code, answer.json()["code"]) == (403, "output.token_invalid")
    later = settings_for(gateway.nats_url, database_url, gateway.folder, secret_key="fedcba9876543210fedcba9876543210")
    async with serving(create_app_with_long_timeouts(later)) as at, http_client() as http:
        assert (await http.put(f"http://{at}{path}", content=b"x")).status_code == 403


async def test_migrations_match_the_tables(database_url: str) -> None:
    await asyncio.to_thread(migrate.check, "gateway", database_url)
