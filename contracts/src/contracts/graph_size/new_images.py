"""Upper bounds of the outputs of stock classes that create images, frames or latents.

A latent has the size of the image that it decodes to.
"""

from math import ceil

from contracts.graph_size.node import MAX_BATCH, MAX_LENGTH, MAX_SIDE, NodeInputs, Outputs, Rule
from contracts.graph_size.size import EMPTY, MOVING, SOUND, STILL, Size, clamp_bound, images_size
from contracts.workflow import is_link

REFERENCE_FRAMES = 8  # frames that a reference adds to a video
ASSUMED_VIDEO = (480, 270, 64)  # assumed width, height and frames of a video file
ASSUMED_DATASET = (1024, 1024, 64)  # assumed width, height and number of images in a folder


def bound_width(node: NodeInputs, name: str = "width", absent: float = 1024) -> float:
    """Return the largest width that an input sets."""
    return node.max_number(name, absent, MAX_SIDE)


def bound_height(node: NodeInputs, name: str = "height", absent: float = 1024) -> float:
    """Return the largest height that an input sets."""
    return node.max_number(name, absent, MAX_SIDE)


def bound_batch_size(node: NodeInputs) -> float:
    """Return the largest ``batch_size``."""
    return max(node.max_number("batch_size", 1, MAX_BATCH, counts=True), 1)


def bound_still_images(node: NodeInputs) -> Outputs:
    """Return an upper bound for new still images: ``width`` by ``height``, ``batch_size`` of them."""
    return node.new_images(bound_width(node), bound_height(node), bound_batch_size(node))


def bound_video(frames: str = "length", absent: int = 81) -> Rule:
    """Return the rule for a new video latent, which has frames times ``batch_size`` images.

    Args:
        frames: name of the input that sets the number of frames.
        absent: number of frames if that input is not set.
    """

    def bound_video_latent(node: NodeInputs) -> Outputs:
        count = max(node.max_number(frames, absent, MAX_LENGTH, counts=True), 1)
        has_reference = any("ref" in name and is_link(value) for name, value in node.raw.items())
        size = node.first_linked("video_latent")
        width, height = bound_width(node, absent=size.width or 1024), bound_height(node, absent=size.height or 1024)
        return node.new_images(
            width, height, (count + REFERENCE_FRAMES * has_reference) * bound_batch_size(node), MOVING
        )

    return bound_video_latent


def bound_video_as_images(node: NodeInputs) -> Outputs:
    """Return an upper bound of the size of the frames of a new video as images instead of a latent."""
    video = bound_video("frames", 1)(node)
    return video.with_medium(STILL) if isinstance(video, Size) else video


def bound_layered_image(node: NodeInputs) -> Outputs:
    """Return an upper bound of the size of layered images: one image, and one per layer."""
    layers = node.max_number("layers", 3, MAX_LENGTH, counts=True)
    return node.new_images(bound_width(node), bound_height(node), (layers + 1) * bound_batch_size(node))


def bound_sound_latent(node: NodeInputs) -> Outputs:
    """Return an upper bound of the size of a sound latent. It has a size because a graph can decode it as images."""
    seconds = node.max_number("seconds", 120, 1000)
    frames = node.max_number("frames_number", 0, 1000)
    return node.new_images(100 * max(seconds, frames), 128, bound_batch_size(node), SOUND)


def bound_unknown_video(node: NodeInputs) -> Outputs:
    """Return the assumed size and length of a video from a file (``ASSUMED_VIDEO``)."""
    width, height, frames = ASSUMED_VIDEO
    return node.new_images(width, height, frames, MOVING)


def bound_unknown_folder(_: NodeInputs) -> Outputs:
    """Return the assumed size and number of images in a folder whose content is unknown (``ASSUMED_DATASET``).

    The second output has as many texts.
    """
    width, height, count = ASSUMED_DATASET
    batches = images_size(width, height, 1, items=count)
    return batches, EMPTY._replace(items=count)


def bound_video_segments(node: NodeInputs) -> Outputs:
    """Return an upper bound of the size of a list with one element per segment of a video."""
    segments = node.max_number("num_segments", 1, 100, counts=True)
    frames = max(node.max_number("segment_length", 149, 10_000, counts=True), 1)
    return node.any_image._replace(
        batch=clamp_bound(frames),
        items=clamp_bound(max(segments, 1) * node.runs),
        total=clamp_bound(frames * segments * node.runs),
    )


def bound_square_image(name: str) -> Rule:
    """Return the rule for one square image whose side an input sets."""

    def bound_square(node: NodeInputs) -> Outputs:
        side = node.max_number(name, 1024, 8192)
        return node.new_images(side, side, 1)

    return bound_square


def bound_image_grid(node: NodeInputs) -> Outputs:
    """Return an upper bound of the size of all input images as the cells of one image."""
    columns = max(node.max_number("columns", 4, 20), 1)
    padding = node.max_number("padding", 4, 50)
    rows = ceil(max(node.any_image.total, 1) / max(node.number_range("columns")[0], 1))
    width = columns * (node.max_number("cell_width", 256, 2048) + padding)
    return images_size(width, rows * (node.max_number("cell_height", 256, 2048) + padding))


def bound_merged_tiles(node: NodeInputs) -> Outputs:
    """Return an upper bound of the size of one image merged from tiles, in the size that inputs set."""
    width, height = (node.max_number(name, 1024, 2 * MAX_SIDE) for name in ("final_width", "final_height"))
    return images_size(width, height, max(node.any_image.batch, 1))
