"""Nodes that create latents and conditionings, and convert images to latents and back."""

from dataclasses import replace

from simnode.drawing import draw_latent
from simnode.node_class import MAX_RESOLUTION, Call, Field, NodeClass, NodeResult, link_input, run_in_thread, run_inline
from simnode.values import Conditioning, Latent, Model, check_size_limit

NO_CLIP = (
    "ERROR: clip input is invalid: None\n\nIf the clip is from a checkpoint loader node your checkpoint does not "
    "contain a valid clip or text encoder model."
)


def _create_empty_latent(call: Call) -> NodeResult:
    width, height, batch = call["width"] // 8 * 8, call["height"] // 8 * 8, call["batch_size"]
    check_size_limit(width * height * batch // 16)
    return NodeResult((Latent(width, height, batch),))


def _encode_text(call: Call) -> NodeResult:
    if call["clip"] is None:
        raise RuntimeError(NO_CLIP)
    return NodeResult((Conditioning(call["text"]),))


def _encode_image(call: Call) -> NodeResult:
    pixels, step = call["pixels"], _find_compression(call["vae"])
    width, height = pixels[0].width // step * step, pixels[0].height // step * step
    cut = tuple(image.crop((0, 0, width, height)) for image in pixels)
    return NodeResult((Latent(width, height, len(cut), pixels=cut),))


def _encode_for_inpainting(call: Call) -> NodeResult:
    latent = _encode_image(call).outputs[0]
    return NodeResult((replace(latent, mask=tuple(call["mask"])),))


def _set_mask(call: Call) -> NodeResult:
    return NodeResult((replace(call["samples"], mask=tuple(call["mask"])),))


def _repeat_latent(call: Call) -> NodeResult:
    latent, amount = call["samples"], call["amount"]
    check_size_limit(latent.width * latent.height * latent.batch * amount // 16)
    return NodeResult((replace(latent, batch=latent.batch * amount),))


def _decode_latent(call: Call) -> NodeResult:
    latent = call["samples"]
    check_size_limit(latent.width * latent.height * latent.batch * 3)
    return NodeResult((draw_latent(latent, call.resources.settings.name),))


def _find_compression(vae: Model) -> int:
    return 1 if vae.pixel_space else 8


def _build_size_field(name: str) -> Field:
    options = {"default": 512, "min": 16, "max": MAX_RESOLUTION, "step": 8}
    return Field(name, "INT", {**options, "tooltip": f"The {name} of the latent images in pixels."})


CLASSES = (
    NodeClass(
        name="CLIPTextEncode",
        run=run_inline(_encode_text),
        inputs=(
            Field("text", "STRING", {"multiline": True, "dynamicPrompts": True}),
            link_input("clip", "CLIP", "The CLIP model used for encoding the text."),
        ),
        outputs=("CONDITIONING",),
        category="model/conditioning",
        display_name="CLIP Text Encode (Prompt)",
        search_aliases=("text", "prompt"),
        output_tooltips=("The encoded text.",),
    ),
    NodeClass(
        name="CLIPSetLastLayer",
        run=run_inline(lambda call: NodeResult((call["clip"],))),
        inputs=(
            link_input("clip", "CLIP"),
            Field("stop_at_clip_layer", "INT", {"default": -1, "min": -24, "max": -1, "step": 1, "advanced": True}),
        ),
        outputs=("CLIP",),
        category="model/conditioning",
        display_name="CLIP Set Last Layer",
    ),
    NodeClass(
        name="LotusConditioning",
        run=run_inline(lambda _: NodeResult((Conditioning(None),))),
        outputs=("CONDITIONING",),
        output_names=("conditioning",),
        category="model/conditioning/lotus",
        module="comfy_extras.nodes_lotus",
        schema_v3=True,
    ),
    NodeClass(
        name="EmptyLatentImage",
        run=run_inline(_create_empty_latent),
        inputs=(
            _build_size_field("width"),
            _build_size_field("height"),
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
        run=run_in_thread(_encode_image),
        inputs=(link_input("pixels", "IMAGE"), link_input("vae", "VAE")),
        outputs=("LATENT",),
        category="model/latent",
        display_name="VAE Encode",
        search_aliases=("encode", "image to latent"),
    ),
    NodeClass(
        name="VAEEncodeForInpaint",
        run=run_in_thread(_encode_for_inpainting),
        inputs=(
            link_input("pixels", "IMAGE"),
            link_input("vae", "VAE"),
            link_input("mask", "MASK"),
            Field("grow_mask_by", "INT", {"default": 6, "min": 0, "max": 64, "step": 1}),
        ),
        outputs=("LATENT",),
        category="model/latent",
        display_name="VAE Encode (for Inpainting)",
    ),
    NodeClass(
        name="SetLatentNoiseMask",
        run=run_inline(_set_mask),
        inputs=(link_input("samples", "LATENT"), link_input("mask", "MASK")),
        outputs=("LATENT",),
        category="model/latent",
        display_name="Set Latent Noise Mask",
    ),
    NodeClass(
        name="RepeatLatentBatch",
        run=run_inline(_repeat_latent),
        inputs=(link_input("samples", "LATENT"), Field("amount", "INT", {"default": 1, "min": 1, "max": 64})),
        outputs=("LATENT",),
        category="model/latent/batch",
        display_name="Repeat Latent Batch",
    ),
    NodeClass(
        name="VAEDecode",
        run=run_in_thread(_decode_latent),
        inputs=(
            link_input("samples", "LATENT", "The latent to be decoded."),
            link_input("vae", "VAE", "The VAE model used for decoding the latent."),
        ),
        outputs=("IMAGE",),
        category="model/latent",
        display_name="VAE Decode",
        search_aliases=("decode", "latent to image"),
        output_tooltips=("The decoded image.",),
    ),
)
