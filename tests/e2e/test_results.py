"""Results unchanged, by range, converted, as thumbnails, and in one archive."""

import hashlib
import zipfile
from io import BytesIO
from typing import Any
from urllib.parse import quote

import httpx
import pytest
from PIL import Image
from PIL.JpegImagePlugin import JpegImageFile

from tests.kit.fleet import Fleet

DARK, BRIGHT = (16, 32, 96), (239, 223, 159)
SIZE = (64, 48)
TWO_AND_A_PREVIEW = {
    "1": {"class_type": "EmptyImage", "inputs": {"width": 64, "height": 48, "batch_size": 1, "color": 0x102060}},
    "2": {"class_type": "ImageInvert", "inputs": {"image": ["1", 0]}},
    "3": {"class_type": "SaveImage", "inputs": {"images": ["1", 0], "filename_prefix": "dark"}},
    "4": {"class_type": "SaveImage", "inputs": {"images": ["2", 0], "filename_prefix": "bright"}},
    "5": {"class_type": "PreviewImage", "inputs": {"images": ["2", 0]}},
}


@pytest.fixture(scope="module")
async def job_id(fleet: Fleet) -> str:
    """A job with two images and a preview."""
    async with fleet.client() as client:
        job = await fleet.submit(client, workflow=TWO_AND_A_PREVIEW)
        assert (await fleet.wait_until_ended(client, job["job_id"]))["status"] == "completed"
        return str(job["job_id"])


async def outputs_of(client: httpx.AsyncClient, job_id: str) -> list[dict[str, Any]]:
    outputs: list[dict[str, Any]] = (await client.get(f"/jobs/{job_id}/outputs")).json()["outputs"]
    assert {output["node_id"] for output in outputs} == {"3", "4", "5"}
    return outputs


def picture(content: bytes) -> Image.Image:
    return Image.open(BytesIO(content))


def shows(content: bytes, color: tuple[int, ...], off: int = 0) -> bool:
    """Return whether the whole image has this colour; ``off`` is the tolerance per channel for lossy formats."""
    channels = picture(content).convert("RGB").tobytes()
    return all(abs(value - color[at % 3]) <= off for at, value in enumerate(channels))


def coarseness(content: bytes) -> int:
    """Return the tolerance for a JPEG of this quality."""
    jpeg = picture(content)
    assert isinstance(jpeg, JpegImageFile)
    return sum(jpeg.quantization[0])


@pytest.mark.requirement("GET /api/v1/jobs/{job_id}/result")
async def test_result_is_selected_by_index_or_node_with_its_digest_as_etag(
    client: httpx.AsyncClient, job_id: str
) -> None:
    outputs = await outputs_of(client, job_id)
    colors = {"3": DARK, "4": BRIGHT, "5": BRIGHT}
    for index, output in enumerate(outputs):
        for query in ({"index": index}, {"node": output["node_id"]}):
            answer = await client.get(f"/jobs/{job_id}/result", params=query)
            assert hashlib.sha256(answer.content).hexdigest() == output["sha256"]
            assert answer.headers["etag"] == f'"{output["sha256"]}"'
            assert shows(answer.content, colors[output["node_id"]])
        assert (await client.get(output["url"])).content == answer.content
    saved = [output for output in outputs if output["node_id"] != "5"]
    for path in ("result", "image"):
        first = await client.get(f"/jobs/{job_id}/{path}")
        assert hashlib.sha256(first.content).hexdigest() == saved[0]["sha256"], "the first output is never a preview"
    beyond = await client.get(f"/jobs/{job_id}/result", params={"index": len(outputs)})
    assert (beyond.status_code, beyond.json()["code"]) == (404, "output.not_found")


@pytest.mark.requirement(
    "HEAD /api/v1/jobs/{job_id}/result", "GET /api/v1/jobs/{job_id}/image", "HEAD /api/v1/jobs/{job_id}/image"
)
@pytest.mark.parametrize("path", ["result", "image"])
async def test_result_supports_range_and_head_requests(client: httpx.AsyncClient, job_id: str, path: str) -> None:
    url = f"/jobs/{job_id}/{path}"
    whole = await client.get(url)
    size, etag = len(whole.content), whole.headers["etag"]
    head = await client.head(url)
    assert (head.status_code, head.content) == (200, b"")
    for name in ("content-length", "content-type", "etag", "content-disposition", "accept-ranges"):
        assert head.headers[name] == whole.headers[name]
    part = await client.get(url, headers={"Range": "bytes=8-15"})
    assert (part.status_code, part.content) == (206, whole.content[8:16])
    assert part.headers["content-range"] == f"bytes 8-15/{size}"
    rest = await client.get(url, headers={"Range": "bytes=16-", "If-Range": etag})
    assert whole.content[:8] + part.content + rest.content == whole.content
    partial = await client.head(url, headers={"Range": "bytes=8-15"})
    assert (partial.status_code, partial.headers["content-length"], partial.content) == (206, "8", b"")
    for ask in (client.get, client.head):
        known = await ask(url, headers={"If-None-Match": etag})
        assert (known.status_code, known.content, known.headers["etag"]) == (304, b"", etag)
        late = await ask(url, headers={"Range": f"bytes={size}-"})
        assert (late.status_code, late.headers["content-range"]) == (416, f"bytes */{size}")


@pytest.mark.requirement("result.convert")
async def test_result_is_converted_to_another_format(client: httpx.AsyncClient, job_id: str) -> None:
    url = f"/jobs/{job_id}/result"
    etags = {(await client.get(url)).headers["etag"]}
    for asked in ("png", "jpeg", "webp"):
        query = {"format": asked, "width": 16}
        answer = await client.get(url, params=query)
        assert answer.status_code == 200, answer.text
        assert answer.headers["content-type"] == f"image/{asked}"
        assert (picture(answer.content).format or "").lower() == asked
        assert picture(answer.content).size == (16, 12), "the aspect ratio is kept"
        assert shows(answer.content, DARK, off=6)
        head = await client.head(url, params=query)
        assert (head.status_code, head.content) == (200, b"")
        assert head.headers["content-length"] == str(len(answer.content))
        known = await client.get(url, params=query, headers={"If-None-Match": answer.headers["etag"]})
        assert (known.status_code, known.content) == (304, b"")
        etags.add(answer.headers["etag"])
    assert len(etags) == 4, "each format has its own ETag"
    whole = await client.get(url, params={"format": "jpeg", "width": 4000})
    assert picture(whole.content).size == SIZE, "images are never enlarged"
    rough, fine = [await client.get(url, params={"format": "jpeg", "quality": quality}) for quality in (10, 95)]
    assert coarseness(rough.content) > coarseness(fine.content)


@pytest.mark.requirement("GET /api/v1/jobs/{job_id}/thumbnail")
async def test_thumbnail_of_any_output_is_a_small_webp(client: httpx.AsyncClient, job_id: str) -> None:
    for index, output in enumerate(await outputs_of(client, job_id)):
        small = await client.get(f"/jobs/{job_id}/thumbnail", params={"size": 32, "index": index})
        assert (small.status_code, small.headers["content-type"]) == (200, "image/webp")
        assert (picture(small.content).format, picture(small.content).size) == ("WEBP", (32, 24))
        assert shows(small.content, DARK if output["node_id"] == "3" else BRIGHT, off=6)
    assert picture((await client.get(f"/jobs/{job_id}/thumbnail")).content).size == SIZE, "not enlarged to 256"


@pytest.mark.requirement("GET /api/v1/jobs/{job_id}/outputs.zip")
async def test_all_saved_outputs_download_as_one_archive(client: httpx.AsyncClient, job_id: str) -> None:
    saved = [output for output in await outputs_of(client, job_id) if output["node_id"] != "5"]
    answer = await client.get(f"/jobs/{job_id}/outputs.zip")
    assert (answer.status_code, answer.headers["content-type"]) == (200, "application/zip")
    with zipfile.ZipFile(BytesIO(answer.content)) as archive:
        assert archive.testzip() is None
        inside = {name: hashlib.sha256(archive.read(name)).hexdigest() for name in archive.namelist()}
    assert inside == {output["name"]: output["sha256"] for output in saved}


async def test_downloaded_files_keep_the_requested_names(fleet: Fleet, client: httpx.AsyncClient) -> None:
    graph = {
        "1": TWO_AND_A_PREVIEW["1"],
        "2": {"class_type": "SaveImage", "inputs": {"images": ["1", 0], "filename_prefix": "a cat... at night"}},
        "3": {"class_type": "SaveImage", "inputs": {"images": ["1", 0], "filename_prefix": "sub/日本語_Файл"}},
        "4": {"class_type": "SaveImage", "inputs": {"images": ["1", 0], "filename_prefix": "sub/日本語_Файл"}},
        "5": {"class_type": "SaveImage", "inputs": {"images": ["1", 0], "filename_prefix": 2026}},
        "6": {"class_type": "SaveImageWebsocket", "inputs": {"images": ["1", 0]}},
    }
    job = await fleet.submit(client, workflow=graph)
    ended = await fleet.wait_until_ended(client, job["job_id"])
    assert (ended["status"], ended["attempt"], ended["warnings"]) == ("completed", 1, [])
    assert [(output["node_id"], output["name"]) for output in ended["outputs"]] == [
        ("2", "a cat... at night_00001_.png"),
        ("3", "日本語_Файл_00001_.png"),
        ("4", "日本語_Файл_00001_.png"),
        ("5", "2026_00001_.png"),
        ("6", "ComfyUI_00001_.png"),
    ]
    for output in ended["outputs"]:
        answer = await client.get(f"/jobs/{job['job_id']}/result", params={"node": output["node_id"]})
        assert shows(answer.content, DARK)
        assert answer.headers["content-disposition"].endswith(f"filename*=UTF-8''{quote(output['name'], safe='')}")
    packed = await client.get(f"/jobs/{job['job_id']}/outputs.zip")
    assert zipfile.ZipFile(BytesIO(packed.content)).namelist() == [
        "a cat... at night_00001_.png",
        "日本語_Файл_00001_.png",
        "日本語_Файл_00001_-2.png",
        "2026_00001_.png",
        "ComfyUI_00001_.png",
    ]


@pytest.mark.requirement("GET /api/v1/outputs", "S-9")
async def test_page_downloads_outputs_through_signed_links_without_a_credential(
    fleet: Fleet, client: httpx.AsyncClient, job_id: str
) -> None:
    listed = (await client.get("/outputs", params={"job_id": job_id, "kind": "image"})).json()["outputs"]
    assert [one["node_id"] for one in listed] == ["3", "4", "5"]
    assert (await client.get("/outputs", params={"job_id": job_id, "temporary": "false"})).json()["outputs"] == listed[
        :2
    ]
    first, *_ = (await client.get("/outputs", params={"limit": 1})).json()["outputs"]
    assert first["workflow"] == "custom"
    async with fleet.client("") as nobody:
        bytes_ = await nobody.get(listed[0]["url"])
        assert bytes_.status_code == 200, bytes_.text
        assert (hashlib.sha256(bytes_.content).hexdigest(), picture(bytes_.content).size) == (listed[0]["sha256"], SIZE)
        small = await nobody.get(listed[0]["thumbnail_url"])
        assert (picture(small.content).format, picture(small.content).size) == ("WEBP", SIZE)
        archive = (await client.post("/outputs.zip", json={"job_ids": [job_id]})).json()["url"]
        with zipfile.ZipFile(BytesIO((await nobody.get(archive)).content)) as opened:
            assert len(opened.namelist()) == 2
    timeline = (await client.get(f"/jobs/{job_id}/timeline")).json()
    assert [one["cause"] for one in timeline["events"]] == ["submitted", "claimed", "started", "succeeded"]
    assert [one["outcome"] for one in timeline["attempts"]] == ["succeeded"]
    again = (await client.get(f"/jobs/{job_id}/submission")).json()["submission"]
    assert (await client.post("/workflows/validate", json=again)).json()["valid"]

    shared = (await client.post(f"/jobs/{job_id}/share", json={})).json()
    async with fleet.client(fleet.create_user("colleague", "free")) as colleague:
        assert (await colleague.get("/outputs", params={"job_id": job_id})).json()["outputs"] == []
        seen = (await colleague.get(f"/shared/{shared['token']}")).json()
        assert ([one["id"] for one in seen["outputs"]], seen["submission"]) == ([one["id"] for one in listed], again)
        stopped = await colleague.post("/jobs/bulk", json={"action": "purge", "job_ids": [job_id]})
        assert stopped.json()["jobs"][0]["problem"]["code"] == "job.not_found"
        assert (await client.delete(f"/jobs/{job_id}/share")).status_code == 204
        assert (await colleague.get(f"/shared/{shared['token']}")).json()["code"] == "share.not_found"
