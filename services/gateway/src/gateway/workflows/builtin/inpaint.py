"""The built-in workflow ``inpaint``."""

from contracts.gateway.submissions import Submission
from gateway.workflows.builtin import image_to_image
from gateway.workflows.builtin.image_to_image import picture, repeat, resizes, scale
from gateway.workflows.builtin.nodes import Graph, Origins, node, sampled

NAME = "inpaint"
DENOISE = 1.0  # nothing of what was under the mask is kept
ORIGINS: Origins = {
    **image_to_image.ORIGINS,
    ("mask_image", "image"): "/mask",
    ("mask", "image"): "/mask",
    ("mask_scaled", "width"): "/width",
    ("mask_scaled", "height"): "/height",
}


def build(submission: Submission, *, model: str, seed: int) -> Graph:
    """An uploaded picture, with the prompt where the mask is white.

    By a noise mask, which works with any checkpoint; ``VAEEncodeForInpaint`` would need one that was made for it.
    """
    image, pixels = picture(submission)
    repeated, latent = repeat(submission, "masked")
    denoise = DENOISE if submission.denoise is None else submission.denoise
    return {
        **image,
        **_mask(submission),
        "encoded": node("VAEEncode", pixels=[pixels, 0], vae=["checkpoint", 2]),
        "masked": node("SetLatentNoiseMask", samples=["encoded", 0], mask=["mask", 0]),
        **repeated,
        **sampled(submission, model=model, seed=seed, latent=latent, denoise=denoise),
    }


def _mask(submission: Submission) -> Graph:
    """The mask, scaled and cut as the picture is, so that they still lie on each other."""
    if not resizes(submission):
        return {"mask": node("LoadImageMask", image=submission.mask, channel="red")}
    return {
        "mask_image": node("LoadImage", image=submission.mask),
        "mask_scaled": scale(submission, "mask_image"),
        "mask": node("ImageToMask", image=["mask_scaled", 0], channel="red"),
    }
