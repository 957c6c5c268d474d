"""Converts an attempt's graph to the node's prompt, if the tenant's policy allows it."""

import asyncio
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, NamedTuple

from chassis.telemetry.logs import log
from contracts.workflow import has_valid_links, read_graph
from executor.clients.comfyui_responses import NodeUnavailable
from executor.domain.attempt import AttemptRecord
from executor.domain.attempt_result import build_node_fault, build_workflow_failure, classify_violations
from executor.domain.catalog import NodeClasses
from executor.domain.extra_data import filter_extra_data
from executor.domain.staging import stage_graph
from executor.store.journal import Journal
from executor.usecases.node_state import NodeState
from executor.usecases.stage_inputs import StagingFailed


class Prompt(NamedTuple):
    """The graph and the extra data that are posted to a node's ``/prompt`` for one attempt."""

    graph: dict[str, Any]
    extra_data: dict[str, Any] | None = None


MALFORMED_WORKFLOW = build_workflow_failure("workflow.rejected", "The workflow is malformed.")


@dataclass(frozen=True, slots=True, kw_only=True)
class PromptBuilder:
    """Checks graphs against the node's own classes and converts them.

    The scheduler has checked them too, but against a catalog that may be older or of another node.

    Attributes:
        catalog_s: timeout for reading the node's classes.
    """

    state: NodeState
    journal: Journal
    catalog_s: float

    async def build_prompt(self, record: AttemptRecord, files: Mapping[str, str]) -> Prompt:
        """Return the prompt for the node.

        Args:
            files: node file names of the job's uploads.

        Raises:
            StagingFailed: the tenant's policy refuses the graph, or the node lacks its classes.
            NodeUnavailable: the node did not return its classes.
        """
        classes = await self._wait_for_classes()
        assignment = record.assignment
        graph, errors = read_graph(assignment.graph)
        if errors or not has_valid_links(graph):
            raise StagingFailed(MALFORMED_WORKFLOW)
        for node_id, node in graph.items():
            if node.class_type not in classes.specs:
                message = "The node does not have this class."
                raise StagingFailed(build_node_fault("workflow.rejected", message, node_id, node.class_type))
        refused = classes.rules.find_violations(graph, assignment.policy, frozenset(map(str, assignment.inputs)))
        if refused:
            log.warning("executor.graph.refused", codes=sorted({error.code for error in refused}))
            raise StagingFailed(classify_violations(refused, graph))
        staged = stage_graph(assignment.graph, record.ref, files, classes, self.journal.list_expanding_classes())
        return Prompt(staged, filter_extra_data(graph, assignment.extra_data, classes))

    async def _wait_for_classes(self) -> NodeClasses:
        if self.state.classes is None:
            with suppress(TimeoutError):
                async with asyncio.timeout(self.catalog_s):
                    await self.state.reachable.wait()
        if self.state.classes is None:
            raise NodeUnavailable("the node's classes are not known yet", may_have_arrived=False)
        return self.state.classes
