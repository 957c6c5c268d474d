"""What one prompt made, from its events, its binary frames and its history entry."""

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

from executor.domain.expansion import Expansion
from executor.domain.harvest import Found, harvest
from executor.domain.media import medium_of
from executor.domain.output_names import DEFAULT_PREFIX, OutputNames
from executor.domain.sent_images import SentImage

SENT_KEY = "images"  # under which nodes report images that they save


class Collection:
    """Collects the outputs of one prompt. Whatever tells of an output, its event or the history, it is the same output.

    Args:
        graph: as it was sent.
        folder: of the attempt, in the node's output folder.
    """

    def __init__(self, graph: Mapping[str, Any], folder: str) -> None:
        self._graph = graph
        self._names = OutputNames(graph, folder)
        self._sent: list[Found] = []
        self._places = {node_id: place for place, node_id in enumerate(graph)}
        self.expansion = Expansion(graph)

    def made_so_far(self, outputs: Mapping[str, Any]) -> list[Found]:
        """The files that a node reported while the prompt runs: ``{node id: report}``.

        Raises:
            TooDeep: a value cannot be written as JSON.
        """
        found = harvest(self.expansion.with_owners({"outputs": outputs}), self._graph)
        return self.named(item for item in found if not item.may_be)

    def reported(self, entry: Mapping[str, Any]) -> list[Found]:
        """Everything in a history entry, by the names that the node has.

        Raises:
            TooDeep: a value cannot be written as JSON.
        """
        return harvest(self.expansion.with_owners(entry), self._graph)

    def sent(self, image: SentImage) -> Found:
        """The output that an image is which came over the websocket."""
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
        """What the history reported, with what came over the websocket, in the order of the graph's nodes."""
        every = [*self.named(found), *self._sent]
        return sorted(every, key=lambda item: self._places.get(item.node_id, len(self._places)))

    def named(self, found: Iterable[Found]) -> list[Found]:
        """The same outputs by the names that their owner asked for."""
        return [
            item if item.content is not None else replace(item, name=self._names.shown(item.filename, item.subfolder))
            for item in found
        ]
