"""The built-in workflow ``image-to-image``."""

from collections.abc import Mapping
from typing import NamedTuple

from contracts.gateway.submissions import Submission
from contracts.scheduler.submissions import InvalidWorkflow
from contracts.wire.errors import FieldError
from gateway.workflows.builtin import nodes as prompt_graph
from gateway.workflows.builtin.nodes import Graph, Origins, build_sampling_nodes, node

NAME = "image-to-image"
DENOISE = 0.75  # "strength" in diffusers: the image stays recognizable, and the prompt has an effect
SMALLEST = 8  # px per side; a VAE fails with less
LARGEST = 2048  # px per side, the maximum of ``width`` and ``height``
SIDES = frozenset({"width", "height"})
_WAYS_OUT = {"/image": "or leave out width and height", "/mask": "or send a mask of the picture's shape"}
ORIGINS: Origins = {
    **prompt_graph.ORIGINS,
    ("image", "image"): "/image",
    ("scaled", "width"): "/width",
    ("scaled", "height"): "/height",
    ("repeated", "amount"): "/num_images",
    ("sampler", "denoise"): "/denoise",
}


class Size(NamedTuple):
    """Of an image, pixels."""

    width: int
    height: int


def build(submission: Submission, *, model: str, seed: int) -> Graph:
    """Return the graph: images of the prompt, from an uploaded image."""
    image, pixels = build_image_nodes(submission)
    repeated, latent = repeat(submission, "encoded")
    denoise = DENOISE if submission.denoise is None else submission.denoise
    return {
        **image,
        "encoded": node("VAEEncode", pixels=[pixels, 0], vae=["checkpoint", 2]),
        **repeated,
        **build_sampling_nodes(submission, model=model, seed=seed, latent=latent, denoise=denoise),
    }


def build_image_nodes(submission: Submission) -> tuple[Graph, str]:
    """Return the nodes that load the uploaded image, scaled if a size was requested; and the node with the result."""
    loaded = {"image": node("LoadImage", image=submission.image)}
    return (loaded | {"scaled": scale(submission, "image")}, "scaled") if is_resized(submission) else (loaded, "image")


def is_resized(submission: Submission) -> bool:
    """Whether a size was requested. Otherwise the image keeps its size, rounded down to a multiple of 8."""
    return bool(submission.model_fields_set & SIDES)


def fit_to_image(submission: Submission, sizes: Mapping[str, Size]) -> Submission:
    """Return the submission with both sides, or with none if the image needs no scaling.

    A missing side follows from the aspect ratio. Both are within ``SMALLEST`` and ``LARGEST``.

    Raises:
        InvalidWorkflow: cropping the image or mask to the requested shape would leave less than a pixel.
    """
    image = sizes.get(submission.image or "")
    if image is None:  # the scheduler refuses it, or replays a job accepted earlier
        return submission
    whole = _set_both_sides(submission, image)
    if is_resized(whole):
        named = (("/image", whole.image), ("/mask", whole.mask))
        cut = [(pointer, sizes[one]) for pointer, one in named if one and one in sizes]
        errors = [
            _build_shape_error(pointer, size, whole)
            for pointer, size in cut
            if min(_compute_size_after_crop(size, whole)) < 1
        ]
        if errors:
            raise InvalidWorkflow(tuple(errors))
    return whole


def _set_both_sides(submission: Submission, size: Size) -> Submission:
    requested = submission.model_fields_set & SIDES
    if requested == SIDES:
        return submission
    if requested:
        scale_by = submission.width / size.width if "width" in requested else submission.height / size.height
    else:
        scale_by = max(SMALLEST / min(size), min(1.0, LARGEST / max(size)))
    sides = {"width": _round_side(size.width * scale_by), "height": _round_side(size.height * scale_by)}
    if not requested and sides == size._asdict():
        return submission
    return submission.model_copy(update=sides)


def _round_side(pixels: float) -> int:
    return min(max(SMALLEST, round(pixels)), LARGEST)


def _compute_size_after_crop(size: Size, wanted: Submission) -> Size:
    """Return the part of an image that a node crops before it scales it, computed exactly as ComfyUI does."""
    width, height = size
    old, new = width / height, wanted.width / wanted.height
    if old > new:
        return Size(width - 2 * round((width - width * (new / old)) / 2), height)
    return Size(width, height - 2 * round((height - height * (old / new)) / 2))


def _build_shape_error(pointer: str, size: Size, wanted: Submission) -> FieldError:
    message = (
        f"Cut to the shape of {wanted.width} x {wanted.height}, less than a pixel would be left of its {size.width} x "
        f"{size.height}. Ask for a shape nearer to its own, {_WAYS_OUT[pointer]}."
    )
    return FieldError(pointer=pointer, code="image_shape", message=message)


def scale(submission: Submission, image: str) -> dict[str, object]:
    """Return a node that scales the image to the requested size, cropping it to that shape.

    Both sides are set: for a missing one a node would compute a side without an upper bound.
    """
    return node(
        "ImageScale",
        image=[image, 0],
        upscale_method="lanczos",
        width=submission.width,
        height=submission.height,
        crop="center",
    )


def repeat(submission: Submission, latent: str) -> tuple[Graph, str]:
    """Return the node that repeats a latent for each requested image, if needed; and the node with the result."""
    if submission.num_images == 1:
        return {}, latent
    return {"repeated": node("RepeatLatentBatch", samples=[latent, 0], amount=submission.num_images)}, "repeated"
