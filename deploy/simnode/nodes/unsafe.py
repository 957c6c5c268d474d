"""Stock classes that a strict policy excludes: they read folders, write models, call services or run regexes."""

import re
import struct
from pathlib import Path

from PIL import Image

from simnode.folders import choose_save_target, is_inside
from simnode.node_class import (
    MATCH_TYPE,
    Call,
    Field,
    NodeClass,
    NodeResult,
    build_hidden_metadata_inputs,
    link_input,
    run_in_thread,
    run_inline,
)
from simnode.resources import NodeResources

IMAGE_SUFFIXES = {".png", ".jpg", ".jpeg", ".webp"}
DATASET_MODULE = "comfy_extras.nodes_dataset"


def _resolve_inside(base: Path, name: str) -> Path:
    path = base / name
    if not is_inside(path, base):
        raise ValueError(f"Invalid folder: {name}")
    return path


def _load_folder(call: Call) -> NodeResult:
    folder = _resolve_inside(call.resources.folders.root / "input", str(call["folder"]))
    images = [
        Image.open(path).convert("RGB") for path in sorted(folder.iterdir()) if path.suffix.lower() in IMAGE_SUFFIXES
    ]
    return NodeResult((images,))


def _save_folder(call: Call) -> NodeResult:
    folder = _resolve_inside(call.resources.folders.root / "output", str(call["folder_name"]))
    folder.mkdir(parents=True, exist_ok=True)
    for index, image in enumerate(call["images"]):
        image.save(folder / f"{call['filename_prefix']}_{index:05}.png")
    return NodeResult()


def _save_checkpoint(call: Call) -> NodeResult:
    target = choose_save_target(str(call["filename_prefix"]), call.resources.folders.root / "output")
    (target.folder / target.build_name(0, "_.safetensors")).write_bytes(_encode_empty_tensors())
    return NodeResult()


def _save_lora(call: Call) -> NodeResult:
    target = choose_save_target(str(call["prefix"]), call.resources.folders.root / "output")
    (target.folder / target.build_name(0, "_.safetensors")).write_bytes(_encode_empty_tensors())
    return NodeResult()


def _encode_empty_tensors() -> bytes:
    return struct.pack("<Q", 2) + b"{}"


def _choose_branch(call: Call) -> NodeResult:
    return NodeResult((call["on_true"] if call["switch"] else call["on_false"],))


def _match_pattern(call: Call) -> NodeResult:
    flags = re.IGNORECASE if call["case_insensitive"] else 0
    return NodeResult((bool(re.search(str(call["regex_pattern"]), str(call["string"]), flags)),))


def _call_external_service(call: Call) -> NodeResult:
    raise Exception(f"Unauthorized: Please login first to use this node. ({call.node_id})")  # noqa: TRY002 - as ComfyUI


CLASSES = (
    NodeClass(
        name="ComfySwitchNode",
        run=run_inline(_choose_branch),
        inputs=(Field("switch", "BOOLEAN"), link_input("on_false", MATCH_TYPE), link_input("on_true", MATCH_TYPE)),
        outputs=(MATCH_TYPE,),
        output_names=("output",),
        category="utilities/logic",
        module="comfy_extras.nodes_logic",
        display_name="If/Else Switch",
        schema_v3=True,
    ),
    NodeClass(
        name="RegexMatch",
        run=run_inline(_match_pattern),
        inputs=(
            Field("string", "STRING", {"multiline": True}),
            Field("regex_pattern", "STRING", {"multiline": True}),
            Field("case_insensitive", "BOOLEAN", {"default": True}),
        ),
        outputs=("BOOLEAN",),
        output_names=("matches",),
        category="text",
        module="comfy_extras.nodes_string",
        display_name="Match Text",
        schema_v3=True,
    ),
    NodeClass(
        name="LoadImageDataSetFromFolder",
        run=run_in_thread(_load_folder),
        inputs=(Field("folder", NodeResources.list_input_folders, {"tooltip": "The folder to load images from."}),),
        outputs=("IMAGE",),
        output_names=("images",),
        category="image",
        module=DATASET_MODULE,
        display_name="Load Image (from Folder)",
        schema_v3=True,
    ),
    NodeClass(
        name="SaveImageDataSetToFolder",
        run=run_in_thread(_save_folder),
        inputs=(
            link_input("images", "IMAGE", "List of images to save."),
            Field("folder_name", "STRING", {"default": "dataset", "multiline": False}),
            Field("filename_prefix", "STRING", {"default": "image", "multiline": False}),
            Field("mode", ("overwrite", "increment"), {"default": "overwrite"}),
            *build_hidden_metadata_inputs(),
        ),
        output_node=True,
        category="image",
        module=DATASET_MODULE,
        display_name="Save Image (to Folder) (DEPRECATED)",
        schema_v3=True,
    ),
    NodeClass(
        name="CheckpointSave",
        run=run_in_thread(_save_checkpoint),
        inputs=(
            link_input("model", "MODEL"),
            link_input("clip", "CLIP"),
            link_input("vae", "VAE"),
            Field("filename_prefix", "STRING", {"default": "checkpoints/ComfyUI"}),
            *build_hidden_metadata_inputs(),
        ),
        output_node=True,
        category="model/merging",
        module="comfy_extras.nodes_model_merging",
        display_name="Save Checkpoint",
    ),
    NodeClass(
        name="SaveLoRA",
        run=run_in_thread(_save_lora),
        inputs=(
            link_input("lora", "LORA_MODEL"),
            Field("prefix", "STRING", {"default": "loras/ComfyUI_trained_lora", "multiline": False}),
            Field("steps", "INT", {}, "optional"),
            *build_hidden_metadata_inputs(),
        ),
        output_node=True,
        category="model/training",
        module="comfy_extras.nodes_train",
        display_name="Save LoRA Weights",
        schema_v3=True,
    ),
    NodeClass(
        name="OpenAIChatNode",
        run=run_inline(_call_external_service),
        inputs=(
            Field("prompt", "STRING", {"default": "", "multiline": True}),
            Field("persist_context", "BOOLEAN", {"default": True}),
            Field("model", ("gpt-5", "o1"), {"tooltip": "The model used to generate the response"}),
            Field("images", "IMAGE", {}, "optional"),
        ),
        outputs=("STRING",),
        category="api node/text/OpenAI",
        module="comfy_api_nodes.nodes_openai",
        display_name="OpenAI ChatGPT",
        schema_v3=True,
    ),
)
