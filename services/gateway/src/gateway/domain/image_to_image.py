"""The built-in workflow ``image-to-image``."""

from contracts.gateway import Submission
from gateway.domain import prompt_graph
from gateway.domain.prompt_graph import Graph, Origins, node, sampled

NAME = "image-to-image"
DENOISE = 0.75  # what diffusers calls strength: the picture is still to be seen, and there is room for the prompt
SMALLEST = 8  # px on a side; a VAE makes one of so many, and fails with less
LARGEST = 2048  # px on a side, as ``width`` and ``height`` are bounded
SIDES = frozenset({"width", "height"})
ORIGINS: Origins = {
    **prompt_graph.ORIGINS,
    ("image", "image"): "/image",
    ("scaled", "width"): "/width",
    ("scaled", "height"): "/height",
    ("repeated", "amount"): "/num_images",
    ("sampler", "denoise"): "/denoise",
}


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


def fitted(submission: Submission, *, width: int, height: int) -> Submission:
    """The same for a picture of this size, pixels: with both sides, or with none if the picture is taken as it is.

    One side alone keeps its shape. All are within ``SMALLEST`` and ``LARGEST``, whatever the shape is.
    """
    asked = submission.model_fields_set & SIDES
    if asked == SIDES:
        return submission
    if asked:
        scale_by = submission.width / width if "width" in asked else submission.height / height
    else:
        scale_by = min(1.0, LARGEST / max(width, height))
    sides = {"width": _side(width * scale_by), "height": _side(height * scale_by)}
    if not asked and sides == {"width": width, "height": height}:
        return submission
    return submission.model_copy(update=sides)


def _side(pixels: float) -> int:
    return min(max(SMALLEST, round(pixels)), LARGEST)


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
