"""Extracts a prompt's outputs from its history entry.

A history entry lists by node and key what each node showed its user: ``{"9": {"images": [{"filename": ...}]}}``. Nodes
choose the keys and shapes, so every key is walked:

* an object with a ``filename`` is a file, at any depth down to ``MAX_DEPTH``;
* a string is a text, unless it names a file that this prompt wrote (``FoundOutput.possible_files``);
* any other value is kept as JSON;
* ``null``, the flag ``animated``, an empty list or object beside a file, and files of type "input" are not outputs.
"""

import json
import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from itertools import islice
from typing import Any

from contracts.scheduler.outputs import OutputKind, OutputSource
from executor.domain.expansion import find_root_node
from executor.domain.media_types import find_media_type
from executor.domain.named_files import NodeFilePath, list_possible_files
from executor.domain.node_text import clean_name, format_file_name, is_addressable, is_servable

STORED_TYPES = frozenset({"output", "temp"})
INPUT_TYPE = "input"
WEBSOCKET_SOURCE = "websocket"
FLAG_KEYS = frozenset({"animated"})  # describe the files beside them
TEXT_KEY = "text"  # contains texts by convention, never file names
MAX_OUTPUTS = 10_000  # outputs of a prompt
MAX_DEPTH = 32  # depth to which files are searched; usual depth is two or three
MAX_VALUES = 100  # values of one key that become separate outputs; a longer list is one output
SPLIT_TEXT = 32  # consecutive single characters: ComfyUI splits a text that a node returned without a list

TEXT_TYPE, JSON_TYPE = "text/plain; charset=utf-8", "application/json"


class ValueTooDeep(Exception):
    """A node reported a value nested too deeply for JSON."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FoundOutput:
    """One output: a file on the node, or bytes that are already here.

    Attributes:
        node_id: the graph node that it belongs to.
        reported_by: the node that reported it; differs from ``node_id`` for expanded nodes.
        key, position: key of the node's report, and index in the list under that key.
        filename: with ``subfolder`` and ``folder`` the exact name on the node; "" with ``content``.
        folder: ComfyUI's ``type``: "output" or "temp".
        content: the bytes, when there is no file on the node.
        possible_files: files that the text may name. It stands for the first of them that this prompt wrote, if it
            wrote one.
    """

    node_id: str
    reported_by: str = ""
    name: str
    kind: OutputKind
    content_type: str
    source: OutputSource = OutputSource.FILE
    key: str = ""
    position: int = 0
    filename: str = ""
    subfolder: str = ""
    folder: str = "output"
    content: bytes | None = None
    possible_files: tuple[NodeFilePath, ...] = ()

    @property
    def is_downloadable(self) -> bool:
        """Whether the output's bytes can be obtained."""
        if self.content is not None:
            return True
        return is_addressable(self.filename, self.subfolder) and is_servable(self.filename)

    @property
    def temporary(self) -> bool:
        """Whether the output is a preview."""
        return self.folder == "temp"

    def to_file_output(self, path: NodeFilePath) -> "FoundOutput":
        """Return the output as the file that its text names."""
        kind, content_type = find_media_type(path.filename)
        return FoundOutput(
            node_id=self.node_id,
            reported_by=self.reported_by,
            name=format_file_name(path.filename),
            kind=kind,
            content_type=content_type,
            key=self.key,
            position=self.position,
            filename=path.filename,
            subfolder=path.subfolder,
            folder=path.folder,
        )


def collect_outputs(entry: Mapping[str, Any], graph: Mapping[str, Any]) -> list[FoundOutput]:
    """Return all outputs of a prompt in the order of the graph's nodes, at most ``MAX_OUTPUTS``.

    A file named twice by one node is one output; a file named by two nodes is an output of each.

    Raises:
        ValueTooDeep: a value is nested too deeply for JSON.
    """
    outputs = entry.get("outputs")
    if not isinstance(outputs, Mapping):
        return []
    meta = entry.get("meta")
    owners = {
        reported_by: _find_display_node(reported_by, meta if isinstance(meta, Mapping) else {}, graph)
        for reported_by in outputs
    }
    positions = {node_id: position for position, node_id in enumerate(graph)}
    ordered = sorted(outputs, key=lambda reported_by: positions.get(owners[reported_by], len(positions)))
    found = (
        item
        for reported_by in ordered
        for item in _collect_from_node(owners[reported_by], reported_by, outputs[reported_by])
    )
    return list(islice(drop_duplicate_files(found), MAX_OUTPUTS))


def _find_display_node(reported_by: str, meta: Mapping[str, Any], graph: Mapping[str, Any]) -> str:
    """Return the graph node that displays a node's output; expanded nodes are not in the graph."""
    if reported_by in graph:
        return reported_by  # meta names another node when two graph nodes share a cache entry
    known = meta.get(reported_by)
    shown = known.get("display_node") if isinstance(known, Mapping) else None
    return shown if isinstance(shown, str) and shown in graph else find_root_node(reported_by, graph) or reported_by


def drop_duplicate_files(items: Iterable[FoundOutput]) -> Iterator[FoundOutput]:
    """Yield the outputs, each file of a node only once."""
    seen = set[tuple[str, str, str, str]]()
    for item in items:
        if item.content is None:
            file = (item.node_id, item.folder, item.subfolder, item.filename)
            if file in seen:
                continue
            seen.add(file)
        yield item


def _collect_from_node(node_id: str, reported_by: str, report: Any) -> Iterator[FoundOutput]:
    report = report if isinstance(report, Mapping) else {"": report}
    node = _NodeReportParser(clean_name(node_id) or "", reported_by)
    for key, reported in report.items():
        if key not in FLAG_KEYS:
            yield from node.parse_outputs(clean_name(key) or "", reported if isinstance(reported, list) else [reported])


@dataclass(frozen=True, slots=True)
class _NodeReportParser:
    node_id: str
    reported_by: str

    def parse_outputs(self, key: str, listed: list[Any]) -> Iterator[FoundOutput]:
        """Yield the outputs under one key, in order. The caller bounds their number."""
        files = [file for position, item in enumerate(listed) for file in self._parse_file_outputs(key, position, item)]
        yield from files
        values = [(position, item) for position, item in enumerate(listed) if _is_value(item)]
        if files or any(isinstance(value, str) and list_possible_files(value) for _, value in values):
            values = [(position, value) for position, value in values if value not in ([], {})]  # about the file
        texts = [value for _, value in values if isinstance(value, str)]
        if len(texts) == len(values) > SPLIT_TEXT and all(len(text) == 1 for text in texts):
            values = [(0, "".join(texts))]
        if len(values) > MAX_VALUES:
            yield self._build_json_output(key, 0, [value for _, value in values])
            return
        for position, value in values:
            yield (
                self._build_text_output(key, position, value)
                if isinstance(value, str)
                else self._build_json_output(key, position, value)
            )

    def _parse_file_outputs(self, key: str, position: int, item: Any) -> Iterator[FoundOutput]:
        for entry in islice(_iterate_file_entries(item), MAX_OUTPUTS):
            kind, content_type = find_media_type(entry["filename"])
            filename, subfolder = _split_file_path(entry)
            yield FoundOutput(
                node_id=self.node_id,
                reported_by=self.reported_by,
                name=format_file_name(entry["filename"]),
                kind=kind,
                content_type=content_type,
                key=key,
                position=position,
                filename=filename,
                subfolder=subfolder,
                folder=entry.get("type", "output"),
            )

    def _build_text_output(self, key: str, position: int, text: str) -> FoundOutput:
        try:
            content = text.encode()
        except UnicodeEncodeError:  # lone surrogates are valid in JSON but not in UTF-8
            return self._build_json_output(key, position, text)
        possible_files = () if key == TEXT_KEY else list_possible_files(text)
        return replace(self._build_value_output(key, position, content, TEXT_TYPE), possible_files=possible_files)

    def _build_json_output(self, key: str, position: int, value: Any) -> FoundOutput:
        return self._build_value_output(key, position, _to_json(value), JSON_TYPE)

    def _build_value_output(self, key: str, position: int, content: bytes, content_type: str) -> FoundOutput:
        parts = [self.node_id, "" if key == TEXT_KEY else key, str(position + 1) if position else ""]
        ending = "json" if content_type == JSON_TYPE else "txt"
        return FoundOutput(
            node_id=self.node_id,
            reported_by=self.reported_by,
            name=format_file_name(f"{'-'.join(filter(None, parts))}.{ending}"),
            kind=OutputKind.TEXT,
            content_type=content_type,
            source=OutputSource.VALUE,
            key=key,
            position=position,
            content=content,
        )


def _is_value(item: Any) -> bool:
    """Whether an item contains anything but files."""
    remaining = [item]
    while remaining:
        value = remaining.pop()
        if value is None or _is_file(value) or _is_input_file(value) or _is_websocket_image(value):
            continue
        if not isinstance(value, Mapping | list) or not value:
            return True
        remaining.extend(value.values() if isinstance(value, Mapping) else value)
    return False


def _iterate_file_entries(value: Any) -> Iterator[Mapping[str, Any]]:
    """Yield every object that names a file, in order, down to ``MAX_DEPTH``."""
    remaining = [(value, 0)]
    while remaining:
        item, depth = remaining.pop()
        if _is_file(item):
            yield item
        elif depth < MAX_DEPTH and isinstance(item, Mapping | list):
            inner = list(item.values()) if isinstance(item, Mapping) else item
            remaining.extend((part, depth + 1) for part in reversed(inner))


def _split_file_path(entry: Mapping[str, Any]) -> tuple[str, str]:
    """Return file name and subfolder as ``/view`` expects them: it ignores a folder inside the file name."""
    subfolder: str = entry.get("subfolder", "")
    inner, slash, filename = entry["filename"].rpartition("/")
    if not slash or not filename or inner[:1] in {"", "/"} or ".." in inner:
        return entry["filename"], subfolder
    return filename, f"{subfolder}/{inner}" if subfolder else inner


def _is_file(value: Any) -> bool:
    return _is_file_entry(value) and value.get("type", "output") in STORED_TYPES


def _is_input_file(value: Any) -> bool:
    return _is_file_entry(value) and value.get("type") == INPUT_TYPE


def _is_websocket_image(value: Any) -> bool:
    """Whether the entry stands for an image sent over the websocket."""
    return isinstance(value, Mapping) and value.get("source") == WEBSOCKET_SOURCE


def _is_file_entry(value: Any) -> bool:
    return (
        isinstance(value, Mapping)
        and isinstance(value.get("filename"), str)
        and value["filename"] != ""
        and isinstance(value.get("subfolder", ""), str)
        and isinstance(value.get("type", "output"), str)
    )


def _to_json(value: Any) -> bytes:
    """Return compact JSON in UTF-8. NaN and infinities, which ComfyUI can emit, are encoded as strings.

    Raises:
        ValueTooDeep: the value is nested too deeply.
    """
    try:
        return _encode_json(value, ensure_ascii=False)
    except UnicodeEncodeError:
        return _encode_json(value, ensure_ascii=True)


def _encode_json(value: Any, *, ensure_ascii: bool) -> bytes:
    try:
        try:
            text = json.dumps(value, ensure_ascii=ensure_ascii, allow_nan=False, separators=(",", ":"))
        except ValueError:
            text = json.dumps(
                _replace_non_finite(value), ensure_ascii=ensure_ascii, allow_nan=False, separators=(",", ":")
            )
    except RecursionError as error:
        raise ValueTooDeep from error
    return text.encode()


def _replace_non_finite(value: Any) -> Any:
    if isinstance(value, float) and not math.isfinite(value):
        return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"
    if isinstance(value, list):
        return [_replace_non_finite(item) for item in value]
    if isinstance(value, Mapping):
        return {key: _replace_non_finite(item) for key, item in value.items()}
    return value
