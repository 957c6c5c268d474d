"""Nodes that blend and blur images."""

from typing import TYPE_CHECKING

from PIL import Image, ImageChops, ImageFilter

from simnode.node_class import Call, Field, NodeClass, NodeResult, link_input, run_in_thread
from simnode.nodes.images import scale_images

if TYPE_CHECKING:
    from collections.abc import Callable

MODES: "dict[str, Callable[[Image.Image, Image.Image], Image.Image]]" = {
    "normal": lambda _, second: second,
    "multiply": ImageChops.multiply,
    "screen": ImageChops.screen,
    "overlay": ImageChops.overlay,
    "soft_light": ImageChops.soft_light,
    "difference": ImageChops.difference,
}


def _blend_images(call: Call) -> NodeResult:
    first, second = call["image1"], call["image2"]
    if first[0].size != second[0].size:
        second = scale_images(second, first[0].width, first[0].height, "bicubic", center=True)
    mix = MODES[call["blend_mode"]]
    pairs = [(one.convert("RGB"), second[min(i, len(second) - 1)].convert("RGB")) for i, one in enumerate(first)]
    return NodeResult(([Image.blend(one, mix(one, two), call["blend_factor"]) for one, two in pairs],))


def _blur_image(call: Call) -> NodeResult:
    soften = ImageFilter.GaussianBlur(min(call["sigma"], call["blur_radius"]))
    return NodeResult(([image.filter(soften) for image in call["image"]],))


CLASSES = (
    NodeClass(
        name="ImageBlend",
        run=run_in_thread(_blend_images),
        inputs=(
            link_input("image1", "IMAGE"),
            link_input("image2", "IMAGE"),
            Field("blend_factor", "FLOAT", {"default": 0.5, "min": 0.0, "max": 1.0, "step": 0.01}),
            Field("blend_mode", tuple(MODES)),
        ),
        outputs=("IMAGE",),
        category="image/filters",
        module="comfy_extras.nodes_post_processing",
        display_name="Blend Images",
        search_aliases=("mix images",),
        essentials="Image Tools",
        schema_v3=True,
    ),
    NodeClass(
        name="ImageBlur",
        run=run_in_thread(_blur_image),
        inputs=(
            link_input("image", "IMAGE"),
            Field("blur_radius", "INT", {"default": 1, "min": 1, "max": 31, "step": 1}),
            Field("sigma", "FLOAT", {"default": 1.0, "min": 0.1, "max": 10.0, "step": 0.1}),
        ),
        outputs=("IMAGE",),
        category="image/filters",
        module="comfy_extras.nodes_post_processing",
        display_name="Blur Image",
        schema_v3=True,
    ),
)
