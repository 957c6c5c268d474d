"""From a node's history entry to what the prompt made."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from contracts.scheduler import OutputKind
from executor.domain.media import medium_of

STORED_TYPES = frozenset({"output", "temp"})  # "input" names what was given, not what was made
MAX_NAME = 200  # of what a tenant sees; file systems allow 255 bytes

_CONTROL = re.compile(r"[\x00-\x1f\x7f/\\]")


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """One output: a file on the node, or a text that is in the history itself.

    Attributes:
        filename: with ``subfolder`` and ``folder`` the exact name by which the node gives it out; "" for a text.
        folder: ComfyUI's ``type``: "output" or "temp".
    """

    node_id: str
    name: str
    kind: OutputKind
    content_type: str
    filename: str = ""
    subfolder: str = ""
    folder: str = "output"
    text: str | None = None

    @property
    def temporary(self) -> bool:
        """Whether the node meant it as a preview."""
        return self.folder == "temp"


def harvest(entry: Mapping[str, Any], graph: Mapping[str, Any]) -> list[Found]:
    """Everything that a prompt made, in the order of the graph's nodes, nothing twice.

    Nodes name their files under keys of their own (images, gifs, audio, 3d, ...), so every key is walked and every
    object with a ``filename`` is a file. Strings under ``text`` are texts, unless the node saved files beside them.
    """
    outputs = entry.get("outputs")
    if not isinstance(outputs, Mapping):
        return []
    meta = entry.get("meta")
    owners = {made_by: _owner(made_by, meta if isinstance(meta, Mapping) else {}, graph) for made_by in outputs}
    places = {node_id: place for place, node_id in enumerate(graph)}
    ordered = sorted(outputs, key=lambda made_by: places.get(owners[made_by], len(places)))
    found: dict[tuple[str, ...], Found] = {}
    for made_by in ordered:
        for item in _of_node(owners[made_by], outputs[made_by]):
            found.setdefault((item.folder, item.subfolder, item.filename or f"{made_by}/{item.name}"), item)
    return list(found.values())


def _owner(made_by: str, meta: Mapping[str, Any], graph: Mapping[str, Any]) -> str:
    """The node of the graph that stands for a node that made something; expanded nodes are not in the graph."""
    known = meta.get(made_by)
    shown = known.get("display_node") if isinstance(known, Mapping) else None
    return shown if isinstance(shown, str) and shown in graph else made_by


def _of_node(node_id: str, output: Any) -> list[Found]:
    files = [_file(node_id, entry) for entry in _entries(output)]
    made = [item for item in files if item is not None]
    return made or _texts(node_id, output)


def _entries(value: Any) -> Iterator[Mapping[str, Any]]:
    """Every object with a file name, however deep."""
    if isinstance(value, Mapping):
        if isinstance(value.get("filename"), str):
            yield value
        else:
            for inner in value.values():
                yield from _entries(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from _entries(inner)


def _file(node_id: str, entry: Mapping[str, Any]) -> Found | None:
    filename, subfolder, folder = entry["filename"], entry.get("subfolder", ""), entry.get("type", "output")
    if not filename or folder not in STORED_TYPES or not isinstance(subfolder, str):
        return None
    kind, content_type = medium_of(filename)
    return Found(
        node_id=node_id,
        name=_shown(filename.replace("\\", "/").rpartition("/")[2]),
        kind=kind,
        content_type=content_type,
        filename=filename,
        subfolder=subfolder,
        folder=folder,
    )


def _texts(node_id: str, output: Any) -> list[Found]:
    listed = output.get("text") if isinstance(output, Mapping) else None
    texts = [listed] if isinstance(listed, str) else listed if isinstance(listed, list) else []
    kind, content_type = medium_of("a.txt")
    return [
        Found(
            node_id=node_id,
            name=_shown(f"{node_id}.txt" if number == 1 else f"{node_id}-{number}.txt"),
            kind=kind,
            content_type=content_type,
            text=text,
        )
        for number, text in enumerate((text for text in texts if isinstance(text, str)), start=1)
    ]


def _shown(name: str) -> str:
    return _CONTROL.sub("_", name)[-MAX_NAME:]
