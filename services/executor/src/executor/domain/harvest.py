"""From a node's history entry to what the prompt made."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import islice
from typing import Any

from contracts.scheduler import OutputKind
from executor.domain.media import medium_of
from executor.domain.node_text import is_addressable, name_of, shown_file_name

STORED_TYPES = frozenset({"output", "temp"})  # "input" names what was given, not what was made
MOST = 10_000  # outputs; a job may have fewer, and is told so by their number
MAX_DEPTH = 32  # of what a node reports; files lie two or three deep


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
    def addressable(self) -> bool:
        """Whether any request reaches it."""
        return self.text is not None or is_addressable(self.filename, self.subfolder)

    @property
    def temporary(self) -> bool:
        """Whether the node meant it as a preview."""
        return self.folder == "temp"


def harvest(entry: Mapping[str, Any], graph: Mapping[str, Any]) -> list[Found]:
    """Everything that a prompt made, in the order of the graph's nodes, nothing twice, ``MOST`` at most.

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
            if len(found) >= MOST:
                return list(found.values())
    return list(found.values())


def _owner(made_by: str, meta: Mapping[str, Any], graph: Mapping[str, Any]) -> str:
    """The node of the graph that stands for a node that made something; expanded nodes are not in the graph."""
    known = meta.get(made_by)
    shown = known.get("display_node") if isinstance(known, Mapping) else None
    return shown if isinstance(shown, str) and shown in graph else made_by


def _of_node(node_id: str, output: Any) -> list[Found]:
    node_id = name_of(node_id) or ""
    files = [_file(node_id, entry) for entry in islice(_entries(output), MOST)]
    made = [item for item in files if item is not None]
    return made or _texts(node_id, output)


def _entries(value: Any) -> Iterator[Mapping[str, Any]]:
    """Every object with a file name, in order, down to ``MAX_DEPTH``."""
    waiting = [(value, 0)]
    while waiting:
        one, depth = waiting.pop()
        if isinstance(one, Mapping) and isinstance(one.get("filename"), str):
            yield one
        elif depth < MAX_DEPTH and isinstance(one, Mapping | list):
            inner = list(one.values()) if isinstance(one, Mapping) else one
            waiting.extend((part, depth + 1) for part in reversed(inner))


def _file(node_id: str, entry: Mapping[str, Any]) -> Found | None:
    filename, subfolder, folder = entry["filename"], entry.get("subfolder", ""), entry.get("type", "output")
    if not filename or not isinstance(folder, str) or folder not in STORED_TYPES or not isinstance(subfolder, str):
        return None
    kind, content_type = medium_of(filename)
    return Found(
        node_id=node_id,
        name=shown_file_name(filename),
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
            name=shown_file_name(f"{node_id}.txt" if number == 1 else f"{node_id}-{number}.txt"),
            kind=kind,
            content_type=content_type,
            text=text,
        )
        for number, text in enumerate(islice((text for text in texts if isinstance(text, str)), MOST), start=1)
    ]
