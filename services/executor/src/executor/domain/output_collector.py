"""Collects a prompt's outputs from its events, binary frames and history entry."""

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

from executor.domain.collect_outputs import FoundOutput, collect_outputs
from executor.domain.expansion import Expansion
from executor.domain.media_types import find_media_type
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
        self._graph = graph
        self._names = OutputNameTranslator(graph, folder)
        self._websocket_outputs: list[FoundOutput] = []
        self._positions = {node_id: position for position, node_id in enumerate(graph)}
        self.expansion = Expansion(graph)

    def collect_during_run(self, outputs: Mapping[str, Any]) -> list[FoundOutput]:
        """Return the files that a node reported during the run: ``{node id: report}``.

        Raises:
            ValueTooDeep: a value is nested too deeply for JSON.
        """
        found = collect_outputs(self.expansion.add_display_nodes({"outputs": outputs}), self._graph)
        return self.restore_requested_names(item for item in found if not item.possible_files)

    def collect_from_history(self, entry: Mapping[str, Any]) -> list[FoundOutput]:
        """Return everything in a history entry, with the node's file names.

        Raises:
            ValueTooDeep: a value is nested too deeply for JSON.
        """
        return collect_outputs(self.expansion.add_display_nodes(entry), self._graph)

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

    def merge_outputs(self, found: Iterable[FoundOutput]) -> list[FoundOutput]:
        """Return the outputs of the history and the websocket, in the order of the graph's nodes."""
        outputs = [*self.restore_requested_names(found), *self._websocket_outputs]
        return sorted(outputs, key=lambda item: self._positions.get(item.node_id, len(self._positions)))

    def restore_requested_names(self, found: Iterable[FoundOutput]) -> list[FoundOutput]:
        """Return the outputs with the file names that their owner requested."""
        return [
            item
            if item.content is not None
            else replace(item, name=self._names.translate(item.filename, item.subfolder))
            for item in found
        ]
