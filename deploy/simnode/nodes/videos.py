"""Video latents, and videos saved as files with a WebM's name and signature but no frames."""

import json

from simnode.folders import choose_save_target
from simnode.node_class import (
    MAX_RESOLUTION,
    Call,
    Field,
    NodeClass,
    NodeResult,
    build_hidden_metadata_inputs,
    link_input,
    run_in_thread,
    run_inline,
)
from simnode.nodes.saving import build_file_entry
from simnode.values import Latent, check_size_limit

EBML = bytes.fromhex("1a45dfa3")  # signature of WebM files
COMPRESSION = 4  # video frames per latent frame, after the first


def _create_empty_video(call: Call) -> NodeResult:
    width, height = call["width"] // 16 * 16, call["height"] // 16 * 16
    frames = (call["length"] - 1) // COMPRESSION * COMPRESSION + 1
    check_size_limit(width * height * frames * call["batch_size"] // 16)
    return NodeResult((Latent(width, height, frames * call["batch_size"]),))


def _save_webm(call: Call) -> NodeResult:
    images = call["images"]
    target = choose_save_target(call["filename_prefix"], call.resources.folders.root / "output", *images[0].size)
    name = target.build_name(0, "_.webm")
    told = {"prompt": call.prompt, "frames": len(images), "fps": call["fps"], "codec": call["codec"]}
    (target.folder / name).write_bytes(EBML + json.dumps(told).encode())
    return NodeResult((images,), {"images": [build_file_entry(target, name, "output")], "animated": [True]})


def _build_size_field(name: str, default: int) -> Field:
    return Field(name, "INT", {"default": default, "min": 16, "max": MAX_RESOLUTION, "step": 16})


CLASSES = (
    NodeClass(
        name="EmptyHunyuanLatentVideo",
        run=run_inline(_create_empty_video),
        inputs=(
            _build_size_field("width", 848),
            _build_size_field("height", 480),
            Field("length", "INT", {"default": 25, "min": 1, "max": MAX_RESOLUTION, "step": 4}),
            Field("batch_size", "INT", {"default": 1, "min": 1, "max": 4096}),
        ),
        outputs=("LATENT",),
        category="model/latent/hunyuan video",
        module="comfy_extras.nodes_hunyuan",
        display_name="Empty HunyuanVideo 1.0 Latent",
        schema_v3=True,
    ),
    NodeClass(
        name="SaveWEBM",
        run=run_in_thread(_save_webm),
        inputs=(
            link_input("images", "IMAGE"),
            Field("filename_prefix", "STRING", {"default": "ComfyUI"}),
            Field("codec", ("vp9", "av1")),
            Field("fps", "FLOAT", {"default": 24.0, "min": 0.01, "max": 1000.0, "step": 0.01}),
            Field("crf", "FLOAT", {"default": 32.0, "min": 0, "max": 63.0, "step": 1}),
            *build_hidden_metadata_inputs(),
        ),
        outputs=("IMAGE",),
        output_names=("images",),
        output_node=True,
        category="video",
        module="comfy_extras.nodes_video",
        display_name="Save WEBM",
        search_aliases=("export webm",),
        schema_v3=True,
    ),
    NodeClass(
        name="PrimitiveInt",
        run=run_inline(lambda call: NodeResult((call["value"],))),
        inputs=(Field("value", "INT", {"min": -(2**63 - 1), "max": 2**63 - 1, "control_after_generate": "fixed"}),),
        outputs=("INT",),
        category="utilities/primitive",
        module="comfy_extras.nodes_primitive",
        display_name="Int",
        schema_v3=True,
    ),
)
