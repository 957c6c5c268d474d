"""Nodes that create latents and conditionings, and convert images to latents and back."""

from dataclasses import replace

from simnode.drawing import draw_latent
from simnode.node_class import MAX_RESOLUTION, Call, Field, NodeClass, Result, in_thread, instantly, socket
from simnode.values import Conditioning, Latent, Model, check_extent

NO_CLIP = (
    "ERROR: clip input is invalid: None\n\nIf the clip is from a checkpoint loader node your checkpoint does not "
    "contain a valid clip or text encoder model."
)


def _empty(call: Call) -> Result:
    width, height, batch = call["width"] // 8 * 8, call["height"] // 8 * 8, call["batch_size"]
    check_extent(width * height * batch // 16)
    return Result((Latent(width, height, batch),))


def _encode_text(call: Call) -> Result:
    if call["clip"] is None:
        raise RuntimeError(NO_CLIP)
    return Result((Conditioning(call["text"]),))


def _encode(call: Call) -> Result:
    pixels, step = call["pixels"], _compression(call["vae"])
    width, height = pixels[0].width // step * step, pixels[0].height // step * step
    cut = tuple(image.crop((0, 0, width, height)) for image in pixels)
    return Result((Latent(width, height, len(cut), pixels=cut),))


def _encode_inpaint(call: Call) -> Result:
    latent = _encode(call).outputs[0]
    return Result((replace(latent, mask=tuple(call["mask"])),))


def _set_mask(call: Call) -> Result:
    return Result((replace(call["samples"], mask=tuple(call["mask"])),))


def _repeat(call: Call) -> Result:
    latent, amount = call["samples"], call["amount"]
    check_extent(latent.width * latent.height * latent.batch * amount // 16)
    return Result((replace(latent, batch=latent.batch * amount),))


def _decode(call: Call) -> Result:
    latent = call["samples"]
    check_extent(latent.width * latent.height * latent.batch * 3)
    return Result((draw_latent(latent, call.shelf.settings.name),))


def _compression(vae: Model) -> int:
    return 1 if vae.pixel_space else 8


def _size(name: str) -> Field:
    options = {"default": 512, "min": 16, "max": MAX_RESOLUTION, "step": 8}
    return Field(name, "INT", {**options, "tooltip": f"The {name} of the latent images in pixels."})


CLASSES = (
    NodeClass(
        name="CLIPTextEncode",
        run=instantly(_encode_text),
        inputs=(
            Field("text", "STRING", {"multiline": True, "dynamicPrompts": True}),
            socket("clip", "CLIP", "The CLIP model used for encoding the text."),
        ),
        outputs=("CONDITIONING",),
        category="model/conditioning",
        display_name="CLIP Text Encode (Prompt)",
        search_aliases=("text", "prompt"),
        output_tooltips=("The encoded text.",),
    ),
    NodeClass(
        name="CLIPSetLastLayer",
        run=instantly(lambda call: Result((call["clip"],))),
        inputs=(
            socket("clip", "CLIP"),
            Field("stop_at_clip_layer", "INT", {"default": -1, "min": -24, "max": -1, "step": 1, "advanced": True}),
        ),
        outputs=("CLIP",),
        category="model/conditioning",
        display_name="CLIP Set Last Layer",
    ),
    NodeClass(
        name="LotusConditioning",
        run=instantly(lambda _: Result((Conditioning(None),))),
        outputs=("CONDITIONING",),
        output_names=("conditioning",),
        category="model/conditioning/lotus",
        module="comfy_extras.nodes_lotus",
        schema_v3=True,
    ),
    NodeClass(
        name="EmptyLatentImage",
        run=instantly(_empty),
        inputs=(
            _size("width"),
            _size("height"),
            Field(
                "batch_size", "INT", {"default": 1, "min": 1, "max": 4096, "tooltip": "The number of latent images."}
            ),
        ),
        outputs=("LATENT",),
        category="model/latent",
        display_name="Empty Latent Image",
        search_aliases=("empty", "new latent"),
        output_tooltips=("The empty latent image batch.",),
    ),
    NodeClass(
        name="VAEEncode",
        run=in_thread(_encode),
        inputs=(socket("pixels", "IMAGE"), socket("vae", "VAE")),
        outputs=("LATENT",),
        category="model/latent",
        display_name="VAE Encode",
        search_aliases=("encode", "image to latent"),
    ),
    NodeClass(
        name="VAEEncodeForInpaint",
        run=in_thread(_encode_inpaint),
        inputs=(
            socket("pixels", "IMAGE"),
            socket("vae", "VAE"),
            socket("mask", "MASK"),
            Field("grow_mask_by", "INT", {"default": 6, "min": 0, "max": 64, "step": 1}),
        ),
        outputs=("LATENT",),
        category="model/latent",
        display_name="VAE Encode (for Inpainting)",
    ),
    NodeClass(
        name="SetLatentNoiseMask",
        run=instantly(_set_mask),
        inputs=(socket("samples", "LATENT"), socket("mask", "MASK")),
        outputs=("LATENT",),
        category="model/latent",
        display_name="Set Latent Noise Mask",
    ),
    NodeClass(
        name="RepeatLatentBatch",
        run=instantly(_repeat),
        inputs=(socket("samples", "LATENT"), Field("amount", "INT", {"default": 1, "min": 1, "max": 64})),
        outputs=("LATENT",),
        category="model/latent/batch",
        display_name="Repeat Latent Batch",
    ),
    NodeClass(
        name="VAEDecode",
        run=in_thread(_decode),
        inputs=(
            socket("samples", "LATENT", "The latent to be decoded."),
            socket("vae", "VAE", "The VAE model used for decoding the latent."),
        ),
        outputs=("IMAGE",),
        category="model/latent",
        display_name="VAE Decode",
        search_aliases=("decode", "latent to image"),
        output_tooltips=("The decoded image.",),
    ),
)
