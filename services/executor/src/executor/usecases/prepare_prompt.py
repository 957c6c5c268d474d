"""From the graph of an attempt to the graph for its node, if the tenant's policy allows it."""

import asyncio
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, NamedTuple

from chassis.telemetry.logs import log
from contracts.workflow import is_whole, read_graph
from executor.clients.comfyui_answers import NodeAway
from executor.domain.attempt import Record
from executor.domain.catalog import NodeClasses
from executor.domain.extra_data import extra_data_for
from executor.domain.staging import stage
from executor.domain.verdict import failed, node_fault, not_allowed
from executor.store.journal import Journal
from executor.usecases.node_state import NodeState
from executor.usecases.stage_inputs import CannotStage


class Prompt(NamedTuple):
    """What a node gets for an attempt."""

    graph: dict[str, Any]
    extra_data: dict[str, Any] | None = None


MALFORMED = failed("workflow.rejected", "The workflow is not one that a node can run.")


@dataclass(frozen=True, slots=True, kw_only=True)
class PreparePrompt:
    """Judges graphs by the node's own classes, and makes of them what the node gets.

    The scheduler judged them already, by the catalog of any node that it knew then.

    Attributes:
        catalog_s: how long the node may take to say what its classes are.
    """

    state: NodeState
    journal: Journal
    catalog_s: float

    async def __call__(self, record: Record, files: Mapping[str, str]) -> Prompt:
        """The prompt for the node.

        Args:
            files: names that the node has for the uploads of the job.

        Raises:
            CannotStage: the policy of the tenant refuses the graph, or the node does not have its classes.
            NodeAway: the node did not say what its classes are.
        """
        classes = await self._classes()
        assignment = record.assignment
        graph, errors = read_graph(assignment.graph)
        if errors or not is_whole(graph):
            raise CannotStage(MALFORMED)
        for node_id, node in graph.items():
            if node.class_type not in classes.specs:
                message = "The node does not have this class."
                raise CannotStage(node_fault("workflow.rejected", message, node_id, node.class_type))
        refused = classes.rules.violations(graph, assignment.policy, frozenset(map(str, assignment.inputs)))
        if refused:
            log.warning("executor.graph.refused", codes=sorted({error.code for error in refused}))
            raise CannotStage(not_allowed(refused, graph))
        staged = stage(assignment.graph, record.ref, files, classes, self.journal.expanding())
        return Prompt(staged, extra_data_for(graph, assignment.extra_data, classes))

    async def _classes(self) -> NodeClasses:
        if self.state.classes is None:
            with suppress(TimeoutError):
                async with asyncio.timeout(self.catalog_s):
                    await self.state.came.wait()
        if self.state.classes is None:
            raise NodeAway("its classes are not known", heard=False)
        return self.state.classes
