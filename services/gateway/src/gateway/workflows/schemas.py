"""Saved workflows: request and response bodies, and what is stored."""

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Any
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field

from contracts.gateway.submissions import WorkflowName
from contracts.scheduler.submissions import InvalidWorkflow
from contracts.wire.errors import FieldError
from contracts.workflow import read_graph
from gateway.edge.errors import InvalidRequest
from gateway.edge.json_body import MAX_ERRORS
from gateway.workflows.builtin import choice as built_in
from gateway.workflows.errors import UnknownWorkflow
from gateway.workflows.parameters import (
    MAX_PARAMETERS,
    ParameterBody,
    ParameterName,
    build_parameters_schema,
    resolve_parameters,
)

MAX_WORKFLOWS = 100
MAX_VERSIONS = 100
RESERVED_NAMES = frozenset({built_in.CUSTOM, *built_in.NAMES, "builtin"})
"""Names of workflows that are not saved, as the list of jobs shows them; and of the route that lists them."""

NAME_PATTERN = r"[a-z0-9][a-z0-9_-]{0,62}"
_NAME = re.compile(NAME_PATTERN)


class SaveBody(BaseModel):
    """A graph in API format, and the parameters that submissions can set.

    Without ``parameters`` they are derived from the graph: a node with the title ``$name`` or ``param:name`` gives the
    parameter ``name`` for its one literal input. An empty object means no parameters.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False, strict=True)

    workflow: dict[str, Any]
    parameters: Annotated[dict[ParameterName, ParameterBody], Field(max_length=MAX_PARAMETERS)] | None = None
    description: Annotated[str, Field(max_length=2_000)] | None = None


@dataclass(frozen=True, slots=True)
class WorkflowContent:
    """The content of one version. ``digest``: SHA-256 in hex, equal for equal content."""

    graph: Mapping[str, Any]
    parameters: Mapping[str, ParameterBody]
    description: str | None
    digest: str


@dataclass(frozen=True, slots=True)
class WorkflowSummary:
    """One version of a saved workflow, without its content."""

    id: UUID
    name: str
    version: int
    description: str | None
    created_at: datetime


@dataclass(frozen=True, slots=True)
class WorkflowVersion:
    """One version of a saved workflow.

    Attributes:
        is_large: whether checking its graph takes more than a millisecond, so that a thread does it.
    """

    summary: WorkflowSummary
    graph: dict[str, Any]
    parameters: dict[str, ParameterBody]
    is_large: bool = False


class WorkflowSummaryBody(BaseModel):
    """The newest version of a saved workflow."""

    name: WorkflowName
    version: int
    description: str | None
    created_at: datetime


class ParameterTarget(BaseModel):
    """The input of the graph that a parameter sets."""

    node: str
    input: str


class WorkflowBody(WorkflowSummaryBody):
    """One version of a saved workflow. ``parameters``: the JSON Schema of what a submission can send."""

    parameters: dict[str, Any]
    targets: dict[str, ParameterTarget]
    workflow: dict[str, Any]


class WorkflowsBody(BaseModel):
    """A page of saved workflows, last changed first. ``next_cursor`` is null on the last page."""

    workflows: list[WorkflowSummaryBody]
    next_cursor: str | None


def parse_workflow_name(text: str) -> str:
    """Return the workflow name in a path.

    Raises:
        UnknownWorkflow: the name is malformed.
    """
    if not _NAME.fullmatch(text):
        raise UnknownWorkflow
    return text


def parse_new_workflow_name(text: str) -> str:
    """Validate the workflow name in the path of a save request.

    Raises:
        InvalidRequest: the name is malformed or reserved.
    """
    if not _NAME.fullmatch(text):
        message = "A name is 1 to 63 of a-z, 0-9, - and _, beginning with a letter or digit."
        raise InvalidRequest(errors=(FieldError(pointer="/name", code="name_malformed", message=message),))
    if text in RESERVED_NAMES:
        message = "This is the name of a built-in workflow."
        raise InvalidRequest(errors=(FieldError(pointer="/name", code="name_reserved", message=message),))
    return text


def build_content(sent: SaveBody) -> WorkflowContent:
    """Return the content to save.

    Raises:
        InvalidWorkflow: the graph is invalid, or a parameter does not fit it. Whether the fleet has its nodes is
            checked when a job is submitted.
    """
    graph = sent.workflow
    _, errors = read_graph(graph, "/workflow")
    declared: dict[str, ParameterBody] = {}
    if not errors:
        declared, errors = resolve_parameters(sent.parameters, graph)
    if errors:
        raise InvalidWorkflow(errors[:MAX_ERRORS])
    hashed = [
        graph,
        {name: parameter.model_dump(mode="json") for name, parameter in declared.items()},
        sent.description,
    ]
    digest = hashlib.sha256(json.dumps(hashed, sort_keys=True, separators=(",", ":")).encode()).hexdigest()
    return WorkflowContent(graph=graph, parameters=declared, description=sent.description, digest=digest)


def build_workflow_summary_body(summary: WorkflowSummary) -> WorkflowSummaryBody:
    return WorkflowSummaryBody(
        name=summary.name,
        version=summary.version,
        description=summary.description,
        created_at=summary.created_at,
    )


def build_workflow_body(version: WorkflowVersion) -> WorkflowBody:
    return WorkflowBody(
        **build_workflow_summary_body(version.summary).model_dump(),
        parameters=build_parameters_schema(version.parameters),
        targets={
            name: ParameterTarget(node=parameter.node, input=parameter.input)
            for name, parameter in version.parameters.items()
        },
        workflow=version.graph,
    )
