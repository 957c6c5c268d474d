"""Bounds of stock classes that join, repeat, select or pass on images."""

from math import ceil, inf

from contracts.graph_size.node import MAX_LENGTH, MAX_SIDE, NodeInputs, Outputs, Rule
from contracts.graph_size.size import NOTHING, STILL, bounded, largest, number

LATENT_SIDE = 8
GUIDE_FRAMES = 8  # additional frames of a guide, at most


def bound_images_sized_like(*names: str) -> Rule:
    """Size of the first linked input of these, with the image count of the largest batch."""

    def rule(node: NodeInputs) -> Outputs:
        pattern, all_of = node.one(*names), node.media
        if not pattern.is_media:
            return all_of
        return all_of.resized(pattern.width, pattern.height, pixels=pattern.pixels, ratio=pattern.ratio)

    return rule


def bound_images_joined_like(*names: str) -> Rule:
    """Bound all images in one batch, resized to one of the inputs."""

    def rule(node: NodeInputs) -> Outputs:
        pattern, joined = node.one(*names), node.join_images()
        if not pattern.is_media:
            return joined
        return joined.resized(pattern.width, pattern.height, pixels=pattern.pixels, ratio=pattern.ratio)

    return rule


def bound_inputs_as_one_batch(node: NodeInputs) -> Outputs:
    """Bound all input images as one batch."""
    return node.join_images()


def bound_passed_through_input(*names: str) -> Rule:
    """Bound one input, unchanged."""

    def rule(node: NodeInputs) -> Outputs:
        return node.one(*names)

    return rule


def bound_repeated_images(most: int) -> Rule:
    """Images multiplied by the input ``amount``."""

    def rule(node: NodeInputs) -> Outputs:
        return node.media.times(max(node.number("amount", 1, most, counts=True), 1))

    return rule


def bound_interpolated_frames(node: NodeInputs) -> Outputs:
    """Frames multiplied by the input ``multiplier``."""
    return node.media.times(max(node.number("multiplier", 2, 16, counts=True), 1))


def bound_selected_images(name: str) -> Rule:
    """At most a given number of the input images; an unknown number changes nothing."""

    def rule(node: NodeInputs) -> Outputs:
        high = node.interval(name)[1]
        return node.media.limited(bounded(max(high, 1))) if high < inf else node.media

    return rule


def bound_rebatched_images(node: NodeInputs) -> Outputs:
    """Lists split into batches; if sizes differ, each image may become its own batch."""
    media = node.media
    batch = node.interval("batch_size")
    in_each, least = min(max(batch[1], 1), max(media.total, 1)), max(batch[0], 1)
    items = ceil(media.total / least) if media.items == 1 else media.total
    if node.class_type == "RebatchLatents":
        in_each = max(in_each, media.batch)  # the frames of one video stay together
    return media._replace(batch=bounded(in_each), items=max(items, 1))


def bound_inputs_as_list(node: NodeInputs) -> Outputs:
    """Bound all inputs as one list."""
    items, total = sum(size.items for size in node.links), sum(size.total for size in node.links)
    return largest(node.links)._replace(items=bounded(max(items, 1)), total=bounded(total))


def bound_batch_split_into_list(node: NodeInputs) -> Outputs:
    """Bound a list with one element per image."""
    media = node.media
    return media._replace(items=max(media.total, media.items, 1))


def bound_image_tiles(node: NodeInputs) -> Outputs:
    """Bound a list with one batch per tile."""
    media = node.media
    width, height = (node.number(name, 1024, MAX_SIDE) for name in ("tile_width", "tile_height"))
    least_width, least_height = node.interval("tile_width")[0], node.interval("tile_height")[0]
    overlap = node.number("overlap", 128, 4096)
    across = steps(media.width, max(least_width, 1), overlap)
    down = steps(media.height, max(least_height, 1), overlap)
    width, height = min(width, media.width), min(height, media.height)
    tile = media.resized(width, height, ratio=max(width, height, 1))
    tiles = bounded(across * down)
    return tile._replace(items=bounded(media.items * tiles), total=bounded(media.total * tiles))


def steps(side: int, tile: float, overlap: float) -> int:
    """Number of tiles that cover one side."""
    return ceil(max(side - tile, 0) / max(round(max(tile * 0.25, tile - overlap)), 1)) + 1


def bound_video_chunks(node: NodeInputs) -> Outputs:
    """Bound a list with one latent per chunk of a video; chunks overlap."""
    media, overlap = node.media, node.number("temporal_overlap", 0, MAX_LENGTH)
    most = bounded(media.batch * (1 + min(overlap, media.batch)))
    return (
        media._replace(items=bounded(max(media.batch, 1) * media.items), total=min(most * media.items, 2**53)),
        number(overlap, 0),
    )


def bound_merged_images(node: NodeInputs) -> Outputs:
    """Bound all elements of a list as one batch."""
    media = node.media
    return media._replace(batch=media.total, items=1)


def bound_concatenated_images(node: NodeInputs) -> Outputs:
    """Two latents joined along width, height or time."""
    first, second, joined = node.one("samples1"), node.one("samples2"), node.media
    dim = node.literal("dim")
    ratio = first.ratio + second.ratio
    wide = joined.resized(first.width + second.width, joined.height, ratio=ratio)
    high = joined.resized(joined.width, first.height + second.height, ratio=ratio)
    long = node.join_images()
    if isinstance(dim, str):
        return wide if "x" in dim else high if "y" in dim else long
    return largest((wide, high, long))


def bound_images_cut_to_batch(node: NodeInputs) -> Outputs:
    """Slices of each image as separate images."""
    media, dim, least = node.media, node.literal("dim"), max(node.interval("slice_size")[0], 1)
    if isinstance(dim, str) and "t" in dim:
        return media
    slices = max(media.width, media.height) / LATENT_SIDE / least
    return media.times(max(ceil(slices), 1))


def bound_guided_video(node: NodeInputs) -> Outputs:
    """Bound a video with additional guide frames."""
    latent, guide = node.one("latent"), node.one("image")
    return latent._replace(
        batch=bounded(latent.batch + guide.batch + GUIDE_FRAMES),
        total=bounded(latent.total + (guide.batch + GUIDE_FRAMES) * node.runs),
    )


def bound_video_components(node: NodeInputs) -> Outputs:
    """Frames, sound, frame rate and bit depth of a video."""
    return node.media.set_medium(STILL), NOTHING, number(1000, 0), number(16, 0)


def bound_unchanged_input(node: NodeInputs) -> Outputs:
    """Bound all input images, unchanged."""
    return node.media


def bound_decoded_images(node: NodeInputs) -> Outputs:
    """Images decoded from a latent."""
    return node.media.set_medium(STILL) if node.media.is_media else node.media


def bound_output_without_images(node: NodeInputs) -> Outputs:
    return NOTHING._replace(items=node.runs)
