"""The built-in workflow ``text-to-image``: stock nodes that every ComfyUI has."""

from collections.abc import Iterable
from typing import Any

from contracts.gateway import Submission
from contracts.wire.errors import FieldError

NAME = "text-to-image"
CUSTOM = "custom"
CHECKPOINTS = "CheckpointLoaderSimple.ckpt_name"
MAX_SEED = 2**63 - 1  # of those we draw; clients may send up to 2^64 - 1

_ASKED_BY = {
    ("checkpoint", "ckpt_name"): "/model",
    ("sampler", "sampler_name"): "/sampler",
    ("sampler", "scheduler"): "/scheduler",
    ("sampler", "steps"): "/steps",
    ("sampler", "cfg"): "/cfg_scale",
    ("sampler", "seed"): "/seed",
    ("canvas", "width"): "/width",
    ("canvas", "height"): "/height",
    ("canvas", "batch_size"): "/num_images",
    ("positive", "text"): "/prompt",
    ("negative", "text"): "/negative_prompt",
}


def build(submission: Submission, *, model: str, seed: int) -> dict[str, Any]:
    """The graph of a submission with a ``prompt``; ``seed`` stands in where it left that open (-1)."""
    return {
        "checkpoint": _node("CheckpointLoaderSimple", ckpt_name=model),
        "positive": _node("CLIPTextEncode", text=submission.prompt, clip=["checkpoint", 1]),
        "negative": _node("CLIPTextEncode", text=submission.negative_prompt, clip=["checkpoint", 1]),
        "canvas": _node(
            "EmptyLatentImage", width=submission.width, height=submission.height, batch_size=submission.num_images
        ),
        "sampler": _node(
            "KSampler",
            model=["checkpoint", 0],
            positive=["positive", 0],
            negative=["negative", 0],
            latent_image=["canvas", 0],
            seed=seed if submission.seed == -1 else submission.seed,
            steps=submission.steps,
            cfg=submission.cfg_scale,
            sampler_name=submission.sampler,
            scheduler=submission.scheduler,
            denoise=1.0,
        ),
        "decoded": _node("VAEDecode", samples=["sampler", 0], vae=["checkpoint", 2]),
        "saved": _node("SaveImage", images=["decoded", 0], filename_prefix="comfyfleet"),
    }


def explain(errors: Iterable[FieldError]) -> tuple[FieldError, ...]:
    """The same errors, pointing at the field that the client sent instead of at a node that it never saw."""
    return tuple(_explained(error) for error in errors)


def _explained(error: FieldError) -> FieldError:
    pointer = _ASKED_BY.get((error.node_id or "", error.input or ""), "")
    return error.model_copy(update={"pointer": pointer, "node_id": None, "input": None})


def _node(class_type: str, **inputs: Any) -> dict[str, Any]:
    return {"class_type": class_type, "inputs": inputs}
