import io
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from PIL import Image

from tests.contract.simnode.driver import Driver, node, saved


def form(content: bytes, name: str = "a.png", **fields: str) -> aiohttp.FormData:
    data = aiohttp.FormData(quote_fields=False)
    data.add_field("image", content, filename=name)
    for key, value in fields.items():
        data.add_field(key, value)
    return data


def png(color: Any = (10, 20, 30, 40)) -> bytes:
    buffer = io.BytesIO()
    Image.new("RGBA", (8, 6), color).save(buffer, "PNG")
    return buffer.getvalue()


async def upload(driver: Driver, data: aiohttp.FormData, path: str = "/upload/image") -> tuple[int, Any]:
    return await driver.request("POST", path, data=data)


async def test_uploads_are_deduplicated_by_content(driver: Driver) -> None:
    first = {"name": "a.png", "subfolder": "job", "type": "input"}
    assert await upload(driver, form(b"one", subfolder="job")) == (200, first)
    assert await upload(driver, form(b"one", subfolder="job")) == (200, first)
    assert (await upload(driver, form(b"two", subfolder="job")))[1]["name"] == "a (1).png"
    assert (await upload(driver, form(b"two", subfolder="job")))[1]["name"] == "a (1).png"
    assert (await upload(driver, form(b"three", subfolder="job"), "/api/upload/image"))[1]["name"] == "a (2).png"
    assert (await upload(driver, form(b"four", subfolder="job", overwrite="true")))[1]["name"] == "a.png"
    folder = driver.node.components.folders.root / "input" / "job"
    assert sorted(path.read_bytes() for path in folder.iterdir()) == [b"four", b"three", b"two"]


async def test_uploads_refuse_paths_outside_the_folder(driver: Driver) -> None:
    assert (await upload(driver, form(b"x", subfolder="../..")))[0] == 400
    assert (await upload(driver, form(b"x", subfolder="/etc")))[0] == 400
    assert (await upload(driver, form(b"x", name="../x")))[0] == 400
    assert (await upload(driver, form(b"x", type="models")))[0] == 500
    empty = aiohttp.FormData()
    empty.add_field("type", "input")
    assert await upload(driver, empty) == (400, b"")


async def test_mask_upload_becomes_the_alpha_channel_of_an_earlier_image(driver: Driver) -> None:
    await upload(driver, form(png((1, 2, 3, 255))))
    reference = '{"filename": "a.png", "type": "input"}'
    answer = await upload(driver, form(png((9, 9, 9, 7)), name="m.png", original_ref=reference), "/upload/mask")
    assert answer == (200, {"name": "m.png", "subfolder": "", "type": "input"})
    masked = Image.open(driver.node.components.folders.root / "input" / "m.png")
    assert masked.getpixel((0, 0)) == (1, 2, 3, 7)
    missing = '{"filename": "none.png", "type": "input"}'
    assert (await upload(driver, form(png(), name="n.png", original_ref=missing), "/upload/mask"))[0] == 200
    assert not (driver.node.components.folders.root / "input" / "n.png").exists()


async def test_uploads_and_results_can_be_loaded(driver: Driver) -> None:
    await upload(driver, form(png(), subfolder="job1"))
    graph = {
        "1": node("LoadImage", image="job1/a.png"),
        "2": node("ImageInvert", image=["1", 0]),
        "3": node("SaveImage", images=["2", 0], filename_prefix="px"),
    }
    await driver.run(graph)
    second = {
        "1": node("LoadImage", image="px_00001_.png [output]"),
        "2": node("PreviewImage", images=["1", 0]),
    }
    assert (await driver.run(second))["status"]["completed"] is True


@pytest.mark.parametrize(
    ("query", "status"),
    [
        ("", 404),
        ("filename=/etc/passwd", 400),
        ("filename=../x.png", 400),
        ("filename=x.png&type=models", 400),
        ("filename=x_00001_.png&subfolder=../..", 403),
        ("filename=x_00001_.png", 404),
        ("filename=t/x_00001_.png", 404),
        ("filename=x_00001_.png&subfolder=t", 200),
        ("filename=x_00001_.png [output]&subfolder=t&type=input", 200),
    ],
)
async def test_view_route_returns_existing_files_and_refuses_other_paths(
    driver: Driver, query: str, status: int
) -> None:
    await driver.run(saved())
    answer, body = await driver.request("GET", f"/view?{query}")
    assert answer == status
    assert body == b"" or status == 200


async def test_view_route_supports_ranges_etags_and_file_names(driver: Driver) -> None:
    await driver.run(saved())
    url = f"{driver.node.url}/api/view?filename=x_00001_.png&subfolder=t&type=output"
    async with driver.http.get(url) as whole:
        content = await whole.read()
        assert whole.headers["Content-Disposition"] == 'filename="x_00001_.png"'
        assert whole.headers["X-Content-Type-Options"] == "nosniff"
        assert whole.headers["Content-Type"] == "image/png"
        assert "Last-Modified" in whole.headers
        etag = whole.headers["ETag"]
    async with driver.http.get(url, headers={"Range": "bytes=4-9"}) as part:
        assert (part.status, await part.read()) == (206, content[4:10])
    async with driver.http.get(url, headers={"If-None-Match": etag}) as unchanged:
        assert unchanged.status == 304


async def test_view_route_re_encodes_images_and_returns_single_channels(driver: Driver) -> None:
    await upload(driver, form(png()))

    async def picture(**query: str) -> tuple[str, Image.Image]:
        params = {"filename": "a.png", "type": "input", **query}
        async with driver.http.get(f"{driver.node.url}/view", params=params) as answer:
            return answer.content_type, Image.open(io.BytesIO(await answer.read()))

    kind, image = await picture(preview="jpeg;80", channel="rgb")
    assert (kind, image.format, image.size) == ("image/jpeg", "JPEG", (8, 6))
    assert (await picture(preview="jpeg"))[0] == "image/webp"
    assert (await picture(preview="bmp", channel="rgb"))[0] == "image/webp"
    assert (await picture(channel="rgb"))[1].getpixel((0, 0)) == (10, 20, 30)
    assert (await picture(channel="a"))[1].getpixel((0, 0)) == (0, 0, 0, 40)
    await upload(driver, form(b"text", name="a.txt"))
    assert (await driver.request("GET", "/view?filename=a.txt&type=input&preview=webp"))[0] == 500


async def test_active_content_is_served_as_a_download(driver: Driver) -> None:
    await upload(driver, form(b"<script>", name="a.html"))
    async with driver.http.get(f"{driver.node.url}/view?filename=a.html&type=input") as answer:
        assert answer.headers["Content-Type"] == "application/octet-stream"
        assert answer.headers["Content-Disposition"].startswith("attachment")


async def test_output_folder_is_the_configured_one(driver: Driver, tmp_path: Path) -> None:
    await driver.run(saved())
    assert (tmp_path / "new" / "output" / "t" / "x_00001_.png").is_file()
