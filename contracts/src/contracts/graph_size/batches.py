"""Upper bounds of the outputs of stock classes that join, repeat, select or pass on images."""

from math import ceil, inf

from contracts.graph_size.node import MAX_LENGTH, MAX_SIDE, NodeInputs, Outputs, Rule
from contracts.graph_size.size import EMPTY, STILL, clamp_bound, combine_maximums, number_size

LATENT_SIDE = 8
GUIDE_FRAMES = 8  # additional frames of a guide, at most


def bound_images_sized_like(*names: str) -> Rule:
    """Return the rule for the largest batch of the inputs, resized to the first of these inputs that is linked."""

    def bound_largest_batch(node: NodeInputs) -> Outputs:
        pattern, images = node.first_linked(*names), node.any_image
        if not pattern.is_media:
            return images
        return images.resized(pattern.width, pattern.height, pixels=pattern.pixels, ratio=pattern.ratio)

    return bound_largest_batch


def bound_images_joined_like(*names: str) -> Rule:
    """Return the rule for all input images in one batch, resized to the first of these inputs that is linked."""

    def bound_joined_images(node: NodeInputs) -> Outputs:
        pattern, joined = node.first_linked(*names), node.join_images()
        if not pattern.is_media:
            return joined
        return joined.resized(pattern.width, pattern.height, pixels=pattern.pixels, ratio=pattern.ratio)

    return bound_joined_images


def bound_inputs_as_one_batch(node: NodeInputs) -> Outputs:
    """Return an upper bound of the size of all input images as one batch."""
    return node.join_images()


def bound_passed_through_input(*names: str) -> Rule:
    """Return the rule for images that are those of the first of these inputs that is linked, unchanged."""

    def bound_input(node: NodeInputs) -> Outputs:
        return node.first_linked(*names)

    return bound_input


def bound_repeated_images(most: int) -> Rule:
    """Return the rule for repeated images: the input images, ``amount`` times as many."""

    def bound_repetitions(node: NodeInputs) -> Outputs:
        return node.any_image.multiply_count(max(node.max_number("amount", 1, most, counts=True), 1))

    return bound_repetitions


def bound_interpolated_frames(node: NodeInputs) -> Outputs:
    """Return an upper bound for interpolated frames: the input frames, ``multiplier`` times as many."""
    return node.any_image.multiply_count(max(node.max_number("multiplier", 2, 16, counts=True), 1))


def bound_selected_images(name: str) -> Rule:
    """Return the rule for selected images: at most as many as an input says, or all of them if its value is unknown."""

    def bound_selection(node: NodeInputs) -> Outputs:
        high = node.number_range(name)[1]
        return node.any_image.limit_count(clamp_bound(max(high, 1))) if high < inf else node.any_image

    return bound_selection


def bound_rebatched_images(node: NodeInputs) -> Outputs:
    """Return an upper bound for images that are split into batches. If sizes differ, each may become its own batch."""
    media = node.any_image
    batch = node.number_range("batch_size")
    in_each, least = min(max(batch[1], 1), max(media.total, 1)), max(batch[0], 1)
    items = ceil(media.total / least) if media.items == 1 else media.total
    if node.class_type == "RebatchLatents":
        in_each = max(in_each, media.batch)  # the frames of one video stay together
    return media._replace(batch=clamp_bound(in_each), items=max(items, 1))


def bound_inputs_as_list(node: NodeInputs) -> Outputs:
    """Return an upper bound of the size of all inputs as one list."""
    items, total = sum(size.items for size in node.linked_sizes), sum(size.total for size in node.linked_sizes)
    return combine_maximums(node.linked_sizes)._replace(items=clamp_bound(max(items, 1)), total=clamp_bound(total))


def bound_batch_split_into_list(node: NodeInputs) -> Outputs:
    """Return an upper bound of the size of a list with one element per image."""
    media = node.any_image
    return media._replace(items=max(media.total, media.items, 1))


def bound_image_tiles(node: NodeInputs) -> Outputs:
    """Return an upper bound of the size of a list with one batch per tile."""
    media = node.any_image
    width, height = (node.max_number(name, 1024, MAX_SIDE) for name in ("tile_width", "tile_height"))
    least_width, least_height = node.number_range("tile_width")[0], node.number_range("tile_height")[0]
    overlap = node.max_number("overlap", 128, 4096)
    across = count_tiles(media.width, max(least_width, 1), overlap)
    down = count_tiles(media.height, max(least_height, 1), overlap)
    width, height = min(width, media.width), min(height, media.height)
    tile = media.resized(width, height, ratio=max(width, height, 1))
    tiles = clamp_bound(across * down)
    return tile._replace(items=clamp_bound(media.items * tiles), total=clamp_bound(media.total * tiles))


def count_tiles(side: int, tile: float, overlap: float) -> int:
    """Return the number of tiles that cover one side."""
    return ceil(max(side - tile, 0) / max(round(max(tile * 0.25, tile - overlap)), 1)) + 1


def bound_video_chunks(node: NodeInputs) -> Outputs:
    """Return an upper bound of the size of a list with one latent per chunk of a video; chunks overlap."""
    media, overlap = node.any_image, node.max_number("temporal_overlap", 0, MAX_LENGTH)
    most = clamp_bound(media.batch * (1 + min(overlap, media.batch)))
    return (
        media._replace(items=clamp_bound(max(media.batch, 1) * media.items), total=min(most * media.items, 2**53)),
        number_size(overlap, 0),
    )


def bound_merged_images(node: NodeInputs) -> Outputs:
    """Return an upper bound of the size of all elements of a list as one batch."""
    media = node.any_image
    return media._replace(batch=media.total, items=1)


def bound_concatenated_images(node: NodeInputs) -> Outputs:
    """Return an upper bound of the size of two latents that are joined along width, height or time."""
    first, second, joined = node.first_linked("samples1"), node.first_linked("samples2"), node.any_image
    dim = node.literal("dim")
    ratio = first.ratio + second.ratio
    wide = joined.resized(first.width + second.width, joined.height, ratio=ratio)
    high = joined.resized(joined.width, first.height + second.height, ratio=ratio)
    long = node.join_images()
    if isinstance(dim, str):
        return wide if "x" in dim else high if "y" in dim else long
    return combine_maximums((wide, high, long))


def bound_images_cut_to_batch(node: NodeInputs) -> Outputs:
    """Return an upper bound of the size of the slices of each image, as separate images."""
    media, dim, least = node.any_image, node.literal("dim"), max(node.number_range("slice_size")[0], 1)
    if isinstance(dim, str) and "t" in dim:
        return media
    slices = max(media.width, media.height) / LATENT_SIDE / least
    return media.multiply_count(max(ceil(slices), 1))


def bound_guided_video(node: NodeInputs) -> Outputs:
    """Return an upper bound of the size of a video with additional guide frames."""
    latent, guide = node.first_linked("latent"), node.first_linked("image")
    return latent._replace(
        batch=clamp_bound(latent.batch + guide.batch + GUIDE_FRAMES),
        total=clamp_bound(latent.total + (guide.batch + GUIDE_FRAMES) * node.runs),
    )


def bound_video_components(node: NodeInputs) -> Outputs:
    """Return upper bounds of the frames, sound, frame rate and bit depth of a video."""
    return node.any_image.with_medium(STILL), EMPTY, number_size(1000, 0), number_size(16, 0)


def bound_unchanged_input(node: NodeInputs) -> Outputs:
    """Return an upper bound of the size of all input images, unchanged."""
    return node.any_image


def bound_decoded_images(node: NodeInputs) -> Outputs:
    """Return an upper bound of the size of the images that are decoded from a latent."""
    return node.any_image.with_medium(STILL) if node.any_image.is_media else node.any_image


def bound_output_without_images(node: NodeInputs) -> Outputs:
    """Return an upper bound for a node whose outputs contain no images: only the number of their items."""
    return EMPTY._replace(items=node.runs)
