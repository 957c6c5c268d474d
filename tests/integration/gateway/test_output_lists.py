"""The list of all own outputs, signed links to them, archives of several jobs, and actions on many jobs."""

import zipfile
from io import BytesIO
from uuid import uuid4

import httpx
import pytest

from contracts.scheduler.jobs import JobState
from contracts.scheduler.outputs import OutputKind
from tests.integration.gateway.conftest import ALICE, BOB, Gateway
from tests.integration.gateway.test_conversions import png
from tests.integration.gateway.test_outputs import finished
from tests.kit.scripted import Script
from tests.kit.scripted_auth import UNLIMITED
from tests.kit.waiting import until

OUTPUTS = "/api/v1/outputs"
KINDS = ["image", "video", "audio", "text", "model", "file"]


def here(url: str) -> str:
    """Return the path and query of a link, because its origin is a setting."""
    return httpx.URL(url).raw_path.decode()


@pytest.mark.requirement("GET /api/v1/outputs")
async def test_outputs_of_all_jobs_are_listed_newest_first_in_pages(gateway: Gateway, script: Script) -> None:
    older, (first, second) = await finished(gateway, script, png(), b"film", kind=OutputKind.VIDEO)
    newer, (third,) = await finished(gateway, script, png(), kind=OutputKind.IMAGE)
    page = (await gateway.http.get(OUTPUTS, headers=ALICE, params={"limit": 2})).json()
    rest = (await gateway.http.get(OUTPUTS, headers=ALICE, params={"cursor": page["next_cursor"]})).json()
    listed = page["outputs"] + rest["outputs"]
    assert [one["id"] for one in listed] == [str(third.id), str(first.id), str(second.id)]
    assert [(one["job_id"], one["index"]) for one in listed] == [(str(newer), 0), (str(older), 0), (str(older), 1)]
    assert rest["next_cursor"] is None
    assert [one["thumbnail_url"] is None for one in listed] == [False, True, True]
    assert (await gateway.http.get(OUTPUTS, headers=BOB)).json() == {"outputs": [], "next_cursor": None}
    for changed in ({"kind": "image"}, {"label": "a:b"}):
        refused = await gateway.http.get(OUTPUTS, headers=ALICE, params={"cursor": page["next_cursor"], **changed})
        assert refused.json()["code"] == "cursor.invalid"
    filters = {"job_id": str(newer), "kind": "video,image", "temporary": "false", "workflow": "custom", "label": "a:b"}
    await gateway.http.get(OUTPUTS, headers=ALICE, params=filters)
    asked = script.scheduler.output_lists[-1]
    assert (asked.job_id, asked.kinds, asked.temporary) == (newer, (OutputKind.IMAGE, OutputKind.VIDEO), False)
    assert (asked.workflow, asked.label) == ("custom", ("a", "b"))
    unknown = (await gateway.http.get(OUTPUTS, headers=ALICE, params={"kind": "picture"})).json()
    assert (unknown["errors"][0]["pointer"], unknown["errors"][0]["allowed"]) == ("/kind", KINDS)
    malformed = (await gateway.http.get(OUTPUTS, headers=ALICE, params={"job_id": "1"})).json()
    assert malformed["errors"][0]["code"] == "job_id_malformed"


@pytest.mark.requirement(
    "S-9",
    "GET /api/v1/outputs/{output_id}/content",
    "HEAD /api/v1/outputs/{output_id}/content",
    "GET /api/v1/outputs/{output_id}/thumbnail",
)
async def test_signed_link_downloads_one_output_without_a_credential(gateway: Gateway, script: Script) -> None:
    _, (output, other) = await finished(gateway, script, png(), png((10, 10)), name="a.png")
    listed: list[dict[str, str]] = []

    async def has_the_same_links_again() -> bool:
        nonlocal listed
        before, listed = listed, (await gateway.http.get(OUTPUTS, headers=ALICE)).json()["outputs"]
        return [one["url"] for one in before] == [one["url"] for one in listed]

    await until(has_the_same_links_again)  # links change every 15 minutes
    url, thumbnail = here(listed[0]["url"]), here(listed[0]["thumbnail_url"])
    whole = await gateway.http.get(url)
    assert (whole.status_code, whole.content, whole.headers["etag"]) == (200, png(), f'"{output.sha256}"')
    assert whole.headers["content-disposition"].startswith('inline; filename="a.png"')
    private, max_age, immutable = whole.headers["cache-control"].split(", ")
    assert (private, immutable) == ("private", "immutable")
    assert 0 < int(max_age.removeprefix("max-age=")) <= 1800
    part = await gateway.http.get(url, headers={"Range": "bytes=0-3"})
    assert (part.status_code, part.content) == (206, png()[:4])
    assert (await gateway.http.head(url)).headers["content-length"] == str(len(png()))
    small = await gateway.http.get(thumbnail + "&size=64")
    assert (small.status_code, small.headers["content-type"]) == (200, "image/webp")
    assert small.headers["cache-control"].endswith(", immutable")

    token = url.split("token=")[1]
    invalid = [
        url.replace(str(output.id), str(other.id)),
        url.replace(str(output.id), "x"),
        url.replace(token, token.swapcase()),
        url.partition("?")[0],
        f"{OUTPUTS}/archive.zip?token={token}",
    ]
    for path in invalid:
        for credential in ({}, ALICE):
            refused = await gateway.http.get(path, headers=credential)
            assert (refused.status_code, refused.json()["code"]) == (403, "link.invalid"), path
    assert (await gateway.http.get(f"/api/v1/jobs?token={token}")).status_code == 401


@pytest.mark.requirement("S-9")
async def test_signed_links_do_not_count_against_the_owners_rate_limit(gateway: Gateway, script: Script) -> None:
    limits = UNLIMITED.model_copy(update={"requests_per_minute": 2})
    script.auth.change(script.alice, limits=limits, own_limits=True)
    await finished(gateway, script, *[b"film"] * 10)
    listed = (await gateway.http.get(OUTPUTS, headers=ALICE, params={"limit": 100})).json()["outputs"]
    answers = [await gateway.http.get(here(one["url"])) for one in listed]
    assert [one.status_code for one in answers] == [200] * 10
    assert {one.headers["ratelimit-policy"] for one in answers} == {'"links";q=6000;w=60'}
    assert (await gateway.http.get(OUTPUTS, headers=ALICE)).headers["x-ratelimit-remaining"] == "0"


@pytest.mark.requirement(
    "GET /api/v1/outputs.zip", "POST /api/v1/outputs.zip", "GET /api/v1/outputs/archive.zip", "S-9"
)
async def test_outputs_of_several_jobs_download_as_one_archive(gateway: Gateway, script: Script) -> None:
    one, _ = await finished(gateway, script, b"1", b"2", name="a.png")
    two, _ = await finished(gateway, script, b"3", name="a.png")
    running = script.scheduler.add(script.alice, uuid4()).job_id
    foreign = script.scheduler.add(script.bob, uuid4()).job_id
    chosen = [str(job_id) for job_id in (one, two, running, foreign, uuid4())]
    made = await gateway.http.post("/api/v1/outputs.zip", headers=ALICE, json={"job_ids": chosen})
    assert made.status_code == 200
    by_link = await gateway.http.get(here(made.json()["url"]))
    direct = await gateway.http.get("/api/v1/outputs.zip", headers=ALICE, params={"job_ids": ",".join(chosen)})
    for answer in (by_link, direct):
        assert answer.headers["content-disposition"] == 'attachment; filename="outputs.zip"'
        with zipfile.ZipFile(BytesIO(answer.content)) as archive:
            contents = {name: archive.read(name) for name in archive.namelist()}
        assert contents == {f"{one}/a.png": b"1", f"{one}/a-2.png": b"2", f"{two}/a.png": b"3"}
    not_bobs = await gateway.http.get("/api/v1/outputs.zip", headers=BOB, params={"job_ids": ",".join(chosen)})
    assert not_bobs.json()["code"] == "output.not_found"
    hundred = [str(uuid4()) for _ in range(100)]
    longest = (await gateway.http.post("/api/v1/outputs.zip", headers=ALICE, json={"job_ids": hundred})).json()["url"]
    assert (await gateway.http.get(here(longest))).json()["code"] == "output.not_found"
    many = await gateway.http.get("/api/v1/outputs.zip", headers=ALICE, params={"job_ids": ",".join(hundred)})
    assert many.json()["code"] == "output.not_found"
    too_many = await gateway.http.post("/api/v1/outputs.zip", headers=ALICE, json={"job_ids": [*hundred, str(one)]})
    assert too_many.status_code == 422


@pytest.mark.requirement("POST /api/v1/jobs/bulk")
async def test_many_jobs_are_cancelled_and_purged_with_an_outcome_for_each(gateway: Gateway, script: Script) -> None:
    queued = script.scheduler.add(script.alice, uuid4()).job_id
    done = script.scheduler.add(script.alice, uuid4()).job_id
    script.scheduler.change(done, JobState.SUCCEEDED)
    foreign = script.scheduler.add(script.bob, uuid4()).job_id
    chosen = [str(job_id) for job_id in (queued, done, foreign)]

    async def bulk(action: str) -> list[tuple[str, int, str | None]]:
        answer = await gateway.http.post(
            "/api/v1/jobs/bulk", headers=ALICE, json={"action": action, "job_ids": [*chosen, chosen[0]]}
        )
        assert answer.status_code == 200, answer.text
        return [(one["job_id"], one["status"], _state_or_code(one)) for one in answer.json()["jobs"]]

    a, b, c = chosen
    missing = "job.not_found"
    assert await bulk("purge") == [(a, 409, "job.not_ended"), (b, 204, None), (c, 404, missing)]
    assert await bulk("cancel") == [(a, 200, "cancelled"), (b, 404, missing), (c, 404, missing)]
    assert await bulk("cancel") == [(a, 200, "cancelled"), (b, 404, missing), (c, 404, missing)]
    assert await bulk("purge") == [(a, 204, None), (b, 404, missing), (c, 404, missing)]
    assert script.scheduler.jobs[foreign].state is JobState.QUEUED
    unknown = await gateway.http.post("/api/v1/jobs/bulk", headers=ALICE, json={"action": "pause", "job_ids": [a]})
    assert unknown.json()["errors"][0]["pointer"] == "/action"


def _state_or_code(item: dict[str, dict[str, str] | None]) -> str | None:
    job, problem = item["job"], item["problem"]
    if job:
        return job["status"]
    return problem["code"] if problem else None
