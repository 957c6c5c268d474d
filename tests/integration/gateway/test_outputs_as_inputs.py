"""``output:<id>``: an output of an earlier job is an input of the next one."""

from typing import Any
from uuid import UUID, uuid4

import httpx
import pytest
from PIL import Image

from contracts.scheduler.jobs import JobState
from contracts.scheduler.submissions import SubmitJob
from tests.integration.gateway.conftest import ALICE, BOB, Gateway, settings_for, stored_files
from tests.integration.gateway.long_timeouts import create_app_with_long_timeouts
from tests.integration.gateway.test_inputs import granted, submit
from tests.integration.gateway.test_outputs import finished
from tests.integration.gateway.test_purges import say_purged
from tests.kit.images import encode_image
from tests.kit.media import safetensors, wav
from tests.kit.nats import NatsServer
from tests.kit.scripted import Script
from tests.kit.serving import serving
from tests.kit.waiting import until

PNG = encode_image(Image.new("RGB", (24, 16), "navy"))


def loading(*values: Any) -> dict[str, Any]:
    return {str(number): {"class_type": "Load", "inputs": {"file": value}} for number, value in enumerate(values)}


async def run(gateway: Gateway, script: Script, graph: dict[str, Any]) -> SubmitJob:
    answer = await submit(gateway, {"workflow": graph})
    assert answer.status_code == 201, answer.text
    return script.scheduler.submits[-1]


async def fetched(gateway: Gateway, script: Script, job_id: UUID) -> dict[UUID, tuple[str, bytes]]:
    """Return what an executor downloads: extension and bytes by upload id."""
    grants = (await granted(script, job_id, script.alice)).grants
    answers = {one: await gateway.http.get(f"{gateway.origin}{httpx.URL(one.url).path}") for one in grants}
    return {one.id: (one.name.partition(".")[2], answer.content) for one, answer in answers.items()}


async def test_output_becomes_an_unchanged_input_of_the_next_job(gateway: Gateway, script: Script) -> None:
    contents = (PNG, wav(), safetensors(), b"a text")
    _, outputs = await finished(gateway, script, *contents)
    references = [f"output:{one.id}" for one in outputs]
    parts = {"image": references[0], "mask": ""}
    command = await run(gateway, script, loading(*references, parts))
    ids = [command.graph[str(number)]["inputs"]["file"] for number in range(4)]
    assert command.graph["4"]["inputs"]["file"] == {"image": ids[0], "mask": ""}
    assert set(map(str, command.inputs)) == set(ids)
    told = dict(zip(map(str, command.inputs), zip(command.input_types, command.input_sizes, strict=True), strict=True))
    assert told[ids[0]] == ("image/png", (24, 16))
    assert told[ids[1]] == ("audio/wav", (0, 0))
    files = await fetched(gateway, script, command.job_id)
    assert [files[UUID(one)][1] for one in ids] == list(contents)
    assert [files[UUID(one)][0] for one in ids[:3]] == ["png", "wav", "latent"]
    again = await run(gateway, script, loading(references[0]))
    assert [str(one) for one in again.inputs] == ids[:1], "an output is copied only once"
    listed = (await gateway.http.get("/api/v1/uploads", headers=ALICE)).json()["uploads"]
    assert not listed, "copies of outputs are not listed as uploads"


async def test_output_can_be_the_image_of_image_to_image(gateway: Gateway, script: Script) -> None:
    _, (output,) = await finished(gateway, script, PNG)
    answer = await submit(gateway, {"prompt": "a", "image": f"output:{output.id}", "width": 64})
    assert answer.status_code == 201, answer.text
    command = script.scheduler.submits[-1]
    (upload,) = command.inputs
    assert command.graph["image"]["inputs"]["image"] == str(upload)
    assert command.input_sizes == ((24, 16),)


async def test_output_of_another_tenant_cannot_be_an_input(gateway: Gateway, script: Script) -> None:
    _, (output,) = await finished(gateway, script, PNG)
    for reference in (f"output:{output.id}", f"output:{uuid4()}", f"output:{str(output.id).upper()}", "output:1"):
        graph = loading(reference)
        answer = await gateway.http.post("/api/v1/jobs", headers=BOB, json={"workflow": graph})
        assert answer.status_code == 201, answer.text
        assert (script.scheduler.submits[-1].graph, script.scheduler.submits[-1].inputs) == (graph, ())


@pytest.mark.usefixtures("gateway")
async def test_input_survives_the_purge_of_the_job_that_produced_it(
    gateway: Gateway, script: Script, nats_server: NatsServer, database_url: str
) -> None:
    made, (output,) = await finished(gateway, script, PNG)
    command = await run(gateway, script, loading(f"output:{output.id}"))
    (copy,) = command.inputs
    del script.scheduler.jobs[made]
    await say_purged(script, made)
    path = gateway.folder / str(script.alice) / str(made)
    await until(lambda: not path.exists())
    settings = settings_for(nats_server.url, database_url, gateway.folder, uploads_sweep_s=0.05)
    async with serving(create_app_with_long_timeouts(settings)):  # its sweep keeps uploads that a job uses
        assert (await fetched(gateway, script, command.job_id))[copy][1] == PNG
        late = await submit(gateway, {"workflow": loading(f"output:{output.id}")})
        assert late.status_code == 201
        assert script.scheduler.submits[-1].inputs == (), "a purged output cannot be an input"
        script.scheduler.change(command.job_id, JobState.SUCCEEDED)

        async def is_gone() -> bool:
            return not await fetched(gateway, script, command.job_id)

        await until(is_gone)
        await until(lambda: not stored_files(gateway.folder))  # the row is deleted before the file
