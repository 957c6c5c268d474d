"""Extracts a prompt's outputs from its history entry.

A history entry lists by node and key what each node showed its user: ``{"9": {"images": [{"filename": ...}]}}``. Nodes
choose the keys and shapes, so every key is walked:

* an object with a ``filename`` is a file, at any depth down to ``MAX_DEPTH``, if the file belongs to the attempt
  (``FileOwnership``);
* a string is a text, unless it names a file that this prompt wrote;
* any other value is kept as JSON, without the names that nodes chose for temporary files;
* ``null``, the flag ``animated``, an empty list or object beside a file, and input files are not outputs;
* a temporary file of an earlier prompt, which a node reports from ComfyUI's cache, is not an output.
"""

import json
import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import KW_ONLY, dataclass
from itertools import islice
from typing import Any, NamedTuple

from contracts.scheduler.outputs import OutputKind, OutputSource
from executor.domain.attempt_result import list_cached_nodes
from executor.domain.expansion import find_root_node
from executor.domain.file_ownership import FileOwnership, is_staged
from executor.domain.media_types import find_media_type
from executor.domain.named_files import ModifiedTime, NodeFilePath, list_possible_files
from executor.domain.node_text import (
    TEMPORARY_PREFIX,
    clean_name,
    format_file_name,
    format_temporary_name,
    is_addressable,
    is_servable,
)

TEMPORARY_TYPE = "temp"
STORED_TYPES = frozenset({"output", TEMPORARY_TYPE})
INPUT_TYPE = "input"
WEBSOCKET_SOURCE = "websocket"
FLAG_KEYS = frozenset({"animated"})  # describe the files beside them
TEXT_KEY = "text"  # contains texts by convention, never file names
MAX_OUTPUTS = 10_000  # outputs of a prompt
MAX_NAMING_STRINGS = 600  # strings of a prompt that may name files; further ones are texts
MAX_DEPTH = 32  # depth to which files are searched; usual depth is two or three
MAX_VALUES = 100  # values of one key that become separate outputs; a longer list is one output
MAX_PATH_TEXT = 1_000  # characters of a text in which only the name is replaced; a longer text is replaced as a whole
SPLIT_TEXT = 32  # consecutive single characters: ComfyUI splits a text that a node returned without a list

TEXT_TYPE, JSON_TYPE = "text/plain; charset=utf-8", "application/json"


class ValueTooDeep(Exception):
    """A node reported a value nested too deeply for JSON."""


class UnprovenFiles(NamedTuple):
    """Files that a history entry may name outside of the attempt's folder.

    Attributes:
        of_objects: named by objects. Most of them are files that the node wrote.
        of_strings: for each string the files that it may name, the most likely one first. It names the first of them
            that the prompt wrote. Most of these strings are texts.
        of_cached: named by objects that the node reports from ComfyUI's cache. Most of them are older.
    """

    of_objects: tuple[NodeFilePath, ...]
    of_strings: tuple[tuple[NodeFilePath, ...], ...]
    of_cached: tuple[NodeFilePath, ...]


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
        modified: when the file was modified, if that proves that it belongs to the attempt; None for files in the
            attempt's own folder.
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
    modified: ModifiedTime | None = None

    @property
    def is_downloadable(self) -> bool:
        """Whether the output's bytes can be obtained."""
        if self.content is not None:
            return True
        return is_addressable(self.filename, self.subfolder) and is_servable(self.filename)

    @property
    def temporary(self) -> bool:
        """Whether the output is a preview."""
        return self.folder == TEMPORARY_TYPE


def collect_outputs(
    entry: Mapping[str, Any], graph: Mapping[str, Any], ownership: FileOwnership, *, during_run: bool = False
) -> list[FoundOutput]:
    """Return all outputs of a prompt in the order of the graph's nodes, at most ``MAX_OUTPUTS``.

    A file named twice by one node is one output; a file named by two nodes is an output of each.

    Args:
        during_run: leave out values that may name files of which it is not yet known whether the prompt wrote them.

    Raises:
        ValueTooDeep: a value is nested too deeply for JSON.
    """
    outputs = _get_outputs(entry)
    meta = entry.get("meta")
    owners = {
        reported_by: _find_display_node(reported_by, meta if isinstance(meta, Mapping) else {}, graph)
        for reported_by in outputs
    }
    positions, cached = {node_id: position for position, node_id in enumerate(graph)}, list_cached_nodes(entry)
    ordered = sorted(outputs, key=lambda reported_by: positions.get(owners[reported_by], len(positions)))
    found = (
        item
        for reported_by in ordered
        for item in _collect_from_node(
            _NodeReportParser(
                clean_name(owners[reported_by]) or "",
                reported_by,
                ownership,
                during_run=during_run,
                is_cached=reported_by in cached,
            ),
            outputs[reported_by],
        )
    )
    return list(islice(_drop_duplicate_files(found), MAX_OUTPUTS))


def list_unproven_files(entry: Mapping[str, Any], ownership: FileOwnership) -> UnprovenFiles:
    """Return the files that an entry may name outside of the attempt's folder.

    They belong to the attempt only if the node wrote them while the prompt ran.
    """
    of_objects, of_cached = dict[NodeFilePath, None](), dict[NodeFilePath, None]()
    of_strings = dict[tuple[NodeFilePath, ...], None]()
    cached = list_cached_nodes(entry)
    for reported_by, report in _get_outputs(entry).items():
        objects = of_cached if reported_by in cached else of_objects
        for key, listed in _iterate_report(report):
            for item in listed:
                objects |= dict.fromkeys(_iterate_unproven_files(item, ownership))
                if isinstance(item, str) and (named := tuple(_iterate_named_files(key, item, ownership))):
                    of_strings[named] = None
    return UnprovenFiles(
        tuple(islice(of_objects, MAX_OUTPUTS)),
        tuple(islice(of_strings, MAX_NAMING_STRINGS)),
        tuple(islice((path for path in of_cached if path not in of_objects), MAX_OUTPUTS)),
    )


def _get_outputs(entry: Mapping[str, Any]) -> Mapping[str, Any]:
    outputs = entry.get("outputs")
    return outputs if isinstance(outputs, Mapping) else {}


def _iterate_unproven_files(item: Any, ownership: FileOwnership) -> Iterator[NodeFilePath]:
    """Yield the files in objects whose modification times decide whether they belong to the attempt."""
    for entry in islice(_iterate_file_entries(item), MAX_OUTPUTS):
        path = _get_path(entry)
        if not ownership.is_in_folder(path) and ownership.may_be_written(path):
            yield path


def _iterate_named_files(key: str, text: str, ownership: FileOwnership) -> Iterator[NodeFilePath]:
    """Yield the files that a string may name, most likely first."""
    if key != TEXT_KEY:
        yield from (path for path in list_possible_files(text) if ownership.may_be_written(path))


def _find_display_node(reported_by: str, meta: Mapping[str, Any], graph: Mapping[str, Any]) -> str:
    """Return the graph node that displays a node's output; expanded nodes are not in the graph."""
    if reported_by in graph:
        return reported_by  # meta names another node when two graph nodes share a cache entry
    known = meta.get(reported_by)
    shown = known.get("display_node") if isinstance(known, Mapping) else None
    return shown if isinstance(shown, str) and shown in graph else find_root_node(reported_by, graph) or reported_by


def _drop_duplicate_files(items: Iterable[FoundOutput]) -> Iterator[FoundOutput]:
    """Yield the outputs, each file of a node only once."""
    seen = set[tuple[str, str, str, str]]()
    for item in items:
        if item.content is None:
            file = (item.node_id, item.folder, item.subfolder, item.filename)
            if file in seen:
                continue
            seen.add(file)
        yield item


def _collect_from_node(node: "_NodeReportParser", report: Any) -> Iterator[FoundOutput]:
    for key, listed in _iterate_report(report):
        yield from node.parse_outputs(clean_name(key) or "", listed)


def _iterate_report(report: Any) -> Iterator[tuple[str, list[Any]]]:
    """Yield each key of a node's report with the list under it."""
    report = report if isinstance(report, Mapping) else {"": report}
    for key, reported in report.items():
        if key not in FLAG_KEYS:
            yield key, reported if isinstance(reported, list) else [reported]


@dataclass(frozen=True, slots=True)
class _NodeReportParser:
    node_id: str
    reported_by: str
    ownership: FileOwnership
    _: KW_ONLY
    during_run: bool
    is_cached: bool

    def parse_outputs(self, key: str, listed: list[Any]) -> Iterator[FoundOutput]:
        """Yield the outputs under one key, in order. The caller bounds their number."""
        files = [file for position, item in enumerate(listed) for file in self._parse_file_outputs(key, position, item)]
        yield from files
        has_unproven_files = self._has_unproven_files(key, listed)
        if self.during_run and has_unproven_files:
            return
        values = [(position, item) for position, item in enumerate(listed) if self._is_value(item)]
        if files or has_unproven_files:
            values = [(position, value) for position, value in values if value not in ([], {})]  # about the file
        texts = [value for _, value in values if isinstance(value, str)]
        if len(texts) == len(values) > SPLIT_TEXT and all(len(text) == 1 for text in texts):
            values = [(0, "".join(texts))]
        if len(values) > MAX_VALUES:
            yield self._build_json_output(key, 0, [value for _, value in values])
            return
        for position, value in values:
            yield (
                self._build_string_output(key, position, value)
                if isinstance(value, str)
                else self._build_json_output(key, position, value)
            )

    def _has_unproven_files(self, key: str, listed: list[Any]) -> bool:
        return any(
            any(_iterate_named_files(key, item, self.ownership))
            if isinstance(item, str)
            else any(_iterate_unproven_files(item, self.ownership))
            for item in listed
        )

    def _is_value(self, item: Any) -> bool:
        """Whether an item contains anything but files of the attempt, input files and previews of earlier prompts."""
        remaining = [item]
        while remaining:
            value = remaining.pop()
            if value is None or self._is_own_file(value) or _is_input_file(value) or _is_websocket_image(value):
                continue
            if self.is_cached and _is_temporary_file(value):
                continue
            if not isinstance(value, Mapping | list) or not value or _is_file(value):
                return True
            remaining.extend(value.values() if isinstance(value, Mapping) else value)
        return False

    def _is_own_file(self, value: Any) -> bool:
        return _is_file(value) and self.ownership.is_own(_get_path(value))

    def _parse_file_outputs(self, key: str, position: int, item: Any) -> Iterator[FoundOutput]:
        for entry in islice(_iterate_file_entries(item), MAX_OUTPUTS):
            path = _get_path(entry)
            if self.ownership.is_own(path):
                yield self._build_file_output(key, position, path, shown_name=entry["filename"])

    def _build_string_output(self, key: str, position: int, text: str) -> FoundOutput:
        for path in _iterate_named_files(key, text, self.ownership):
            if path in self.ownership.written:
                return self._build_file_output(key, position, path, shown_name=path.filename)
        return self._build_text_output(key, position, text)

    def _build_file_output(self, key: str, position: int, path: NodeFilePath, *, shown_name: str) -> FoundOutput:
        kind, content_type = find_media_type(path.filename)
        return FoundOutput(
            node_id=self.node_id,
            reported_by=self.reported_by,
            name=format_file_name(shown_name),
            kind=kind,
            content_type=content_type,
            key=key,
            position=position,
            filename=path.filename,
            subfolder=path.subfolder,
            folder=path.folder,
            modified=None if self.ownership.is_in_folder(path) else self.ownership.written.get(path),
        )

    def _build_text_output(self, key: str, position: int, text: str) -> FoundOutput:
        try:
            content = text.encode()
        except UnicodeEncodeError:  # lone surrogates are valid in JSON but not in UTF-8
            return self._build_json_output(key, position, text)
        return self._build_value_output(key, position, content, TEXT_TYPE)

    def _build_json_output(self, key: str, position: int, value: Any) -> FoundOutput:
        shown = _hide_temporary_names(value, self.ownership)
        return self._build_value_output(key, position, _to_json(shown), JSON_TYPE)

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


def _get_path(entry: Mapping[str, Any]) -> NodeFilePath:
    """Return the path of a file as ``/view`` expects it: it ignores a folder inside the file name."""
    folder, subfolder = entry.get("type", "output"), entry.get("subfolder", "")
    inner, slash, filename = entry["filename"].rpartition("/")
    if not slash or not filename or inner[:1] in {"", "/"} or ".." in inner:
        return NodeFilePath(folder, subfolder, entry["filename"])
    return NodeFilePath(folder, f"{subfolder}/{inner}" if subfolder else inner, filename)


def _hide_temporary_names(value: Any, ownership: FileOwnership) -> Any:
    """Return a value without the names that nodes chose for temporary files.

    A node uses the same random prefix for the previews of all tenants.
    """
    if not any(_is_hidden_file(entry, ownership) for entry in _iterate_file_entries(value)):
        return value
    return _replace_temporary_names(value, ownership, MAX_DEPTH)


def _replace_temporary_names(value: Any, ownership: FileOwnership, depth: int) -> Any:
    if _is_hidden_file(value, ownership):
        named = value["filename"]
        return {
            key: _replace_temporary_name(part, named) if isinstance(part, str) else part for key, part in value.items()
        }
    if depth > 0 and isinstance(value, list):
        return [_replace_temporary_names(part, ownership, depth - 1) for part in value]
    if depth > 0 and isinstance(value, Mapping):
        return {key: _replace_temporary_names(part, ownership, depth - 1) for key, part in value.items()}
    return value


def _replace_temporary_name(text: str, named: str) -> str:
    """Return a text without this name. A workflow may choose both, so the result is never much longer than the text."""
    shown = format_temporary_name(named)
    if text == named:
        return shown
    if len(named) < len(TEMPORARY_PREFIX) or named not in text:
        return text  # no name that a node chose is that short
    return text.replace(named, shown) if len(text) <= MAX_PATH_TEXT else shown


def _is_hidden_file(value: Any, ownership: FileOwnership) -> bool:
    return _is_temporary_file(value) and not ownership.is_in_folder(_get_path(value))


def _is_temporary_file(value: Any) -> bool:
    return _is_file(value) and value.get("type") == TEMPORARY_TYPE


def _is_file(value: Any) -> bool:
    return _is_file_entry(value) and value.get("type", "output") in STORED_TYPES and not _is_input_file(value)


def _is_input_file(value: Any) -> bool:
    """Whether the entry names a file of the node's input folder, or an upload."""
    return _is_file_entry(value) and (value.get("type") == INPUT_TYPE or is_staged(_get_path(value)))


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
