"""The built-in workflow ``inpaint``."""

from contracts.gateway.submissions import Submission
from gateway.workflows.builtin import image_to_image
from gateway.workflows.builtin.image_to_image import (
    build_image_nodes,
    build_repeat_nodes,
    build_scale_node,
    is_size_requested,
)
from gateway.workflows.builtin.nodes import FieldPointers, Graph, build_node, build_sampling_nodes

NAME = "inpaint"
DEFAULT_DENOISE = 1.0  # nothing under the mask is kept
FIELD_POINTERS: FieldPointers = {
    **image_to_image.FIELD_POINTERS,
    ("mask_image", "image"): "/mask",
    ("mask", "image"): "/mask",
    ("mask_scaled", "width"): "/width",
    ("mask_scaled", "height"): "/height",
}


def build_graph(submission: Submission, *, model: str, seed: int) -> Graph:
    """Return the graph: an uploaded image, repainted by the prompt where the mask is white.

    It uses a noise mask, which works with any checkpoint; ``VAEEncodeForInpaint`` needs a special one.
    """
    image, pixels = build_image_nodes(submission)
    repeated, latent = build_repeat_nodes(submission, "masked")
    denoise = DEFAULT_DENOISE if submission.denoise is None else submission.denoise
    return {
        **image,
        **_build_mask(submission),
        "encoded": build_node("VAEEncode", pixels=[pixels, 0], vae=["checkpoint", 2]),
        "masked": build_node("SetLatentNoiseMask", samples=["encoded", 0], mask=["mask", 0]),
        **repeated,
        **build_sampling_nodes(submission, model=model, seed=seed, latent=latent, denoise=denoise),
    }


def _build_mask(submission: Submission) -> Graph:
    """Return the mask, scaled and cropped like the image, so that they stay aligned."""
    if not is_size_requested(submission):
        return {"mask": build_node("LoadImageMask", image=submission.mask, channel="red")}
    return {
        "mask_image": build_node("LoadImage", image=submission.mask),
        "mask_scaled": build_scale_node(submission, "mask_image"),
        "mask": build_node("ImageToMask", image=["mask_scaled", 0], channel="red"),
    }
