"""The built-in workflow ``image-to-image``."""

from contracts.gateway import Submission
from gateway.domain import prompt_graph
from gateway.domain.prompt_graph import Graph, Origins, node, sampled

NAME = "image-to-image"
DENOISE = 0.75  # what diffusers calls strength: the picture is still to be seen, and there is room for the prompt
LARGEST = 2048  # px on a side, as ``width`` and ``height`` are bounded
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
    return bool(submission.model_fields_set & {"width", "height"})


def fitted(submission: Submission, *, width: int, height: int) -> Submission:
    """The same for a picture of this size, pixels: scaled to ``LARGEST`` on its longer side if that is more."""
    if max(width, height) <= LARGEST:
        return submission
    return submission.model_copy(update={"width" if width >= height else "height": LARGEST})


def scale(submission: Submission, image: str) -> dict[str, object]:
    """A picture that fills the size asked for, cut where its shape is another; one side alone keeps its shape."""
    asked = submission.model_fields_set
    return node(
        "ImageScale",
        image=[image, 0],
        upscale_method="lanczos",
        width=submission.width if "width" in asked else 0,
        height=submission.height if "height" in asked else 0,
        crop="center" if {"width", "height"} <= asked else "disabled",
    )


def repeat(submission: Submission, latent: str) -> tuple[Graph, str]:
    """A latent as many times as pictures are wanted; and the node that gives it."""
    if submission.num_images == 1:
        return {}, latent
    return {"repeated": node("RepeatLatentBatch", samples=[latent, 0], amount=submission.num_images)}, "repeated"
