"""Nodes that save images and latents to files and report the files to clients."""

import io
import json
import struct
import time
from functools import partial

from PIL import Image
from PIL.PngImagePlugin import PngInfo

from simnode.folders import SaveTarget, choose_save_target
from simnode.node_class import (
    Call,
    Field,
    NodeClass,
    NodeResult,
    build_hidden_metadata_inputs,
    link_input,
    run_in_thread,
)
from simnode.wire import Document

COMPRESSION = {"default": 4, "fastest": 0, "slowest": 6}


def build_file_entry(target: SaveTarget, name: str, kind: str) -> Document:
    """Return a file reference in ComfyUI's format."""
    return {"filename": name, "subfolder": target.subfolder, "type": kind}


def _write_pngs(call: Call, prefix: str, kind: str, compress_level: int) -> list[Document]:
    images = call["images"]
    target = choose_save_target(prefix, call.resources.folders.root / kind, *images[0].size)
    chunks = _build_png_chunks(call)
    entries = []
    for index, image in enumerate(images):
        name = target.build_name(index, "_.png")
        image.save(target.folder / name, pnginfo=chunks, compress_level=compress_level)
        entries.append(build_file_entry(target, name, kind))
    return entries


def _build_png_chunks(call: Call) -> PngInfo:
    chunks = PngInfo()
    chunks.add_text("prompt", json.dumps(call.prompt))
    for name, value in (call.pnginfo or {}).items():
        chunks.add_text(name, json.dumps(value))
    return chunks


def _save_images(call: Call) -> NodeResult:
    return NodeResult((call["images"],), {"images": _write_pngs(call, call["filename_prefix"], "output", 4)})


def _preview_images(call: Call) -> NodeResult:
    prefix = f"ComfyUI_temp_{call.resources.choose_preview_letters(call.node_id)}"
    return NodeResult((call["images"],), {"images": _write_pngs(call, prefix, "temp", 1)})


async def _send_images(call: Call) -> NodeResult:
    images = call["images"]
    for step, image in enumerate(images):
        await call.report_progress(step, len(images), partial(_encode_png, image))
    return NodeResult()


def _encode_png(image: Image.Image) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, "PNG", compress_level=1)
    return buffer.getvalue()


def _save_animation(call: Call) -> NodeResult:
    images = call["images"]
    target = choose_save_target(call["filename_prefix"], call.resources.folders.root / "output", *images[0].size)
    name = target.build_name(0, "_.webp")
    images[0].save(
        target.folder / name,
        save_all=True,
        append_images=images[1:],
        duration=int(1000.0 / call["fps"]),
        lossless=call["lossless"],
        quality=call["quality"],
        method=COMPRESSION[call["method"]],
    )
    return NodeResult((images,), {"images": [build_file_entry(target, name, "output")], "animated": [len(images) > 1]})


def _save_latent(call: Call) -> NodeResult:
    latent = call["samples"]
    target = choose_save_target(call["filename_prefix"], call.resources.folders.root / "output")
    name = target.build_name(0, "_.latent")
    shape = [latent.batch, 4, latent.height // 8, latent.width // 8]
    path = target.folder / name
    path.write_bytes(_encode_safetensors(shape, {"prompt": json.dumps(call.prompt)}))
    return NodeResult((latent,), {"latents": [build_file_entry(target, name, "output")]})


def _encode_safetensors(shape: list[int], metadata: Document) -> bytes:
    """Return a ``.latent`` file with its two tensors: zeros of ``float32[shape]`` and the version marker."""
    size = 4 * shape[0] * shape[1] * shape[2] * shape[3]
    header = {
        "__metadata__": metadata,
        "latent_tensor": {"dtype": "F32", "shape": shape, "data_offsets": [0, size]},
        "latent_format_version_0": {"dtype": "F32", "shape": [0], "data_offsets": [size, size]},
    }
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    return struct.pack("<Q", len(text)) + text + bytes(size)


def _build_prefix_field(default: str) -> Field:
    return Field("filename_prefix", "STRING", {"default": default})


CLASSES = (
    NodeClass(
        name="SaveImage",
        run=run_in_thread(_save_images),
        inputs=(
            link_input("images", "IMAGE", "The images to save."),
            _build_prefix_field("ComfyUI"),
            *build_hidden_metadata_inputs(),
        ),
        outputs=("IMAGE",),
        output_names=("images",),
        output_node=True,
        category="image",
        display_name="Save Image",
        search_aliases=("save", "export image"),
        essentials="Basics",
    ),
    NodeClass(
        name="PreviewImage",
        run=run_in_thread(_preview_images),
        inputs=(link_input("images", "IMAGE"), *build_hidden_metadata_inputs()),
        outputs=("IMAGE",),
        output_names=("images",),
        output_node=True,
        category="image",
        display_name="Preview Image",
        search_aliases=("preview", "show image"),
        essentials="Basics",
    ),
    NodeClass(
        name="SaveImageWebsocket",
        run=_send_images,
        inputs=(link_input("images", "IMAGE"),),
        output_node=True,
        category="image",
        module="custom_nodes.websocket_image_save",
        fingerprint=lambda _inputs, _resources: str(time.time_ns()),
        has_delay=False,
    ),
    NodeClass(
        name="SaveAnimatedWEBP",
        run=run_in_thread(_save_animation),
        inputs=(
            link_input("images", "IMAGE"),
            _build_prefix_field("ComfyUI"),
            Field("fps", "FLOAT", {"default": 6.0, "min": 0.01, "max": 1000.0, "step": 0.01}),
            Field("lossless", "BOOLEAN", {"default": True}),
            Field("quality", "INT", {"default": 80, "min": 0, "max": 100}),
            Field("method", tuple(COMPRESSION)),
            *build_hidden_metadata_inputs(),
        ),
        outputs=("IMAGE",),
        output_names=("images",),
        output_node=True,
        category="image",
        module="comfy_extras.nodes_images",
        display_name="Save Animated WEBP",
        schema_v3=True,
    ),
    NodeClass(
        name="SaveLatent",
        run=run_in_thread(_save_latent),
        inputs=(
            link_input("samples", "LATENT"),
            _build_prefix_field("latents/ComfyUI"),
            *build_hidden_metadata_inputs(),
        ),
        outputs=("LATENT",),
        output_names=("samples",),
        output_node=True,
        category="model/latent",
        display_name="Save Latent",
        search_aliases=("export latent",),
    ),
)
