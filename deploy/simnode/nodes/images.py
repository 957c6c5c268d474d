"""Nodes that create, join, resize and measure images. Their arithmetic is that of ComfyUI."""

from typing import TYPE_CHECKING

from PIL import Image, ImageChops

from simnode.node_class import MAX_RESOLUTION, Call, Field, NodeClass, NodeResult, link_input, run_in_thread, run_inline
from simnode.values import check_size_limit

if TYPE_CHECKING:
    from simnode.values import Images

METHODS = ("nearest-exact", "bilinear", "area", "bicubic", "lanczos")
RESAMPLING = {
    "nearest-exact": Image.Resampling.NEAREST,
    "bilinear": Image.Resampling.BILINEAR,
    "area": Image.Resampling.BOX,
    "bicubic": Image.Resampling.BICUBIC,
    "lanczos": Image.Resampling.LANCZOS,
}


def scale_images(images: "Images", width: int, height: int, method: str, *, center: bool) -> "Images":
    """Resize a batch. With ``center`` the longer side is cropped first to keep the proportions.

    If no pixel is left, the image is black, as with ComfyUI's lanczos.
    """
    return [_scale_image(image, width, height, method, center=center) for image in images]


def _scale_image(image: Image.Image, width: int, height: int, method: str, *, center: bool) -> Image.Image:
    if center:
        old, new = image.width / image.height, width / height
        x = round((image.width - image.width * (new / old)) / 2) if old > new else 0
        y = round((image.height - image.height * (old / new)) / 2) if old < new else 0
        image = image.crop((x, y, image.width - x, image.height - y))
    return image.resize((width, height), RESAMPLING[method])


def _create_empty_image(call: Call) -> NodeResult:
    width, height, batch, color = call["width"], call["height"], call["batch_size"], call["color"]
    check_size_limit(width * height * batch * 3)
    rgb = ((color >> 16) & 255, (color >> 8) & 255, color & 255)
    return NodeResult(([Image.new("RGB", (width, height), rgb)] * batch,))


def _invert_image(call: Call) -> NodeResult:
    return NodeResult(([ImageChops.invert(image) for image in call["image"]],))


def _scale_to_size(call: Call) -> NodeResult:
    images, width, height = call["image"], call["width"], call["height"]
    if width == 0 and height == 0:
        return NodeResult((images,))
    first = images[0]
    width = width or max(1, round(first.width * height / first.height))
    height = height or max(1, round(first.height * width / first.width))
    check_size_limit(width * height * 3 * len(images))
    return NodeResult((scale_images(images, width, height, call["upscale_method"], center=call["crop"] == "center"),))


def _scale_by_factor(call: Call) -> NodeResult:
    images, factor = call["image"], call["scale_by"]
    width, height = round(images[0].width * factor), round(images[0].height * factor)
    return NodeResult((scale_images(images, width, height, call["upscale_method"], center=False),))


def _batch_images(call: Call) -> NodeResult:
    first, second = call["image1"], call["image2"]
    if first[0].size != second[0].size:
        second = scale_images(second, first[0].width, first[0].height, "bilinear", center=True)
    mode = "RGBA" if "RGBA" in (first[0].mode, second[0].mode) else "RGB"
    return NodeResult(([image.convert(mode) for image in (*first, *second)],))


def _repeat_image(call: Call) -> NodeResult:
    images = call["image"]
    check_size_limit(images[0].width * images[0].height * 3 * len(images) * call["amount"])
    return NodeResult((images * call["amount"],))


def _convert_to_mask(call: Call) -> NodeResult:
    channel = "RGBA".index(call["channel"][0].upper())
    return NodeResult(([image.convert("RGBA").getchannel(channel) for image in call["image"]],))


def _measure_image(call: Call) -> NodeResult:
    images = call["image"]
    width, height = images[0].size
    call.send_text(f"width: {width}, height: {height}\n batch size: {len(images)}")
    return NodeResult((width, height, len(images)))


def _build_size_field(name: str, least: int) -> Field:
    return Field(name, "INT", {"default": 512, "min": least, "max": MAX_RESOLUTION, "step": 1})


CLASSES = (
    NodeClass(
        name="ImageScale",
        run=run_in_thread(_scale_to_size),
        inputs=(
            link_input("image", "IMAGE"),
            Field("upscale_method", METHODS),
            _build_size_field("width", 0),
            _build_size_field("height", 0),
            Field("crop", ("disabled", "center")),
        ),
        outputs=("IMAGE",),
        category="image/upscaling",
        display_name="Upscale Image",
        search_aliases=("resize", "scale image"),
        essentials="Image Tools",
    ),
    NodeClass(
        name="ImageScaleBy",
        run=run_in_thread(_scale_by_factor),
        inputs=(
            link_input("image", "IMAGE"),
            Field("upscale_method", METHODS),
            Field("scale_by", "FLOAT", {"default": 1.0, "min": 0.01, "max": 8.0, "step": 0.01}),
        ),
        outputs=("IMAGE",),
        category="image/upscaling",
        display_name="Upscale Image By",
        essentials="Image Tools",
    ),
    NodeClass(
        name="ImageInvert",
        run=run_in_thread(_invert_image),
        inputs=(link_input("image", "IMAGE"),),
        outputs=("IMAGE",),
        category="image/color",
        display_name="Invert Image Colors",
        search_aliases=("reverse colors",),
        essentials="Image Tools",
    ),
    NodeClass(
        name="ImageBatch",
        run=run_in_thread(_batch_images),
        inputs=(link_input("image1", "IMAGE"), link_input("image2", "IMAGE")),
        outputs=("IMAGE",),
        category="image/batch",
        display_name="Batch Images (DEPRECATED)",
        search_aliases=("combine images", "merge images"),
        deprecated=True,
    ),
    NodeClass(
        name="EmptyImage",
        run=run_in_thread(_create_empty_image),
        inputs=(
            _build_size_field("width", 1),
            _build_size_field("height", 1),
            Field("batch_size", "INT", {"default": 1, "min": 1, "max": 4096}),
            Field("color", "INT", {"default": 0, "min": 0, "max": 0xFFFFFF, "step": 1, "display": "color"}),
        ),
        outputs=("IMAGE",),
        category="image",
        display_name="Empty Image",
    ),
    NodeClass(
        name="RepeatImageBatch",
        run=run_inline(_repeat_image),
        inputs=(link_input("image", "IMAGE"), Field("amount", "INT", {"default": 1, "min": 1, "max": 4096})),
        outputs=("IMAGE",),
        category="image/batch",
        module="comfy_extras.nodes_images",
        display_name="Repeat Image Batch",
        search_aliases=("duplicate image", "clone image"),
        schema_v3=True,
    ),
    NodeClass(
        name="ImageToMask",
        run=run_in_thread(_convert_to_mask),
        inputs=(link_input("image", "IMAGE"), Field("channel", ("red", "green", "blue", "alpha"))),
        outputs=("MASK",),
        category="image/mask",
        module="comfy_extras.nodes_mask",
        display_name="Convert Image to Mask",
        schema_v3=True,
    ),
    NodeClass(
        name="GetImageSize",
        run=run_inline(_measure_image),
        inputs=(link_input("image", "IMAGE"), Field("unique_id", "UNIQUE_ID", group="hidden")),
        outputs=("INT", "INT", "INT"),
        output_names=("width", "height", "batch_size"),
        category="image",
        module="comfy_extras.nodes_images",
        display_name="Get Image Size",
        description="Returns width and height of the image, and passes it through unchanged.",
        search_aliases=("dimensions", "resolution", "image info"),
        schema_v3=True,
    ),
)
