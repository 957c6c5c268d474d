"""Nodes that load models by name and images by file."""

import hashlib
from pathlib import Path

from PIL import Image, ImageChops, ImageOps

from simnode.folders import is_inside
from simnode.node_class import Call, Field, NodeClass, Result, in_thread, instantly, socket
from simnode.shelf import Shelf
from simnode.values import Model
from simnode.wire import Document

CHANNELS = ("alpha", "red", "green", "blue")


def _checkpoint(call: Call) -> Result:
    model = Model(call["ckpt_name"])
    return Result((model, model, model))


def _lora(call: Call) -> Result:
    model, clip = call["model"], call["clip"]
    loras = (*model.loras, call["lora_name"])
    return Result((Model(model.file, loras), Model(clip.file, loras)))


def _vae(call: Call) -> Result:
    name = call["vae_name"]
    return Result((Model(name, pixel_space=name == "pixel_space"),))


def annotated_path(name: str, shelf: Shelf) -> Path | None:
    """Return the file that a loader names.

    ComfyUI 0.33 keeps it inside its folder; 0.3 allows ``..`` and absolute names.
    """
    bare, folder = shelf.folders.annotated(name, "input")
    path = folder / bare
    return path if not shelf.settings.is_new or is_inside(path, folder) else None


def _check_file(name: object, shelf: Shelf) -> bool | str:
    path = annotated_path(str(name), shelf)
    return True if path is not None and path.exists() else f"Invalid image file: {name}"


def _hash_file(inputs: Document, shelf: Shelf) -> str:
    path = annotated_path(str(inputs["image"]), shelf)
    if path is None:
        raise FileNotFoundError(inputs["image"])
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _open(call: Call) -> Image.Image:
    path = annotated_path(str(call["image"]), call.shelf)
    if path is None:
        raise FileNotFoundError(call["image"])
    with Image.open(path) as image:
        return ImageOps.exif_transpose(image.convert("RGBA" if "A" in image.getbands() else "RGB"))


def _image(call: Call) -> Result:
    image = _open(call)
    return Result(([image.convert("RGB")], [_mask_of(image)]))


def _image_mask(call: Call) -> Result:
    image, channel = _open(call), call["channel"][0].upper()
    return Result(([_mask_of(image) if channel == "A" else image.getchannel(channel)],))


def _mask_of(image: Image.Image) -> Image.Image:
    """Return the inverted alpha channel; 64 x 64 zeros if there is none."""
    return ImageChops.invert(image.getchannel("A")) if image.mode == "RGBA" else Image.new("L", (64, 64), 0)


_FILE = Field("image", Shelf.input_files, {"image_upload": True})
_STRENGTH = {"default": 1.0, "min": -100.0, "max": 100.0, "step": 0.01}

CLASSES = (
    NodeClass(
        name="CheckpointLoaderSimple",
        run=instantly(_checkpoint),
        inputs=(Field("ckpt_name", Shelf.checkpoints, {"tooltip": "The name of the checkpoint (model) to load."}),),
        outputs=("MODEL", "CLIP", "VAE"),
        category="model/loaders",
        display_name="Load Checkpoint",
        search_aliases=("load model", "checkpoint"),
        output_tooltips=("The diffusion model.", "The text encoder.", "The VAE."),
    ),
    NodeClass(
        name="LoraLoader",
        run=instantly(_lora),
        inputs=(
            socket("model", "MODEL"),
            socket("clip", "CLIP"),
            Field("lora_name", Shelf.loras),
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
        run=instantly(_vae),
        inputs=(Field("vae_name", Shelf.vaes),),
        outputs=("VAE",),
        category="model/loaders",
        display_name="Load VAE",
    ),
    NodeClass(
        name="LoadImage",
        run=in_thread(_image),
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
        run=in_thread(_image_mask),
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
