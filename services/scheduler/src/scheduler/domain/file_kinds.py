"""Checks that an uploaded file is of a kind that its input takes.

ComfyUI itself notices only while the graph runs: an audio file in ``LoadImage`` fails on the node or is misread.
"""

import re
from collections.abc import Iterator, Mapping
from types import MappingProxyType
from typing import Any

from contracts.file_types import FILE_TYPES, FileKind
from contracts.graph_policy.registry import find_stock_class
from contracts.workflow import Graph
from scheduler.domain.catalog import Catalog
from scheduler.domain.validation.findings import Finding, GraphFault

Kinds = frozenset[FileKind]

_IMAGE, _VIDEO = frozenset({FileKind.IMAGE}), frozenset({FileKind.VIDEO})
_SOUND = frozenset({FileKind.AUDIO, FileKind.VIDEO})  # audio loaders also take the sound track of a video
_LATENT, _MODEL = frozenset({FileKind.LATENT}), frozenset({FileKind.MODEL_3D})
_PARTS_3D = dict.fromkeys(("image.image", "image.mask", "image.normal", "image.lineart"), _IMAGE) | {
    "image.recording": _VIDEO
}
_KINDS_OF_STOCK_INPUTS: Mapping[str, Mapping[str, Kinds]] = MappingProxyType({
    "LoadImage": {"image": _IMAGE},
    "LoadImageMask": {"image": _IMAGE},
    "LoadImageOutput": {"image": _IMAGE},
    "WebcamCapture": {"image": _IMAGE},
    "Painter": {"mask": _IMAGE},
    "LoadAudio": {"audio": _SOUND},
    "RecordAudio": {"audio": _SOUND},
    "LoadVideo": {"file": _VIDEO},
    "LoadLatent": {"latent": _LATENT},
    "Load3D": {"model_file": _MODEL, **_PARTS_3D},
    "Load3DAnimation": {"model_file": _MODEL, **_PARTS_3D},
    "Load3DAdvanced": {"model_file": _MODEL},
})  # fmt: skip
_KINDS_BY_WORD: Mapping[str, Kinds] = MappingProxyType({
    "image": _IMAGE, "mask": _IMAGE, "video": _VIDEO, "audio": _SOUND, "sound": _SOUND, "latent": _LATENT,
    "mesh": _MODEL,
})  # fmt: skip
"""Kinds that inputs of custom classes take, by the last word of the input's name (VHS_LoadVideo.video)."""
_KIND_NAMES = MappingProxyType({
    FileKind.IMAGE: "an image", FileKind.VIDEO: "a video", FileKind.AUDIO: "a sound", FileKind.LATENT: "a latent",
    FileKind.MODEL_3D: "a 3D file",
})  # fmt: skip
_LAST_WORD = re.compile(r"[A-Za-z]?[a-z]+(?=[\d_]*$)")


def check_file_kinds(graph: Graph, catalog: Catalog, types: Mapping[str, str]) -> Iterator[Finding]:
    """Find inputs that name an upload of a kind that they do not take.

    Args:
        graph: the graph as a node of this catalog accepts it.
        catalog: the catalog of the node.
        types: media types of uploads by id. Uploads of unknown types are not checked.
    """
    kinds = {upload: FILE_TYPES[media_type].kind for upload, media_type in types.items() if media_type in FILE_TYPES}
    if not kinds:
        return
    for node_id, node in graph.items():
        spec = catalog.classes.get(node.class_type)
        for name, part, value in _iterate_texts(node.inputs):
            if (kind := kinds.get(value)) is None:
                continue
            input_path = f"{name}.{part}" if part else name
            is_stock = spec is not None and find_stock_class(node.class_type, spec.module) is not None
            accepted = (
                _KINDS_OF_STOCK_INPUTS.get(node.class_type, {}).get(input_path)
                if is_stock
                else _find_kinds_by_input_name(input_path)
            )
            if accepted is not None and kind not in accepted:
                yield Finding(
                    _build_kind_fault(f"{node.class_type}.{input_path}", accepted, kind, types[value]), node_id, name
                )


def _iterate_texts(inputs: Mapping[str, Any]) -> Iterator[tuple[str, str, str]]:
    """Yield the strings in inputs, and in the parts of inputs that are objects: input, part and string."""
    for name, value in inputs.items():
        if isinstance(value, str):
            yield name, "", value
        elif isinstance(value, dict):
            yield from ((name, part, inner) for part, inner in value.items() if isinstance(inner, str))


def _find_kinds_by_input_name(input_path: str) -> Kinds | None:
    word = _LAST_WORD.search(input_path.rpartition(".")[2])
    return _KINDS_BY_WORD.get(word[0].lower()) if word is not None else None


def _build_kind_fault(label: str, accepted: Kinds, kind: FileKind, media_type: str) -> GraphFault:
    wanted = " or ".join(_KIND_NAMES[accepted_kind] for accepted_kind in FileKind if accepted_kind in accepted)
    message = (
        f"{label} takes {wanted}, and this upload is {_KIND_NAMES[kind]} ({media_type}). "
        f"Use an upload that is {wanted}."
    )
    return GraphFault("upload_of_wrong_kind", message)
