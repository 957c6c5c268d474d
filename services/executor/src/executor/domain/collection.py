"""Collects a prompt's outputs from its events, binary frames and history entry."""

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

from executor.domain.expansion import Expansion
from executor.domain.harvest import Found, harvest
from executor.domain.media import medium_of
from executor.domain.output_names import DEFAULT_PREFIX, OutputNames
from executor.domain.sent_images import SentImage

SENT_KEY = "images"  # key of saved images in a node's report


class Collection:
    """Collects the outputs of one prompt. An output reported by both an event and the history is one output.

    Args:
        graph: as sent to the node.
        folder: of the attempt, in the node's output folder.
    """

    def __init__(self, graph: Mapping[str, Any], folder: str) -> None:
        self._graph = graph
        self._names = OutputNames(graph, folder)
        self._sent: list[Found] = []
        self._places = {node_id: place for place, node_id in enumerate(graph)}
        self.expansion = Expansion(graph)

    def made_so_far(self, outputs: Mapping[str, Any]) -> list[Found]:
        """Return the files that a node reported during the run: ``{node id: report}``.

        Raises:
            TooDeep: a value is nested too deeply for JSON.
        """
        found = harvest(self.expansion.with_owners({"outputs": outputs}), self._graph)
        return self.named(item for item in found if not item.may_be)

    def reported(self, entry: Mapping[str, Any]) -> list[Found]:
        """Return everything in a history entry, with the node's file names.

        Raises:
            TooDeep: a value is nested too deeply for JSON.
        """
        return harvest(self.expansion.with_owners(entry), self._graph)

    def sent(self, image: SentImage) -> Found:
        """Return the output for an image received over the websocket."""
        name = f"{DEFAULT_PREFIX}_{image.number:05}_.{image.extension}"
        kind, content_type = medium_of(name)
        found = Found(
            node_id=image.node_id,
            made_by=image.node_id,
            name=name,
            kind=kind,
            content_type=content_type,
            key=SENT_KEY,
            position=sum(other.node_id == image.node_id for other in self._sent),
            content=image.content,
        )
        self._sent.append(found)
        return found

    def complete(self, found: Iterable[Found]) -> list[Found]:
        """Return the outputs of the history and the websocket, in the order of the graph's nodes."""
        every = [*self.named(found), *self._sent]
        return sorted(every, key=lambda item: self._places.get(item.node_id, len(self._places)))

    def named(self, found: Iterable[Found]) -> list[Found]:
        """Return the outputs with the file names that their owner requested."""
        return [
            item if item.content is not None else replace(item, name=self._names.shown(item.filename, item.subfolder))
            for item in found
        ]
