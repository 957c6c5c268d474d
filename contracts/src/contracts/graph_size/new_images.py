"""Bounds of stock classes that create images, frames or latents.

A latent has the size of the image that it decodes to.
"""

from math import ceil

from contracts.graph_size.node import MAX_BATCH, MAX_LENGTH, MAX_SIDE, NodeInputs, Outputs, Rule
from contracts.graph_size.size import MOVING, NOTHING, SOUND, STILL, Size, bounded, images
from contracts.workflow import is_link

REFERENCE_FRAMES = 8  # frames that a reference adds to a video
VIDEO = (480, 270, 64)  # assumed width, height and frames of a video file
DATASET = (1024, 1024, 64)  # assumed width, height and number of images in a folder


def bound_width(node: NodeInputs, name: str = "width", absent: float = 1024) -> float:
    """Largest width that an input sets."""
    return node.number(name, absent, MAX_SIDE)


def bound_height(node: NodeInputs, name: str = "height", absent: float = 1024) -> float:
    """Largest height that an input sets."""
    return node.number(name, absent, MAX_SIDE)


def batch(node: NodeInputs) -> float:
    """Largest ``batch_size``."""
    return max(node.number("batch_size", 1, MAX_BATCH, counts=True), 1)


def bound_still_images(node: NodeInputs) -> Outputs:
    """Images of one size."""
    return node.made(bound_width(node), bound_height(node), batch(node))


def bound_video(frames: str = "length", absent: int = 81) -> Rule:
    """Bound a new video latent: frames times batch."""

    def rule(node: NodeInputs) -> Outputs:
        count = max(node.number(frames, absent, MAX_LENGTH, counts=True), 1)
        has_reference = any("ref" in name and is_link(value) for name, value in node.raw.items())
        size = node.one("video_latent")
        width, height = bound_width(node, absent=size.width or 1024), bound_height(node, absent=size.height or 1024)
        return node.made(width, height, (count + REFERENCE_FRAMES * has_reference) * batch(node), MOVING)

    return rule


def bound_video_second(node: NodeInputs) -> Outputs:
    """Frames as images instead of a latent."""
    made = bound_video("frames", 1)(node)
    return made.set_medium(STILL) if isinstance(made, Size) else made


def bound_layered_image(node: NodeInputs) -> Outputs:
    """Bound a layered image: one image, and one per layer."""
    layers = node.number("layers", 3, MAX_LENGTH, counts=True)
    return node.made(bound_width(node), bound_height(node), (layers + 1) * batch(node))


def bound_sound_latent(node: NodeInputs) -> Outputs:
    """Bound a sound latent. It has a size because a hostile graph can decode it as images."""
    seconds = node.number("seconds", 120, 1000)
    frames = node.number("frames_number", 0, 1000)
    return node.made(100 * max(seconds, frames), 128, batch(node), SOUND)


def bound_unknown_video(node: NodeInputs) -> Outputs:
    """Bound a video from a file."""
    width, height, frames = VIDEO
    return node.made(width, height, frames, MOVING)


def bound_unknown_folder(_: NodeInputs) -> Outputs:
    """Images from a folder, with one text each."""
    width, height, count = DATASET
    made = images(width, height, 1, items=count)
    return made, NOTHING._replace(items=count)


def bound_video_segments(node: NodeInputs) -> Outputs:
    """Segments of a video, as a list."""
    segments = node.number("num_segments", 1, 100, counts=True)
    frames = max(node.number("segment_length", 149, 10_000, counts=True), 1)
    return node.media._replace(
        batch=bounded(frames), items=bounded(max(segments, 1) * node.runs), total=bounded(frames * segments * node.runs)
    )


def bound_square_image(name: str) -> Rule:
    """Bound one square image whose side an input sets."""

    def rule(node: NodeInputs) -> Outputs:
        side = node.number(name, 1024, 8192)
        return node.made(side, side, 1)

    return rule


def bound_image_grid(node: NodeInputs) -> Outputs:
    """Bound all input images as the cells of one image."""
    columns = max(node.number("columns", 4, 20), 1)
    padding = node.number("padding", 4, 50)
    rows = ceil(max(node.media.total, 1) / max(node.interval("columns")[0], 1))
    width = columns * (node.number("cell_width", 256, 2048) + padding)
    return images(width, rows * (node.number("cell_height", 256, 2048) + padding))


def bound_merged_tiles(node: NodeInputs) -> Outputs:
    """Bound one image merged from tiles, in the size that inputs set."""
    width, height = (node.number(name, 1024, 2 * MAX_SIDE) for name in ("final_width", "final_height"))
    return images(width, height, max(node.media.batch, 1))
