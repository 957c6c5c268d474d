"""Nodes with dynamic inputs: dynamic combos, autogrow inputs, and a free choice. ComfyUI 0.33 only."""

from typing import TYPE_CHECKING

from simnode.node_class import (
    MATCH_TYPE,
    Autogrow,
    Call,
    DynamicCombo,
    Field,
    NodeClass,
    NodeResult,
    run_in_thread,
    run_inline,
)
from simnode.nodes.images import scale_images
from simnode.values import check_size_limit

if TYPE_CHECKING:
    from collections.abc import Callable

    from simnode.values import Images

MAX_SIDE = 16384
CROP = Field("crop", ("disabled", "center"), {"default": "center"})


def _build_side_field(name: str) -> Field:
    return Field(name, "INT", {"default": 512, "min": 0, "max": MAX_SIDE, "step": 1})


def _resize_image(call: Call) -> NodeResult:
    images: Images = call["input"]
    width, height = _compute_size(call, images[0].width, images[0].height)
    check_size_limit(width * height * 3 * len(images))
    center = call.inputs.get("resize_type.crop") == "center"
    return NodeResult((scale_images(images, max(1, width), max(1, height), call["scale_method"], center=center),))


def _compute_size(call: Call, width: int, height: int) -> tuple[int, int]:
    """Return width and height of the chosen option."""

    def given(name: str) -> float:
        return float(call[f"resize_type.{name}"])

    option = call["resize_type"]
    if option == "scale dimensions":
        wide, high = int(given("width")), int(given("height"))
        return wide or round(width * high / height), high or round(height * wide / width)
    if option == "match size":
        other: Images = call["resize_type.match"]
        return other[0].width, other[0].height
    if option == "scale to multiple":
        multiple = int(given("multiple"))
        return width // multiple * multiple, height // multiple * multiple
    factors: dict[str, Callable[[], float]] = {
        "scale by multiplier": lambda: given("multiplier"),
        "scale longer dimension": lambda: given("longer_size") / max(width, height),
        "scale shorter dimension": lambda: given("shorter_size") / min(width, height),
        "scale width": lambda: given("width") / width,
        "scale height": lambda: given("height") / height,
        "scale total pixels": lambda: (given("megapixels") * 1024 * 1024 / (width * height)) ** 0.5,
    }
    factor = factors[option]()
    return round(width * factor), round(height * factor)


def _batch_images(call: Call) -> NodeResult:
    named = [call.inputs[name] for name in call.inputs if name.startswith("images.")]
    batches: list[Images] = [images for images in named if images is not None]
    first = batches[0][0]
    fitted = [scale_images(images, first.width, first.height, "bilinear", center=True) for images in batches]
    return NodeResult(([image.convert("RGB") for images in fitted for image in images],))


CLASSES = (
    NodeClass(
        name="ResizeImageMaskNode",
        run=run_in_thread(_resize_image),
        inputs=(
            Field("input", MATCH_TYPE, {"template": {"template_id": "input_type", "allowed_types": "IMAGE,MASK"}}),
            Field(
                "resize_type",
                DynamicCombo(
                    {
                        "scale dimensions": (_build_side_field("width"), _build_side_field("height"), CROP),
                        "scale by multiplier": (
                            Field("multiplier", "FLOAT", {"default": 1.0, "min": 0.01, "max": 8.0, "step": 0.01}),
                        ),
                        "scale longer dimension": (_build_side_field("longer_size"),),
                        "scale shorter dimension": (_build_side_field("shorter_size"),),
                        "scale width": (_build_side_field("width"),),
                        "scale height": (_build_side_field("height"),),
                        "scale total pixels": (
                            Field("megapixels", "FLOAT", {"default": 1.0, "min": 0.01, "max": 16.0, "step": 0.01}),
                        ),
                        "match size": (Field("match", "IMAGE,MASK"), CROP),
                        "scale to multiple": (Field("multiple", "INT", {"default": 8, "min": 1, "max": MAX_SIDE}),),
                    }
                ),
            ),
            Field("scale_method", ("nearest-exact", "bilinear", "area", "bicubic", "lanczos"), {"default": "area"}),
        ),
        outputs=(MATCH_TYPE,),
        output_names=("resized",),
        category="image/transform",
        module="comfy_extras.nodes_post_processing",
        display_name="Resize Image/Mask",
        schema_v3=True,
    ),
    NodeClass(
        name="BatchImagesNode",
        run=run_in_thread(_batch_images),
        inputs=(Field("images", Autogrow(Field("image", "IMAGE"), "image", 1, 50)),),
        outputs=("IMAGE",),
        category="image/batch",
        module="comfy_extras.nodes_post_processing",
        display_name="Batch Images",
        schema_v3=True,
    ),
    NodeClass(
        name="CustomCombo",
        run=run_inline(lambda call: NodeResult((call["choice"], call.inputs.get("index") or 0))),
        inputs=(Field("choice", ()),),
        outputs=("STRING", "INT"),
        output_names=("STRING", "INDEX"),
        category="utilities",
        module="comfy_extras.nodes_logic",
        display_name="Custom Combo",
        schema_v3=True,
        validates_all=True,
    ),
)
