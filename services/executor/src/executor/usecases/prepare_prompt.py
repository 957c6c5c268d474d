"""Converts an attempt's graph to the node's prompt, if the tenant's policy allows it."""

import asyncio
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, NamedTuple

from chassis.telemetry.logs import log
from contracts.workflow import has_valid_links, read_graph
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
    """Checks graphs against the node's own classes and converts them.

    The scheduler has already checked them, against the catalog of any node.

    Attributes:
        catalog_s: timeout for reading the node's classes.
    """

    state: NodeState
    journal: Journal
    catalog_s: float

    async def __call__(self, record: Record, files: Mapping[str, str]) -> Prompt:
        """Return the prompt for the node.

        Args:
            files: node file names of the job's uploads.

        Raises:
            CannotStage: the tenant's policy refuses the graph, or the node lacks its classes.
            NodeAway: the node did not return its classes.
        """
        classes = await self._classes()
        assignment = record.assignment
        graph, errors = read_graph(assignment.graph)
        if errors or not has_valid_links(graph):
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
