"""The built-in workflow ``text-to-image``."""

from contracts.gateway.submissions import Submission
from gateway.workflows.builtin import nodes as prompt_graph
from gateway.workflows.builtin.nodes import FieldPointers, Graph, build_node, build_sampling_nodes

NAME = "text-to-image"
FIELD_POINTERS: FieldPointers = {
    **prompt_graph.FIELD_POINTERS,
    ("canvas", "width"): "/width",
    ("canvas", "height"): "/height",
    ("canvas", "batch_size"): "/num_images",
}


def build_graph(submission: Submission, *, model: str, seed: int) -> Graph:
    """Return the graph: images of the prompt, from noise."""
    canvas = build_node(
        "EmptyLatentImage", width=submission.width, height=submission.height, batch_size=submission.num_images
    )
    return {"canvas": canvas, **build_sampling_nodes(submission, model=model, seed=seed, latent="canvas", denoise=1.0)}
