"""Parts shared by the graphs of built-in workflows, made of stock nodes that every ComfyUI from 0.3.64 to 0.33 has."""

from collections.abc import Iterable, Mapping
from typing import Any

from contracts.gateway.submissions import Submission
from contracts.wire.errors import FieldError

CHECKPOINT_INPUT = "CheckpointLoaderSimple.ckpt_name"
MAX_SEED = 2**63 - 1  # largest generated seed; clients can send up to 2^64 - 1

Graph = dict[str, Any]
FieldPointers = Mapping[tuple[str, str], str]
"""From (node id, input) to the JSON Pointer of the field of a submission that sets the input."""

FIELD_POINTERS: FieldPointers = {
    ("checkpoint", "ckpt_name"): "/model",
    ("sampler", "sampler_name"): "/sampler",
    ("sampler", "scheduler"): "/scheduler",
    ("sampler", "steps"): "/steps",
    ("sampler", "cfg"): "/cfg_scale",
    ("sampler", "seed"): "/seed",
    ("positive", "text"): "/prompt",
    ("negative", "text"): "/negative_prompt",
}


def build_node(class_type: str, **inputs: Any) -> dict[str, Any]:
    """Return a node of a graph."""
    return {"class_type": class_type, "inputs": inputs}


def build_sampling_nodes(submission: Submission, *, model: str, seed: int, latent: str, denoise: float) -> Graph:
    """Return the nodes from a latent to saved images.

    Args:
        submission: prompt and sampling options.
        model: name of the checkpoint.
        seed: seed of the sampler.
        latent: id of the node with the latent.
        denoise: how much of the latent is replaced, 0.01 to 1.
    """
    return {
        "checkpoint": build_node("CheckpointLoaderSimple", ckpt_name=model),
        "positive": build_node("CLIPTextEncode", text=submission.prompt, clip=["checkpoint", 1]),
        "negative": build_node("CLIPTextEncode", text=submission.negative_prompt, clip=["checkpoint", 1]),
        "sampler": build_node(
            "KSampler",
            model=["checkpoint", 0],
            positive=["positive", 0],
            negative=["negative", 0],
            latent_image=[latent, 0],
            seed=seed,
            steps=submission.steps,
            cfg=submission.cfg_scale,
            sampler_name=submission.sampler,
            scheduler=submission.scheduler,
            denoise=denoise,
        ),
        "decoded": build_node("VAEDecode", samples=["sampler", 0], vae=["checkpoint", 2]),
        "saved": build_node("SaveImage", images=["decoded", 0], filename_prefix="comfyfleet"),
    }


def relocate_errors(errors: Iterable[FieldError], field_pointers: FieldPointers) -> tuple[FieldError, ...]:
    """Return the errors with pointers to fields of the submission instead of nodes, which the client has not sent."""
    return tuple(_relocate_error(error, field_pointers) for error in errors)


def _relocate_error(error: FieldError, field_pointers: FieldPointers) -> FieldError:
    pointer = field_pointers.get((error.node_id or "", error.input or ""), "")
    message = error.message
    label, _, rest = message.partition(f".{error.input} ")
    if pointer and rest and label.isidentifier():  # the message begins with the class and the input of the node
        message = f'"{pointer.removeprefix("/")}" {rest}'
    return error.model_copy(update={"pointer": pointer, "message": message, "node_id": None, "input": None})
