import json

import pytest

from tests.contract.simnode.driver import Driver, create_prompt_id, failing, picture, running_driver, saved, slept


async def test_unknown_paths_and_methods_are_refused_as_comfyui_does(driver: Driver) -> None:
    async with driver.http.get(f"{driver.node.url}/health") as answer:
        assert (answer.status, answer.content_type, await answer.read()) == (404, "application/octet-stream", b"")
    async with driver.http.delete(f"{driver.node.url}/prompt") as answer:
        assert answer.status == 405
        assert "POST" in answer.headers["Allow"]
    assert await driver.request("OPTIONS", "/prompt") == (200, b"")
    assert (await driver.request("GET", "/ws"))[0] == 400


async def test_other_origins_are_refused(driver: Driver, old: Driver) -> None:
    port = driver.node.port
    cases = [
        ({"Sec-Fetch-Site": "cross-site"}, 403),
        ({"Origin": "http://evil.example"}, 403),
        ({"Origin": f"http://127.0.0.1:{port + 1}"}, 403),
        ({"Origin": f"http://127.0.0.1:{port}"}, 200),
        ({"Host": "node.example", "Origin": "http://evil.example"}, 200),
    ]
    for headers, status in cases:
        assert (await driver.request("GET", "/prompt", headers=headers))[0] == status, headers
    assert (await old.request("GET", "/prompt", headers={"Sec-Fetch-Site": "cross-site"}))[0] == 200


async def test_object_info_has_the_shape_of_each_version(driver: Driver, old: Driver) -> None:
    everything = await driver.get("/object_info")
    sampler = everything["KSampler"]
    assert sampler["input"]["required"]["seed"][1]["max"] == 2**64 - 1
    assert sampler["input_order"]["required"][:3] == ["model", "seed", "steps"]
    assert "euler" in sampler["input"]["required"]["sampler_name"][0]
    assert (sampler["output"], sampler["output_node"], sampler["python_module"]) == (["LATENT"], False, "nodes")
    blend = everything["ImageBlend"]
    assert blend["input"]["required"]["blend_mode"][0] == "COMBO"
    assert blend["python_module"] == "comfy_extras.nodes_post_processing"
    assert everything["SaveImage"]["input"]["hidden"] == {"prompt": "PROMPT", "extra_pnginfo": "EXTRA_PNGINFO"}
    assert await driver.get("/api/object_info/Nope") == {}
    assert "search_aliases" in (await driver.get("/object_info/EmptyImage"))["EmptyImage"]
    assert "search_aliases" not in (await old.get("/object_info/EmptyImage"))["EmptyImage"]


async def test_system_statistics_differ_by_version(driver: Driver, old: Driver) -> None:
    assert (await driver.get("/system_stats"))["system"]["comfyui_version"] == "0.33.0"
    assert (await driver.get("/system_stats"))["system"]["os"] == "linux"
    assert (await old.get("/system_stats"))["system"]["os"] == "posix"
    assert await old.get("/features") == {"supports_preview_metadata": True, "max_upload_size": 104857600}
    assert (await driver.get("/features"))["assets"] is False
    assert await driver.get("/models/checkpoints") == ["sim_anime.safetensors", "sim_xl.safetensors"]
    assert "loras" in await driver.get("/models")
    assert (await driver.request("GET", "/models/clip"))[0] == 404


async def test_hidden_classes_are_unknown(tmp_path_factory: pytest.TempPathFactory) -> None:
    async with running_driver(tmp_path_factory.mktemp("hidden"), without=frozenset({"SaveImage"})) as driver:
        assert await driver.get("/object_info/SaveImage") == {}
        assert (await driver.post(saved()))[1]["error"]["type"] == "missing_node_type"


async def test_jobs_list_can_be_filtered_and_shows_details(driver: Driver) -> None:
    extra = {"extra_pnginfo": {"workflow": {"id": "wf-1"}}}
    done = await driver.submit(saved(), extra_data=extra)
    await driver.wait_for_history_entry(done)
    failed = await driver.submit(failing())
    await driver.wait_for_history_entry(failed)
    running = await driver.submit(slept(60))
    await driver.wait_until_running(running)
    waiting = await driver.submit(saved(2))
    jobs = (await driver.get("/api/jobs?sort_order=asc"))["jobs"]
    assert {job["id"]: job["status"] for job in jobs} == {
        done: "completed",
        failed: "failed",
        running: "in_progress",
        waiting: "pending",
    }
    listed = next(job for job in jobs if job["id"] == done)
    assert listed["preview_output"]["mediaType"] == "images"
    assert (listed["outputs_count"], listed["previewable_outputs_count"], listed["workflow_id"]) == (1, 1, "wf-1")
    page = await driver.get("/api/api/jobs?status=completed,failed&limit=1&offset=1")
    assert page["pagination"] == {"offset": 1, "limit": 1, "total": 2, "has_more": False}
    assert [job["id"] for job in (await driver.get("/api/jobs?workflow_id=wf-1"))["jobs"]] == [done]
    one = await driver.get(f"/api/jobs/{failed}")
    assert one["execution_error"]["exception_type"] == "RuntimeError"
    assert one["workflow"]["prompt"]["2"]["class_type"] == "SimFail"
    assert await driver.request("GET", f"/api/jobs/{create_prompt_id()}") == (404, {"error": "Job not found"})
    assert (await driver.request("GET", "/jobs"))[0] == 404


@pytest.mark.parametrize(
    ("query", "text"),
    [
        (
            "status=bogus",
            "Invalid status value(s): bogus. Valid values: pending, in_progress, completed, failed, cancelled",
        ),
        ("sort_by=x", "sort_by must be 'created_at' or 'execution_duration'"),
        ("sort_order=x", "sort_order must be 'asc' or 'desc'"),
        ("limit=0", "limit must be a positive integer"),
        ("limit=x", "limit must be an integer"),
        ("offset=x", "offset must be an integer"),
    ],
)
async def test_jobs_queries_are_refused_with_exact_texts(driver: Driver, query: str, text: str) -> None:
    assert await driver.request("GET", f"/api/jobs?{query}") == (400, {"error": text})


async def test_running_and_pending_jobs_can_be_cancelled(driver: Driver) -> None:
    running = await driver.submit(slept(60))
    await driver.wait_until_running(running)
    waiting = await driver.submit(saved())
    assert (await driver.request("POST", f"/api/jobs/{waiting}/cancel"))[1] == {"cancelled": True}
    assert (await driver.request("POST", f"/api/jobs/{waiting}/cancel"))[1] == {"cancelled": False}
    many = {"job_ids": [create_prompt_id(), running]}
    assert (await driver.request("POST", "/api/jobs/cancel", json=many))[1] == {"cancelled": True}
    await driver.wait_for_history_entry(running)
    assert (await driver.get(f"/api/jobs/{running}"))["status"] == "cancelled"
    assert await driver.request("POST", "/api/jobs/cancel", data="{") == (
        400,
        {"error": "Request body must be valid JSON"},
    )
    assert await driver.request("POST", "/api/jobs/cancel", json={}) == (400, {"error": "job_ids must be a list"})
    assert await driver.request("POST", "/api/jobs/cancel", json={"job_ids": ["x"]}) == (
        400,
        {"error": "job_ids contains invalid id(s)", "invalid_ids": ["x"]},
    )


async def test_old_version_has_no_jobs_route(old: Driver) -> None:
    assert (await old.request("GET", "/api/jobs"))[0] == 404
    assert (await old.post(saved(), prompt_id=5))[1]["prompt_id"] == "5"
    assert (await old.run(saved()))["prompt"][3] == {}


async def test_interrupt_route_accepts_any_body_except_a_list(driver: Driver) -> None:
    for body in ("", "{", json.dumps({"prompt_id": create_prompt_id()})):
        assert await driver.request("POST", "/interrupt", data=body) == (200, b"")
    assert (await driver.request("POST", "/interrupt", data="[]"))[0] == 500
    assert (await driver.run({"1": picture(), **saved()}))["status"]["status_str"] == "success"
