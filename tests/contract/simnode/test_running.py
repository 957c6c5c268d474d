import io
import json
import struct
from pathlib import Path
from typing import Any

from PIL import Image

from tests.contract.simnode.driver import (
    Driver,
    create_prompt_id,
    node,
    picture,
    running_driver,
    sampled,
    saved,
    slept,
    workflow,
)


async def fetch(driver: Driver, entry: Any, node_id: str, key: str = "images", index: int = 0) -> bytes:
    body = await driver.get("/view", params=entry["outputs"][node_id][key][index])
    assert isinstance(body, bytes)
    return body


async def test_the_three_shared_workflows_run(tmp_path: Path) -> None:
    async with running_driver(tmp_path, checkpoints=("tiny_sd2.safetensors",)) as driver:
        hello = await driver.run(workflow("hello"))
        tiled = await driver.run(workflow("tiled-vae-progress"))
        tiny = await driver.run(workflow("tiny-txt2img"))
        names = [file["filename"] for file in hello["outputs"]["3"]["images"]]
        assert names == ["img_00001_.png", "img_00002_.png"]
        assert hello["outputs"]["3"]["images"][0]["subfolder"] == "hello"
        assert hello["outputs"]["4"]["images"][0]["type"] == "temp"
        inverted = Image.open(io.BytesIO(await fetch(driver, hello, "3")))
        assert (inverted.size, inverted.getpixel((0, 0))) == ((64, 48), (0, 119, 255))
        plain = Image.open(io.BytesIO(await fetch(driver, tiled, "5")))
        assert (plain.size, plain.getpixel((9, 9))) == ((1024, 1024), (0x33, 0x33, 0xFF))
        drawn = Image.open(io.BytesIO(await fetch(driver, tiny, "6")))
        assert drawn.size == (64, 64)
        assert json.loads(str(drawn.info["prompt"]))["4"]["class_type"] == "KSampler"


async def test_sampled_image_depends_only_on_the_seed(driver: Driver) -> None:
    runs = [await driver.run(sampled(seed=seed, size=256)) for seed in (1, 2)]
    one, two = [Image.open(io.BytesIO(await fetch(driver, run, "6"))).tobytes() for run in runs]
    assert one != two
    await driver.request("POST", "/free", json={"unload_models": True, "free_memory": True})
    again = await driver.run(sampled(seed=1, size=256))
    assert again["outputs"]["6"]["images"][0]["filename"] == "sampled_00003_.png"
    assert Image.open(io.BytesIO(await fetch(driver, again, "6"))).tobytes() == one


async def test_history_entries_have_the_exact_comfyui_shape(driver: Driver) -> None:
    prompt_id = await driver.submit(saved(), client_id="client-A")
    entry = await driver.wait_for_history_entry(prompt_id)
    number, stored_id, prompt, extra, targets = entry["prompt"]
    assert (number, stored_id, prompt, targets) == (0, prompt_id, saved(), ["2"])
    assert sorted(extra) == ["client_id", "create_time"]
    assert entry["outputs"] == {"2": {"images": [{"filename": "x_00001_.png", "subfolder": "t", "type": "output"}]}}
    assert entry["meta"] == {"2": {"node_id": "2", "display_node": "2", "parent_node": None, "real_node_id": "2"}}
    assert entry["status"]["status_str"] == "success"
    assert [name for name, _ in entry["status"]["messages"]] == [
        "execution_start",
        "execution_cached",
        "execution_success",
    ]


async def test_history_can_be_paged_and_deleted(driver: Driver) -> None:
    ids = [create_prompt_id() for _ in range(3)]
    for color, prompt_id in enumerate(ids):
        await driver.run(saved(color), prompt_id=prompt_id)
    assert list(await driver.get("/history")) == ids
    assert list(await driver.get("/history?max_items=2")) == ids[1:]
    assert list(await driver.get("/history?max_items=1&offset=0")) == ids[:1]
    assert (await driver.request("GET", "/history?max_items=x"))[0] == 500
    await driver.request("POST", "/history", json={"delete": [ids[0]]})
    assert list(await driver.get("/api/history")) == ids[1:]
    await driver.request("POST", "/history", json={"clear": True})
    assert await driver.get("/history") == {}


async def test_history_is_empty_until_after_success(driver: Driver) -> None:
    async with driver.socket("a") as stream:
        prompt_id = await driver.submit(slept(60), client_id="a")
        await stream.until("executing", node="2")
        assert await driver.get(f"/history/{prompt_id}") == {}
        await driver.request("POST", "/interrupt")
        await stream.wait_until_ended(prompt_id)
        assert list(await driver.get(f"/history/{prompt_id}")) == [prompt_id]


async def test_cache_keeps_the_latest_prompt_until_free(driver: Driver) -> None:
    async def cached(prompt: Any) -> list[str]:
        entry = await driver.run(prompt, client_id="a")
        return sorted(entry["status"]["messages"][1][1]["nodes"])

    assert await cached(saved(1)) == []
    assert await cached(saved(1, prefix="other")) == ["1"]
    assert await cached(saved(2)) == []
    assert await cached(saved(1)) == []
    assert await cached(saved(1)) == ["1", "2"]
    await driver.request("POST", "/free", json={"free_memory": True})
    assert await cached(saved(1)) == []


async def test_loaded_file_is_cached_by_content(driver: Driver) -> None:
    folder = driver.node.components.folders.root / "input"
    graph = {"1": node("LoadImage", image="a.png"), "2": node("PreviewImage", images=["1", 0])}
    for color, expected in (("red", []), ("red", ["1", "2"]), ("blue", [])):
        Image.new("RGB", (8, 8), color).save(folder / "a.png")
        entry = await driver.run(json.loads(json.dumps(graph)))
        assert entry["status"]["messages"][1][1]["nodes"] == expected
        assert "is_changed" not in entry["prompt"][2]["1"]
        shown = Image.open(io.BytesIO(await fetch(driver, entry, "2")))
        assert "is_changed" in json.loads(str(shown.info["prompt"]))["1"]


async def test_loaders_cannot_leave_their_folder_in_the_new_version_only(driver: Driver, old: Driver) -> None:
    for one in (driver, old):
        Image.new("RGB", (8, 8)).save(one.node.components.folders.root / "secret.png")
    graph = {"1": node("LoadImage", image="../secret.png"), "2": node("PreviewImage", images=["1", 0])}
    status, body = await driver.post(graph)
    assert status == 400
    error = body["node_errors"]["1"]["errors"][0]
    assert error["type"] == "custom_validation_failed"
    assert error["details"] == "image - Invalid image file: ../secret.png"
    assert (await old.run(graph))["status"]["completed"] is True


async def test_file_name_prefixes_cannot_leave_the_output_folder(driver: Driver) -> None:
    entry = await driver.run(saved(prefix="../evil"))
    name, error = entry["status"]["messages"][-1]
    assert (name, error["exception_type"]) == ("execution_error", "Exception")
    assert error["exception_message"].startswith("**** ERROR: Saving image outside the output folder is not allowed.")
    names = [(await driver.run(saved(prefix=prefix)))["outputs"]["2"]["images"][0] for prefix in ("", "b%batch_num%")]
    assert [one["filename"] for one in names] == ["._00001_.png", "b0_00001_.png"]


async def test_images_pass_through_every_image_node(driver: Driver) -> None:
    graph = {
        "1": picture(0xFF0000, size=32, batch=2),
        "2": node("ImageScale", image=["1", 0], upscale_method="lanczos", width=48, height=0, crop="disabled"),
        "3": node("ImageScaleBy", image=["2", 0], upscale_method="area", scale_by=0.5),
        "4": node("ImageBlend", image1=["3", 0], image2=["1", 0], blend_factor=0.5, blend_mode="soft_light"),
        "5": node("ImageBlur", image=["4", 0], blur_radius=3, sigma=1.0),
        "6": node("ImageBatch", image1=["5", 0], image2=["1", 0]),
        "7": node("RepeatImageBatch", image=["6", 0], amount=2),
        "8": node("SaveImage", images=["7", 0], filename_prefix="all"),
        "9": node(
            "SaveAnimatedWEBP",
            images=["6", 0],
            filename_prefix="moving",
            fps=4.0,
            lossless=True,
            quality=80,
            method="default",
        ),
    }
    entry = await driver.run(graph)
    assert len(entry["outputs"]["8"]["images"]) == 8
    assert Image.open(io.BytesIO(await fetch(driver, entry, "8"))).size == (24, 24)
    assert entry["outputs"]["9"]["animated"] == [True]
    assert entry["outputs"]["9"]["images"][0]["filename"] == "moving_00001_.webp"


async def test_inpainting_sampling_and_latents_run(driver: Driver) -> None:
    base = driver.node.components.folders.root / "input"
    Image.new("RGBA", (64, 64), (0, 255, 0, 128)).save(base / "m.png")
    graph = {
        **sampled(),
        "7": node("LoadImage", image="m.png"),
        "8": node("LoadImageMask", image="m.png", channel="red"),
        "9": node("VAEEncodeForInpaint", pixels=["7", 0], vae=["1", 2], mask=["7", 1], grow_mask_by=6),
        "10": node("SetLatentNoiseMask", samples=["9", 0], mask=["8", 0]),
        "11": node("LoraLoader", model=["1", 0], clip=["1", 1], lora_name="sim_detail.safetensors"),
        "12": node("CLIPSetLastLayer", clip=["11", 1], stop_at_clip_layer=-2),
        "13": node(
            "KSamplerAdvanced",
            model=["11", 0],
            add_noise="enable",
            noise_seed=2**64 - 1,
            steps=8,
            cfg=1.0,
            sampler_name="euler",
            scheduler="karras",
            positive=["2", 0],
            negative=["2", 0],
            latent_image=["10", 0],
            start_at_step=2,
            end_at_step=6,
            return_with_leftover_noise="disable",
        ),
        "14": node("SaveLatent", samples=["13", 0], filename_prefix="kept"),
        "15": node("VAEDecode", samples=["13", 0], vae=["1", 2]),
        "16": node("PreviewImage", images=["15", 0]),
    }
    graph["11"]["inputs"] |= {"strength_model": 1.0, "strength_clip": 1.0}
    graph["2"]["inputs"]["clip"] = ["12", 0]
    entry = await driver.run(graph)
    assert entry["status"]["completed"] is True, entry["status"]
    assert entry["outputs"]["14"]["latents"][0]["filename"] == "kept_00001_.latent"
    content = await fetch(driver, entry, "14", "latents")
    length = struct.unpack("<Q", content[:8])[0]
    assert json.loads(content[8 : 8 + length])["latent_tensor"]["shape"] == [1, 4, 8, 8]


async def test_text_and_audio_nodes_run(driver: Driver) -> None:
    graph = {
        "1": node("PrimitiveString", value="hello"),
        "2": node("StringConcatenate", string_a=["1", 0], string_b="world", delimiter=" "),
        "3": node("PreviewAny", source=["2", 0]),
        "4": node("EmptyAudio", duration=0.5, sample_rate=44100, channels=2),
        "5": node("SaveAudio", audio=["4", 0], filename_prefix="a"),
        "6": node("PreviewAudio", audio=["4", 0]),
    }
    entry = await driver.run(graph)
    assert entry["outputs"]["3"] == {"text": ["hello world"]}
    assert entry["outputs"]["5"]["audio"][0]["filename"] == "a_00001.flac"
    assert entry["outputs"]["6"]["audio"][0]["type"] == "temp"
    sound = await fetch(driver, entry, "5", "audio")
    assert sound.startswith(b"fLaC\x00\x00\x00\x22")
    assert b"prompt=" + json.dumps(graph).encode() in sound
    packed = int.from_bytes(sound[18:26], "big")
    assert (packed >> 44, (packed >> 41) & 7, packed & (2**36 - 1)) == (44100, 1, 22050)


async def test_oversized_images_fail_with_the_allocation_error_of_torch(driver: Driver) -> None:
    graph = saved()
    graph["1"]["inputs"] |= {"width": 16384, "height": 16384, "batch_size": 4096}
    error = (await driver.run(graph))["status"]["messages"][-1][1]
    assert error["exception_type"] == "RuntimeError"
    assert "can't allocate memory" in error["exception_message"]


async def test_restarted_node_keeps_only_its_files(tmp_path: Path) -> None:
    async with running_driver(tmp_path) as driver:
        await driver.run(saved())
        await driver.run({"1": picture(), "2": node("PreviewImage", images=["1", 0])})
        boot = (await driver.ledger())["boot_id"]
    async with running_driver(tmp_path) as driver:
        assert await driver.get("/history") == {}
        assert (await driver.ledger())["boot_id"] != boot
        entry = await driver.run(saved())
        assert entry["prompt"][0] == 0
        assert entry["outputs"]["2"]["images"][0]["filename"] == "x_00002_.png"
        assert list((tmp_path / "temp").iterdir()) == []
