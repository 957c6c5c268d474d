"""Nodes that load models by name and images by file."""

import hashlib
from pathlib import Path

from PIL import Image, ImageChops, ImageOps

from simnode.folders import is_inside
from simnode.node_class import Call, Field, NodeClass, NodeResult, link_input, run_in_thread, run_inline
from simnode.resources import NodeResources
from simnode.values import Model
from simnode.wire import Document

CHANNELS = ("alpha", "red", "green", "blue")


def _load_checkpoint(call: Call) -> NodeResult:
    model = Model(call["ckpt_name"])
    return NodeResult((model, model, model))


def _load_lora(call: Call) -> NodeResult:
    model, clip = call["model"], call["clip"]
    loras = (*model.loras, call["lora_name"])
    return NodeResult((Model(model.file, loras), Model(clip.file, loras)))


def _load_vae(call: Call) -> NodeResult:
    name = call["vae_name"]
    return NodeResult((Model(name, pixel_space=name == "pixel_space"),))


def find_annotated_path(name: str, resources: NodeResources) -> Path | None:
    """Return the file that a loader refers to; None if it must not be read.

    ComfyUI 0.33 keeps it inside its folder; 0.3 allows ``..`` and absolute names.
    """
    bare, folder = resources.folders.split_annotation(name, "input")
    path = folder / bare
    return path if not resources.settings.is_0_33 or is_inside(path, folder) else None


def _check_file(name: object, resources: NodeResources) -> bool | str:
    path = find_annotated_path(str(name), resources)
    return True if path is not None and path.exists() else f"Invalid image file: {name}"


def _hash_file(inputs: Document, resources: NodeResources) -> str:
    path = find_annotated_path(str(inputs["image"]), resources)
    if path is None:
        raise FileNotFoundError(inputs["image"])
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _open_image(call: Call) -> Image.Image:
    path = find_annotated_path(str(call["image"]), call.resources)
    if path is None:
        raise FileNotFoundError(call["image"])
    with Image.open(path) as image:
        return ImageOps.exif_transpose(image.convert("RGBA" if "A" in image.getbands() else "RGB"))


def _load_image(call: Call) -> NodeResult:
    image = _open_image(call)
    return NodeResult(([image.convert("RGB")], [_extract_mask(image)]))


def _load_image_mask(call: Call) -> NodeResult:
    image, channel = _open_image(call), call["channel"][0].upper()
    return NodeResult(([_extract_mask(image) if channel == "A" else image.getchannel(channel)],))


def _extract_mask(image: Image.Image) -> Image.Image:
    """Return the inverted alpha channel; 64 x 64 zeros if there is none."""
    return ImageChops.invert(image.getchannel("A")) if image.mode == "RGBA" else Image.new("L", (64, 64), 0)


_FILE = Field("image", NodeResources.list_input_files, {"image_upload": True})
_STRENGTH = {"default": 1.0, "min": -100.0, "max": 100.0, "step": 0.01}

CLASSES = (
    NodeClass(
        name="CheckpointLoaderSimple",
        run=run_inline(_load_checkpoint),
        inputs=(
            Field(
                "ckpt_name", NodeResources.list_checkpoints, {"tooltip": "The name of the checkpoint (model) to load."}
            ),
        ),
        outputs=("MODEL", "CLIP", "VAE"),
        category="model/loaders",
        display_name="Load Checkpoint",
        search_aliases=("load model", "checkpoint"),
        output_tooltips=("The diffusion model.", "The text encoder.", "The VAE."),
    ),
    NodeClass(
        name="LoraLoader",
        run=run_inline(_load_lora),
        inputs=(
            link_input("model", "MODEL"),
            link_input("clip", "CLIP"),
            Field("lora_name", NodeResources.list_loras),
            Field("strength_model", "FLOAT", _STRENGTH),
            Field("strength_clip", "FLOAT", _STRENGTH),
        ),
        outputs=("MODEL", "CLIP"),
        category="model/loaders",
        display_name="Load LoRA (Model and CLIP)",
        search_aliases=("lora", "load lora"),
        essentials="Image Generation",
    ),
    NodeClass(
        name="VAELoader",
        run=run_inline(_load_vae),
        inputs=(Field("vae_name", NodeResources.list_vaes),),
        outputs=("VAE",),
        category="model/loaders",
        display_name="Load VAE",
    ),
    NodeClass(
        name="LoadImage",
        run=run_in_thread(_load_image),
        inputs=(_FILE,),
        outputs=("IMAGE", "MASK"),
        category="image",
        display_name="Load Image",
        search_aliases=("open image", "upload image"),
        essentials="Basics",
        validate=("image", _check_file),
        fingerprint=_hash_file,
    ),
    NodeClass(
        name="LoadImageMask",
        run=run_in_thread(_load_image_mask),
        inputs=(_FILE, Field("channel", CHANNELS)),
        outputs=("MASK",),
        category="image",
        display_name="Load Image (as Mask)",
        search_aliases=("import mask", "alpha mask"),
        essentials="Image Tools",
        validate=("image", _check_file),
        fingerprint=_hash_file,
    ),
)
