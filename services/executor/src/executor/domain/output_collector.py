"""Collects a prompt's outputs from its events, binary frames and history entry."""

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

from executor.domain.collect_outputs import FoundOutput, UnprovenFiles, collect_outputs, list_unproven_files
from executor.domain.expansion import Expansion
from executor.domain.file_ownership import FileOwnership
from executor.domain.media_types import find_media_type
from executor.domain.named_files import ModifiedTime, NodeFilePath
from executor.domain.node_text import format_temporary_name
from executor.domain.output_names import DEFAULT_PREFIX, OutputNameTranslator
from executor.domain.websocket_images import WebsocketImage

SAVED_IMAGES_KEY = "images"  # key of saved images in a node's report


class OutputCollector:
    """Collects the outputs of one prompt. An output reported by both an event and the history is one output.

    Args:
        graph: graph as sent to the node.
        folder: the attempt's folder in the node's output folder.
    """

    def __init__(self, graph: Mapping[str, Any], folder: str) -> None:
        self._graph, self._folder = graph, folder
        self._names = OutputNameTranslator(graph, folder)
        self._websocket_outputs: list[FoundOutput] = []
        self._positions = {node_id: position for position, node_id in enumerate(graph)}
        self.expansion = Expansion(graph)

    def collect_during_run(self, outputs: Mapping[str, Any]) -> list[FoundOutput]:
        """Return the outputs that a node reported during the run: ``{node id: report}``.

        Files outside of the attempt's folder are left out, because only the history can show whose they are.

        Raises:
            ValueTooDeep: a value is nested too deeply for JSON.
        """
        entry = self.expansion.add_display_nodes({"outputs": outputs})
        found = collect_outputs(entry, self._graph, FileOwnership(self._folder), during_run=True)
        return self._restore_requested_names(found)

    def list_unproven_files(self, entry: Mapping[str, Any]) -> UnprovenFiles:
        """Return the files that a history entry names and that may belong to others."""
        return list_unproven_files(entry, FileOwnership(self._folder))

    def collect_from_history(
        self, entry: Mapping[str, Any], written: Mapping[NodeFilePath, ModifiedTime]
    ) -> list[FoundOutput]:
        """Return everything in a history entry and the images of the websocket, in the order of the graph's nodes.

        Args:
            written: those of ``list_unproven_files`` that the node wrote while the prompt ran.

        Raises:
            ValueTooDeep: a value is nested too deeply for JSON.
        """
        ownership = FileOwnership(self._folder, written)
        found = collect_outputs(self.expansion.add_display_nodes(entry), self._graph, ownership)
        outputs = [*self._restore_requested_names(found), *self._websocket_outputs]
        return sorted(outputs, key=lambda item: self._positions.get(item.node_id, len(self._positions)))

    def add_websocket_image(self, image: WebsocketImage) -> FoundOutput:
        """Add an image received over the websocket, and return its output."""
        name = f"{DEFAULT_PREFIX}_{image.number:05}_.{image.extension}"
        kind, content_type = find_media_type(name)
        found = FoundOutput(
            node_id=image.node_id,
            reported_by=image.node_id,
            name=name,
            kind=kind,
            content_type=content_type,
            key=SAVED_IMAGES_KEY,
            position=sum(other.node_id == image.node_id for other in self._websocket_outputs),
            content=image.content,
        )
        self._websocket_outputs.append(found)
        return found

    def _restore_requested_names(self, found: Iterable[FoundOutput]) -> list[FoundOutput]:
        """Return the outputs with the file names that their owner requested; other temporary files are numbered."""
        numbers = dict[NodeFilePath, int]()
        return [item if item.content is not None else self._restore_name(item, numbers) for item in found]

    def _restore_name(self, item: FoundOutput, numbers: dict[NodeFilePath, int]) -> FoundOutput:
        if item.temporary and item.modified is not None:
            path = NodeFilePath(item.folder, item.subfolder, item.filename)
            number = numbers.setdefault(path, len(numbers) + 1)
            return replace(item, name=format_temporary_name(item.filename, number))
        return replace(item, name=self._names.translate(item.filename, item.subfolder))
