"""Counts images against a daily quota. The same rule reserves at submit and settles when the job ends.

A still image counts 1. An animation or video counts 1 per ``frames_per_image`` frames, rounded up. A latent counts as
the images or video that it holds. Audio, text and 3D count 0. If a node both saves and previews, the larger of the two
counts.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum, auto
from math import ceil

from contracts.catalog import ClassSpec
from contracts.graph_size.analysis import GraphSize
from contracts.graph_size.node import UnresolvedInput
from contracts.graph_size.size import EMPTY, MOVING, SOUND, Size, bound_over_all_runs
from contracts.workflow import Graph, GraphNode, is_link

FRAMES_PER_IMAGE = 16
MAX_RESERVED_IMAGES = 100_000  # maximum of one job; no node can produce so many


class StoredForm(Enum):
    """How an output node stores its input."""

    STILLS = auto()
    VIDEO = auto()
    LATENTS = auto()
    NOT_COUNTED = auto()


_STOCK_FORMS: dict[str, StoredForm] = {
    **dict.fromkeys(
        ("SaveImage", "SaveImageAdvanced", "PreviewImage", "MaskPreview", "ImageCompare", "SaveSVGNode"),
        StoredForm.STILLS,
    ),
    **dict.fromkeys(("SaveImageDataSetToFolder", "SaveImageTextDataSetToFolder", "LossGraphNode"), StoredForm.STILLS),
    **dict.fromkeys(
        ("SaveAnimatedWEBP", "SaveAnimatedPNG", "SaveVideo", "SaveWEBM", "SAM3_TrackPreview"), StoredForm.VIDEO
    ),
    **dict.fromkeys(("SaveLatent", "SaveTrainingDataset"), StoredForm.LATENTS),
    **dict.fromkeys(
        (
            "SaveAudio", "SaveAudioMP3", "SaveAudioOpus", "SaveAudioAdvanced", "PreviewAudio", "SaveText", "PreviewAny",
            "SaveGLB", "Save3DAdvanced", "Preview3D", "Preview3DAdvanced", "Preview3DAnimation", "SaveGaussianSplat",
            "SavePointCloud", "PreviewGaussianSplat", "PreviewPointCloud", "SaveLoRA", "SaveLoRANode", "LoraSave",
            "ModelSave", "CheckpointSave", "ImageOnlyCheckpointSave", "CLIPSave", "VAESave", "CreateBoundingBoxes",
            "ImageCompositor",
        ),
        StoredForm.NOT_COUNTED,
    ),
}  # fmt: skip
_PREVIEWS = frozenset({"MaskPreview", "ImageCompare", "SAM3_TrackPreview"})
_STORES_BOTH_INPUTS = frozenset({"ImageCompare"})
_VIDEO_WORDS, _VIDEO_INPUTS = ("video", "webm", "gif", "animat"), frozenset({"fps", "frame_rate"})


@dataclass(frozen=True, slots=True)
class ImageCost:
    """Image quota that the outputs of one node use.

    Attributes:
        files: maximum number of stored files that count.
        images_per_file: images that each stored file counts as.
        previewed: whether the files are previews instead of saved files.
    """

    files: int
    images_per_file: int
    previewed: bool

    @property
    def total(self) -> int:
        """Images that all files count as."""
        return self.files * self.images_per_file


NO_COST = ImageCost(0, 0, previewed=False)


@dataclass(frozen=True, slots=True)
class Reservation:
    """Image quota that a graph uses.

    Attributes:
        images: upper bound, at most ``MAX_RESERVED_IMAGES``.
        unknown: linked numbers that had to be estimated.
    """

    images: int
    unknown: tuple[UnresolvedInput, ...]


def compute_reservation(size: GraphSize, frames_per_image: int = FRAMES_PER_IMAGE) -> Reservation:
    """Return the image quota to reserve for a graph."""
    saved = previewed = 0
    for node_id, node in size.graph.items():
        if not _is_output(node, size.specs):
            continue
        cost = compute_node_cost(size, node_id, frames_per_image)
        if cost.previewed:
            previewed += cost.total
        else:
            saved += cost.total
    unknown = tuple(number for number in size.unknown if number.counts)
    return Reservation(min(max(saved, previewed), MAX_RESERVED_IMAGES), unknown)


def compute_node_cost(size: GraphSize, node_id: str, frames_per_image: int = FRAMES_PER_IMAGE) -> ImageCost:
    """Return the cost of the files that a node stores."""
    node = size.graph[node_id]
    incoming = _find_incoming_images(size, node)
    stored_form = _STOCK_FORMS.get(node.class_type) or _guess_stored_form(node, incoming)
    previewed = node.class_type in _PREVIEWS or node.class_type.startswith("Preview")
    match stored_form:
        case StoredForm.STILLS:
            factor = 2 if node.class_type in _STORES_BOTH_INPUTS else 1
            return ImageCost(max(incoming.total, 1) * factor, 1, previewed)
        case StoredForm.VIDEO:
            return ImageCost(incoming.items, _count_moving_images(incoming, frames_per_image), previewed)
        case StoredForm.LATENTS if incoming.medium == SOUND:
            return NO_COST
        case StoredForm.LATENTS if incoming.medium == MOVING:
            return ImageCost(incoming.items, _count_moving_images(incoming, frames_per_image), previewed)
        case StoredForm.LATENTS:
            return ImageCost(incoming.items, max(incoming.batch, 1), previewed)
        case StoredForm.NOT_COUNTED:
            return NO_COST


def compute_file_cost(size: GraphSize, node_id: str, frames_per_image: int, *, latent: bool) -> int:
    """Return the images that one animation, video or latent of a node counts as; 1 if the node is not in the graph."""
    node = size.graph.get(node_id)
    if node is None:
        return 1
    incoming = _find_incoming_images(size, node)
    if latent and incoming.medium == SOUND:
        return 0
    return (
        max(incoming.batch, 1)
        if latent and incoming.medium != MOVING
        else _count_moving_images(incoming, frames_per_image)
    )


def stores_video(graph: Graph, node_id: str) -> bool:
    """Whether a node stores its images as an animation or a video."""
    node = graph.get(node_id)
    if node is None:
        return False
    stored_form = _STOCK_FORMS.get(node.class_type)
    return stored_form is StoredForm.VIDEO or (stored_form is None and _writes_moving_image(node))


def _count_moving_images(incoming: Size, frames_per_image: int) -> int:
    return max(ceil(incoming.batch / frames_per_image), 1)


def _find_incoming_images(size: GraphSize, node: GraphNode) -> Size:
    """Return an upper bound of the images that enter an output node over all its runs: the largest of its links."""
    largest, runs, lists = EMPTY, 1, 0
    for value in node.inputs.values():
        if is_link(value):
            found = size.outputs[value[0]]
            linked = found if isinstance(found, Size) else found[min(value[1], len(found) - 1)]
            runs, lists = max(runs, linked.items), lists + (linked.items > 1)
            if (linked.total, linked.medium) > (largest.total, largest.medium):
                largest = linked
    return bound_over_all_runs(largest, runs, lists)


def _is_output(node: GraphNode, specs: Mapping[str, ClassSpec]) -> bool:
    if node.class_type in _STOCK_FORMS:
        return True
    spec = specs.get(node.class_type)
    return spec is not None and spec.output_node


def _guess_stored_form(node: GraphNode, incoming: Size) -> StoredForm:
    """Estimate how a custom class stores its input, from the name and inputs of the class."""
    name = node.class_type.lower()
    if not incoming.is_media or "audio" in name:
        return StoredForm.NOT_COUNTED
    if _writes_moving_image(node):
        return StoredForm.VIDEO
    return StoredForm.LATENTS if "latent" in name else StoredForm.STILLS


def _writes_moving_image(node: GraphNode) -> bool:
    name = node.class_type.lower()
    return any(word in name for word in _VIDEO_WORDS) or not _VIDEO_INPUTS.isdisjoint(node.inputs)
