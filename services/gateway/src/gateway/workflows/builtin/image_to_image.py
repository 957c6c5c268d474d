"""The built-in workflow ``image-to-image``."""

from collections.abc import Mapping
from typing import NamedTuple

from contracts.gateway.submissions import Submission
from contracts.scheduler.submissions import InvalidWorkflow
from contracts.wire.errors import FieldError
from gateway.workflows.builtin import nodes as prompt_graph
from gateway.workflows.builtin.nodes import Graph, Origins, node, sampled

NAME = "image-to-image"
DENOISE = 0.75  # what diffusers calls strength: the picture is still to be seen, and there is room for the prompt
SMALLEST = 8  # px on a side; a VAE makes one of so many, and fails with less
LARGEST = 2048  # px on a side, as ``width`` and ``height`` are bounded
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
    """Of a picture, pixels."""

    width: int
    height: int


def build(submission: Submission, *, model: str, seed: int) -> Graph:
    """Pictures of the prompt, from an uploaded one."""
    image, pixels = picture(submission)
    repeated, latent = repeat(submission, "encoded")
    denoise = DENOISE if submission.denoise is None else submission.denoise
    return {
        **image,
        "encoded": node("VAEEncode", pixels=[pixels, 0], vae=["checkpoint", 2]),
        **repeated,
        **sampled(submission, model=model, seed=seed, latent=latent, denoise=denoise),
    }


def picture(submission: Submission) -> tuple[Graph, str]:
    """The uploaded picture, in the size that was asked for if one was; and the node that gives it."""
    loaded = {"image": node("LoadImage", image=submission.image)}
    return (loaded | {"scaled": scale(submission, "image")}, "scaled") if resizes(submission) else (loaded, "image")


def resizes(submission: Submission) -> bool:
    """Whether a size was asked for. Otherwise a picture keeps its own, but for what is beyond a multiple of 8."""
    return bool(submission.model_fields_set & SIDES)


def fitted(submission: Submission, sizes: Mapping[str, Size]) -> Submission:
    """The same for uploads of these sizes: with both sides, or with none if the picture is taken as it is.

    Less than two sides keep its shape. All are within ``SMALLEST`` and ``LARGEST``, whatever the shape is.

    Raises:
        InvalidWorkflow: nothing would be left of the picture or its mask where it is cut to the sides asked for.
    """
    image = sizes.get(submission.image or "")
    if image is None:  # the scheduler says so, or that the job was accepted while it was there
        return submission
    whole = _with_both_sides(submission, image)
    if resizes(whole):
        named = (("/image", whole.image), ("/mask", whole.mask))
        cut = [(pointer, sizes[one]) for pointer, one in named if one and one in sizes]
        errors = [_too_far(pointer, size, whole) for pointer, size in cut if min(_left(size, whole)) < 1]
        if errors:
            raise InvalidWorkflow(tuple(errors))
    return whole


def _with_both_sides(submission: Submission, size: Size) -> Submission:
    asked = submission.model_fields_set & SIDES
    if asked == SIDES:
        return submission
    if asked:
        scale_by = submission.width / size.width if "width" in asked else submission.height / size.height
    else:
        scale_by = max(SMALLEST / min(size), min(1.0, LARGEST / max(size)))
    sides = {"width": _side(size.width * scale_by), "height": _side(size.height * scale_by)}
    if not asked and sides == size._asdict():
        return submission
    return submission.model_copy(update=sides)


def _side(pixels: float) -> int:
    return min(max(SMALLEST, round(pixels)), LARGEST)


def _left(size: Size, wanted: Submission) -> Size:
    """What a node leaves of a picture before it scales it: ComfyUI's own arithmetic, to the last bit."""
    width, height = size
    old, new = width / height, wanted.width / wanted.height
    if old > new:
        return Size(width - 2 * round((width - width * (new / old)) / 2), height)
    return Size(width, height - 2 * round((height - height * (old / new)) / 2))


def _too_far(pointer: str, size: Size, wanted: Submission) -> FieldError:
    message = (
        f"Cut to the shape of {wanted.width} x {wanted.height}, less than a pixel would be left of its {size.width} x "
        f"{size.height}. Ask for a shape nearer to its own, {_WAYS_OUT[pointer]}."
    )
    return FieldError(pointer=pointer, code="image_shape", message=message)


def scale(submission: Submission, image: str) -> dict[str, object]:
    """A picture that fills the size asked for, cut where its shape is another.

    Both sides are told: of one alone a node makes the other by the picture's shape, and that has no bound.
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
    """A latent as many times as pictures are wanted; and the node that gives it."""
    if submission.num_images == 1:
        return {}, latent
    return {"repeated": node("RepeatLatentBatch", samples=[latent, 0], amount=submission.num_images)}, "repeated"
