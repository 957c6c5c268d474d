"""Bounds of stock classes that resize images."""

from collections.abc import Callable
from math import sqrt

from contracts.graph_size.new_images import bound_height, bound_width
from contracts.graph_size.node import MAX_SIDE, NodeInputs, Outputs, Rule
from contracts.graph_size.size import Size, largest

UPSCALE_MODEL = 4  # most upscale models multiply sides by four, a few by eight
LATENT_UPSCALE_MODEL = 2
MEGAPIXEL = 1024 * 1024
KONTEXT = (1568, 1568, 1_100_000)  # the largest width, height and area of FluxKontextImageScale
KONTEXT_RATIO = 2.5


def bound_resized_images(node: NodeInputs) -> Outputs:
    """Resized to a width and height; if one is 0, the aspect ratio is kept."""
    media, width, height = node.media, bound_width(node), bound_height(node)
    low = min(node.interval("width")[0], node.interval("height")[0])
    if width <= 0 and height <= 0:
        return media
    if low > 0:
        return media.resized(width, height, ratio=node.ratio("width", "height"))
    return media.resized(
        max(width, height * media.ratio),
        max(height, width * media.ratio),
        ratio=media.rounded_ratio(_given_side(node, media)),
    )


def _given_side(node: NodeInputs, media: Size) -> float:
    """Return a lower bound of the shorter side of images that are scaled to a width or to a height."""
    given = [side for side in (node.interval("width")[0], node.interval("height")[0]) if side > 0]
    return min(given, default=1) / media.ratio


def bound_images_scaled_by(name: str) -> Rule:
    """Bound both sides multiplied by an input."""

    def rule(node: NodeInputs) -> Outputs:
        return node.media.scaled(node.number(name, 1, 8))

    return rule


def bound_upscaled_images(factor: int) -> Rule:
    """Bound both sides multiplied by the factor of an upscale model."""

    def rule(node: NodeInputs) -> Outputs:
        return node.media.scaled(factor)

    return rule


def resize_to_pixels(media: Size, pixels: float, step: float = 1) -> Size:
    """Resized to a number of pixels, each side rounded up to a multiple."""
    long = sqrt(pixels * media.ratio) + step
    short = sqrt(pixels) + step
    return media.resized(
        long, long, pixels=min(pixels + step * (long + short), long * long), ratio=media.rounded_ratio() + step
    )


def bound_images_of_total_pixels(node: NodeInputs) -> Outputs:
    """Resized to a number of megapixels, keeping the aspect ratio."""
    step = max(node.number("resolution_steps", 1, 256), 1)
    return resize_to_pixels(node.media, node.number("megapixels", 1, 16) * MEGAPIXEL, step)


def bound_images_by_longer_side(name: str, most: int = MAX_SIDE) -> Rule:
    """Resized so that the longer side equals an input."""

    def rule(node: NodeInputs) -> Outputs:
        side = node.number(name, 1024, most)
        return node.media.resized(side, side, ratio=node.media.rounded_ratio())

    return rule


def bound_images_by_shorter_side(name: str, most: int = MAX_SIDE) -> Rule:
    """Resized so that the shorter side equals an input."""

    def rule(node: NodeInputs) -> Outputs:
        side, media = node.number(name, 512, most), node.media
        long = side * media.ratio
        return media.resized(long, long, pixels=side * long, ratio=media.rounded_ratio())

    return rule


def bound_kontext_image(node: NodeInputs) -> Outputs:
    """Resized to one of Flux Kontext's sizes."""
    width, height, pixels = KONTEXT
    return node.media.resized(width, height, pixels=pixels, ratio=KONTEXT_RATIO)


def resize_to_size_or_ratio(node: NodeInputs, media: Size) -> Size:
    """Resized to a width and height; if one is 0, the aspect ratio is kept."""
    width, height = bound_width(node, absent=0), bound_height(node, absent=0)
    exact = min(node.interval("width")[0], node.interval("height")[0]) > 0 and min(width, height) > 0
    if exact:
        return media.resized(width, height, ratio=node.ratio("width", "height"))
    return media.resized(
        max(width, height * media.ratio),
        max(height, width * media.ratio),
        ratio=media.rounded_ratio(_given_side(node, media)),
    )


def resize_to_longer_side(node: NodeInputs, media: Size) -> Size:
    """Resized so that the longer side has a given length."""
    side = node.number("longer_size", 512, MAX_SIDE)
    return media.resized(side, side, ratio=media.rounded_ratio())


def resize_to_shorter_side(node: NodeInputs, media: Size) -> Size:
    """Resized so that the shorter side has a given length."""
    side = node.number("shorter_size", 512, MAX_SIDE)
    long = side * media.ratio
    return media.resized(long, long, pixels=side * long, ratio=media.rounded_ratio())


def resize_to_multiple(node: NodeInputs, media: Size) -> Size:
    """Rounded up to a multiple of a number."""
    step = node.number("multiple", 8, MAX_SIDE)
    return media.resized(media.width + step, media.height + step, ratio=media.ratio + step)


def resize_to_match(node: NodeInputs, media: Size) -> Size:
    """Resized to the size of another image."""
    match = node.one("match")
    return media.resized(match.width, match.height, pixels=match.pixels, ratio=match.ratio)


WAYS: dict[str, Callable[[NodeInputs, Size], Size]] = {
    "width": resize_to_size_or_ratio,
    "height": resize_to_size_or_ratio,
    "multiplier": lambda node, media: media.scaled(node.number("multiplier", 1, 8)),
    "longer_size": resize_to_longer_side,
    "shorter_size": resize_to_shorter_side,
    "megapixels": lambda node, media: resize_to_pixels(media, node.number("megapixels", 1, 16) * MEGAPIXEL),
    "multiple": resize_to_multiple,
    "match": resize_to_match,
}
"""How ResizeImageMaskNode resizes, by the input that says how far."""


def bound_images_resized_by_choice(node: NodeInputs) -> Outputs:
    """Bound the largest result of all resize modes for which the graph has an input; the node applies one of them."""
    media = node.one("input")
    media = media if media.is_media else node.media
    return largest([resize(node, media) for name, resize in WAYS.items() if node.key(name)] or [media])


def bound_padded_images(node: NodeInputs) -> Outputs:
    """Extended by margins on all sides."""
    left, top, right, bottom = (node.number(name, 0, MAX_SIDE) for name in ("left", "top", "right", "bottom"))
    media = node.media
    width, height = media.width + left + right, media.height + top + bottom
    return media.resized(width, height, ratio=max(width, height))


def bound_images_of_exact_size(width: str, height: str) -> Rule:
    """Resized to exactly this size."""

    def rule(node: NodeInputs) -> Outputs:
        return node.media.resized(bound_width(node, width), bound_height(node, height), ratio=node.ratio(width, height))

    return rule


def bound_cropped_images(node: NodeInputs) -> Outputs:
    """Not larger than the input. An unknown number changes nothing."""
    media = node.one("image", "images", "samples", "mask")
    media = media if media.is_media else node.media
    width, height = node.interval("width")[1], node.interval("height")[1]
    width, height = min(media.width, max(width, 1)), min(media.height, max(height, 1))
    return media.resized(width, height, ratio=max(width, height, 1))  # a crop at the edge can leave a side of one pixel


def bound_stitched_images(node: NodeInputs) -> Outputs:
    """Two images side by side or stacked."""
    first, second = node.one("image1"), node.one("image2")
    space = node.number("spacing_width", 0, 1024)
    if not second.is_media or not first.is_media:
        return node.media
    if node.literal("match_image_size") is False:
        across: tuple[float, float] = (second.width, max(first.height, second.height))
        down: tuple[float, float] = (max(first.width, second.width), second.height)
    else:
        across = first.height * second.ratio, first.height
        down = first.width, first.width * second.ratio
    ratio = first.ratio + second.ratio + space
    beside = node.media.resized(first.width + across[0] + space, across[1], ratio=ratio)
    below = node.media.resized(down[0], first.height + down[1] + space, ratio=ratio)
    direction = node.literal("direction")
    return {"left": beside, "right": beside, "up": below, "down": below}.get(
        direction if isinstance(direction, str) else "", largest((beside, below))
    )


def bound_super_resolution(node: NodeInputs) -> Outputs:
    """Bound both sides multiplied by ``scale_ratio``."""
    return node.media.scaled(max(node.number("scale_ratio", 4, 10), 1))
