"""The built-in workflow ``image-to-image``."""

from collections.abc import Mapping
from typing import NamedTuple

from contracts.gateway.submissions import Submission
from contracts.scheduler.submissions import InvalidWorkflow
from contracts.wire.errors import FieldError
from gateway.workflows.builtin import nodes as prompt_graph
from gateway.workflows.builtin.nodes import FieldPointers, Graph, build_node, build_sampling_nodes

NAME = "image-to-image"
DEFAULT_DENOISE = 0.75  # "strength" in diffusers: the image stays recognizable, and the prompt has an effect
MIN_SIDE = 8  # px per side; a VAE fails with less
MAX_SIDE = 2048  # px per side, the maximum of ``width`` and ``height``
SIZE_FIELDS = frozenset({"width", "height"})
_ALTERNATIVES = {
    "/image": "or leave out width and height",
    "/mask": "or send a mask with the aspect ratio of the image",
}
FIELD_POINTERS: FieldPointers = {
    **prompt_graph.FIELD_POINTERS,
    ("image", "image"): "/image",
    ("scaled", "width"): "/width",
    ("scaled", "height"): "/height",
    ("repeated", "amount"): "/num_images",
    ("sampler", "denoise"): "/denoise",
}


class Size(NamedTuple):
    """The size of an image in pixels."""

    width: int
    height: int


def build_graph(submission: Submission, *, model: str, seed: int) -> Graph:
    """Return the graph: images of the prompt, from an uploaded image."""
    image, pixels = build_image_nodes(submission)
    repeated, latent = build_repeat_nodes(submission, "encoded")
    denoise = DEFAULT_DENOISE if submission.denoise is None else submission.denoise
    return {
        **image,
        "encoded": build_node("VAEEncode", pixels=[pixels, 0], vae=["checkpoint", 2]),
        **repeated,
        **build_sampling_nodes(submission, model=model, seed=seed, latent=latent, denoise=denoise),
    }


def build_image_nodes(submission: Submission) -> tuple[Graph, str]:
    """Return the nodes that load the uploaded image, scaled if a size was requested; and the node with the result."""
    loaded = {"image": build_node("LoadImage", image=submission.image)}
    return (
        (loaded | {"scaled": build_scale_node(submission, "image")}, "scaled")
        if is_size_requested(submission)
        else (loaded, "image")
    )


def is_size_requested(submission: Submission) -> bool:
    """Whether a size was requested. Otherwise the image keeps its size, rounded down to a multiple of 8."""
    return bool(submission.model_fields_set & SIZE_FIELDS)


def fit_to_image(submission: Submission, sizes: Mapping[str, Size]) -> Submission:
    """Return the submission with both sides, or with none if the image needs no scaling.

    A missing side follows from the aspect ratio. Both are within ``MIN_SIDE`` and ``MAX_SIDE``.

    Raises:
        InvalidWorkflow: cropping the image or mask to the requested aspect ratio would leave less than a pixel.
    """
    image = sizes.get(submission.image or "")
    if image is None:  # the scheduler refuses it, or replays a job accepted earlier
        return submission
    fitted = _set_both_sides(submission, image)
    if is_size_requested(fitted):
        names = (("/image", fitted.image), ("/mask", fitted.mask))
        cropped = [(pointer, sizes[name]) for pointer, name in names if name and name in sizes]
        errors = [
            _build_shape_error(pointer, size, fitted)
            for pointer, size in cropped
            if min(_compute_size_after_crop(size, fitted)) < 1
        ]
        if errors:
            raise InvalidWorkflow(tuple(errors))
    return fitted


def _set_both_sides(submission: Submission, size: Size) -> Submission:
    requested = submission.model_fields_set & SIZE_FIELDS
    if requested == SIZE_FIELDS:
        return submission
    if requested:
        scale_by = submission.width / size.width if "width" in requested else submission.height / size.height
    else:
        scale_by = max(MIN_SIDE / min(size), min(1.0, MAX_SIDE / max(size)))
    sides = {"width": _round_side(size.width * scale_by), "height": _round_side(size.height * scale_by)}
    if not requested and sides == size._asdict():
        return submission
    return submission.model_copy(update=sides)


def _round_side(pixels: float) -> int:
    return min(max(MIN_SIDE, round(pixels)), MAX_SIDE)


def _compute_size_after_crop(size: Size, requested: Submission) -> Size:
    """Return the part of an image that a node crops before it scales it, computed exactly as ComfyUI does."""
    width, height = size
    old, new = width / height, requested.width / requested.height
    if old > new:
        return Size(width - 2 * round((width - width * (new / old)) / 2), height)
    return Size(width, height - 2 * round((height - height * (old / new)) / 2))


def _build_shape_error(pointer: str, size: Size, requested: Submission) -> FieldError:
    message = (
        f"Cropped to the aspect ratio of {requested.width} x {requested.height}, less than a pixel would be left of "
        f"its {size.width} x {size.height}. Choose an aspect ratio closer to its own, {_ALTERNATIVES[pointer]}."
    )
    return FieldError(pointer=pointer, code="image_shape", message=message)


def build_scale_node(submission: Submission, image: str) -> dict[str, object]:
    """Return a node that scales the image to the requested size, cropping it to that shape.

    Both sides are set: for a missing one a node would compute a side without an upper bound.
    """
    return build_node(
        "ImageScale",
        image=[image, 0],
        upscale_method="lanczos",
        width=submission.width,
        height=submission.height,
        crop="center",
    )


def build_repeat_nodes(submission: Submission, latent: str) -> tuple[Graph, str]:
    """Return the node that repeats the latent (none for one image) and the id of the node that outputs the result."""
    if submission.num_images == 1:
        return {}, latent
    return {"repeated": build_node("RepeatLatentBatch", samples=[latent, 0], amount=submission.num_images)}, "repeated"
