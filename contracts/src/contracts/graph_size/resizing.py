"""Upper bounds of the outputs of stock classes that resize images."""

from collections.abc import Callable
from math import sqrt

from contracts.graph_size.new_images import bound_height, bound_width
from contracts.graph_size.node import MAX_SIDE, NodeInputs, Outputs, Rule
from contracts.graph_size.size import Size, combine_maximums

UPSCALE_FACTOR = 4  # most upscale models multiply sides by four, a few by eight
LATENT_UPSCALE_FACTOR = 2
MEGAPIXEL = 1024 * 1024
KONTEXT_MAX_SIZE = (1568, 1568, 1_100_000)  # the largest width, height and area of FluxKontextImageScale
KONTEXT_MAX_RATIO = 2.5


def bound_resized_images(node: NodeInputs) -> Outputs:
    """Return an upper bound of the size of images resized to a width and height.

    If one of these is 0, the aspect ratio is kept.
    """
    media, width, height = node.any_image, bound_width(node), bound_height(node)
    low = min(node.number_range("width")[0], node.number_range("height")[0])
    if width <= 0 and height <= 0:
        return media
    if low > 0:
        return media.resized(width, height, ratio=node.max_ratio("width", "height"))
    return media.resized(
        max(width, height * media.ratio),
        max(height, width * media.ratio),
        ratio=media.max_rounded_ratio(_find_least_side(node, media)),
    )


def _find_least_side(node: NodeInputs, media: Size) -> float:
    """Return a lower bound of the shorter side of images that are scaled to a width or to a height."""
    given = [side for side in (node.number_range("width")[0], node.number_range("height")[0]) if side > 0]
    return min(given, default=1) / media.ratio


def bound_images_scaled_by(name: str) -> Rule:
    """Return the rule for images with both sides multiplied by an input."""

    def bound_scaled_images(node: NodeInputs) -> Outputs:
        return node.any_image.scaled(node.max_number(name, 1, 8))

    return bound_scaled_images


def bound_upscaled_images(factor: int) -> Rule:
    """Return the rule for images with both sides multiplied by the factor of an upscale model."""

    def bound_upscaled(node: NodeInputs) -> Outputs:
        return node.any_image.scaled(factor)

    return bound_upscaled


def bound_resized_to_pixels(media: Size, pixels: float, step: float = 1) -> Size:
    """Return an upper bound of the size of images resized to a number of pixels.

    Each side is rounded up to a multiple of ``step``.
    """
    long = sqrt(pixels * media.ratio) + step
    short = sqrt(pixels) + step
    return media.resized(
        long, long, pixels=min(pixels + step * (long + short), long * long), ratio=media.max_rounded_ratio() + step
    )


def bound_images_of_total_pixels(node: NodeInputs) -> Outputs:
    """Return an upper bound of the size of images resized to a number of megapixels, keeping the aspect ratio."""
    step = max(node.max_number("resolution_steps", 1, 256), 1)
    return bound_resized_to_pixels(node.any_image, node.max_number("megapixels", 1, 16) * MEGAPIXEL, step)


def bound_images_by_longer_side(name: str, most: int = MAX_SIDE) -> Rule:
    """Return the rule for images resized so that the longer side equals an input, which is at most ``most``."""

    def bound_resized(node: NodeInputs) -> Outputs:
        side = node.max_number(name, 1024, most)
        return node.any_image.resized(side, side, ratio=node.any_image.max_rounded_ratio())

    return bound_resized


def bound_images_by_shorter_side(name: str, most: int = MAX_SIDE) -> Rule:
    """Return the rule for images resized so that the shorter side equals an input, which is at most ``most``."""

    def bound_resized(node: NodeInputs) -> Outputs:
        side, media = node.max_number(name, 512, most), node.any_image
        long = side * media.ratio
        return media.resized(long, long, pixels=side * long, ratio=media.max_rounded_ratio())

    return bound_resized


def bound_kontext_image(node: NodeInputs) -> Outputs:
    """Return an upper bound of the size of images resized to one of Flux Kontext's sizes."""
    width, height, pixels = KONTEXT_MAX_SIZE
    return node.any_image.resized(width, height, pixels=pixels, ratio=KONTEXT_MAX_RATIO)


def bound_resized_to_size_or_ratio(node: NodeInputs, media: Size) -> Size:
    """Return an upper bound of the size of images resized to a width and height.

    If one of these is 0, the aspect ratio is kept.
    """
    width, height = bound_width(node, absent=0), bound_height(node, absent=0)
    exact = min(node.number_range("width")[0], node.number_range("height")[0]) > 0 and min(width, height) > 0
    if exact:
        return media.resized(width, height, ratio=node.max_ratio("width", "height"))
    return media.resized(
        max(width, height * media.ratio),
        max(height, width * media.ratio),
        ratio=media.max_rounded_ratio(_find_least_side(node, media)),
    )


def bound_resized_to_longer_side(node: NodeInputs, media: Size) -> Size:
    """Return an upper bound of the size of images resized so that the longer side has a given length."""
    side = node.max_number("longer_size", 512, MAX_SIDE)
    return media.resized(side, side, ratio=media.max_rounded_ratio())


def bound_resized_to_shorter_side(node: NodeInputs, media: Size) -> Size:
    """Return an upper bound of the size of images resized so that the shorter side has a given length."""
    side = node.max_number("shorter_size", 512, MAX_SIDE)
    long = side * media.ratio
    return media.resized(long, long, pixels=side * long, ratio=media.max_rounded_ratio())


def bound_resized_to_multiple(node: NodeInputs, media: Size) -> Size:
    """Return an upper bound of the size of images with both sides rounded up to a multiple of a number."""
    step = node.max_number("multiple", 8, MAX_SIDE)
    return media.resized(media.width + step, media.height + step, ratio=media.ratio + step)


def bound_resized_to_match(node: NodeInputs, media: Size) -> Size:
    """Return an upper bound of the size of images resized to the size of another image."""
    match = node.first_linked("match")
    return media.resized(match.width, match.height, pixels=match.pixels, ratio=match.ratio)


RESIZE_MODES: dict[str, Callable[[NodeInputs, Size], Size]] = {
    "width": bound_resized_to_size_or_ratio,
    "height": bound_resized_to_size_or_ratio,
    "multiplier": lambda node, media: media.scaled(node.max_number("multiplier", 1, 8)),
    "longer_size": bound_resized_to_longer_side,
    "shorter_size": bound_resized_to_shorter_side,
    "megapixels": lambda node, media: bound_resized_to_pixels(media, node.max_number("megapixels", 1, 16) * MEGAPIXEL),
    "multiple": bound_resized_to_multiple,
    "match": bound_resized_to_match,
}
"""The resize modes of ResizeImageMaskNode, by the input that sets the amount."""


def bound_images_resized_by_choice(node: NodeInputs) -> Outputs:
    """Return an upper bound for ResizeImageMaskNode: the maximum over all resize modes whose inputs are present."""
    media = node.first_linked("input")
    media = media if media.is_media else node.any_image
    return combine_maximums(
        [resize(node, media) for name, resize in RESIZE_MODES.items() if node.find_key(name)] or [media]
    )


def bound_padded_images(node: NodeInputs) -> Outputs:
    """Return an upper bound of the size of images extended by margins on all sides."""
    left, top, right, bottom = (node.max_number(name, 0, MAX_SIDE) for name in ("left", "top", "right", "bottom"))
    media = node.any_image
    width, height = media.width + left + right, media.height + top + bottom
    return media.resized(width, height, ratio=max(width, height))


def bound_images_of_exact_size(width: str, height: str) -> Rule:
    """Return the rule for images resized to exactly the size that two inputs set."""

    def bound_resized(node: NodeInputs) -> Outputs:
        return node.any_image.resized(
            bound_width(node, width), bound_height(node, height), ratio=node.max_ratio(width, height)
        )

    return bound_resized


def bound_cropped_images(node: NodeInputs) -> Outputs:
    """Return an upper bound of the size of cropped images: that of the input if the size of the crop is unknown."""
    media = node.first_linked("image", "images", "samples", "mask")
    media = media if media.is_media else node.any_image
    width, height = node.number_range("width")[1], node.number_range("height")[1]
    width, height = min(media.width, max(width, 1)), min(media.height, max(height, 1))
    return media.resized(width, height, ratio=max(width, height, 1))  # a crop at the edge can leave a side of one pixel


def bound_stitched_images(node: NodeInputs) -> Outputs:
    """Return an upper bound of the size of two images stitched side by side or one above the other."""
    first, second = node.first_linked("image1"), node.first_linked("image2")
    space = node.max_number("spacing_width", 0, 1024)
    if not second.is_media or not first.is_media:
        return node.any_image
    if node.literal("match_image_size") is False:
        across: tuple[float, float] = (second.width, max(first.height, second.height))
        down: tuple[float, float] = (max(first.width, second.width), second.height)
    else:
        across = first.height * second.ratio, first.height
        down = first.width, first.width * second.ratio
    ratio = first.ratio + second.ratio + space
    beside = node.any_image.resized(first.width + across[0] + space, across[1], ratio=ratio)
    below = node.any_image.resized(down[0], first.height + down[1] + space, ratio=ratio)
    direction = node.literal("direction")
    return {"left": beside, "right": beside, "up": below, "down": below}.get(
        direction if isinstance(direction, str) else "", combine_maximums((beside, below))
    )


def bound_super_resolution(node: NodeInputs) -> Outputs:
    """Return an upper bound of the size of images with both sides multiplied by ``scale_ratio``."""
    return node.any_image.scaled(max(node.max_number("scale_ratio", 4, 10), 1))
