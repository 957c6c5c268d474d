"""Results in other formats, as thumbnails, and all in one file."""

import hashlib
import zipfile
from io import BytesIO

import httpx
from PIL import Image

from tests.kit.fleet import HELLO, Fleet


async def test_a_result_is_converted_and_all_come_in_one_file(fleet: Fleet, client: httpx.AsyncClient) -> None:
    job_id = (await fleet.submit(client, workflow=HELLO))["job_id"]
    assert (await fleet.ended(client, job_id))["status"] == "completed"
    for asked in ("png", "jpeg", "webp"):
        answer = await client.get(f"/jobs/{job_id}/result", params={"format": asked, "width": 16})
        assert answer.status_code == 200, answer.text
        assert (Image.open(BytesIO(answer.content)).format or "").lower() == asked
    small = await client.get(f"/jobs/{job_id}/thumbnail", params={"size": 32})
    assert max(Image.open(BytesIO(small.content)).size) <= 32
    outputs = (await client.get(f"/jobs/{job_id}/outputs")).json()["outputs"]
    with zipfile.ZipFile(BytesIO((await client.get(f"/jobs/{job_id}/outputs.zip")).content)) as archive:
        digests = [hashlib.sha256(archive.read(name)).hexdigest() for name in archive.namelist()]
    assert digests
    assert set(digests) <= {output["sha256"] for output in outputs}
