"""Saved workflows: what may be saved, and as the public API shows them."""

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
from gateway.edge.json_body import MAX_ERRORS
from gateway.errors import InvalidRequest, UnknownWorkflow
from gateway.workflows.builtin import choice as built_in
from gateway.workflows.parameters import MAX_PARAMETERS, ParameterBody, ParameterName, declare, schema

MAX_WORKFLOWS = 100
MAX_VERSIONS = 100
RESERVED = frozenset({built_in.CUSTOM, *built_in.NAMES})
"""What the job list calls the workflows that nobody saved."""

NAME = r"[a-z0-9][a-z0-9_-]{0,62}"
_NAME = re.compile(NAME)


class SaveBody(BaseModel):
    """What is saved: a graph in API format and what of it a submission may set.

    Without ``parameters`` they are read off the graph: a node with the title ``$name`` or ``param:name`` gives the
    parameter ``name`` for its one literal input. An empty object means none.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False, strict=True)

    workflow: dict[str, Any]
    parameters: Annotated[dict[ParameterName, ParameterBody], Field(max_length=MAX_PARAMETERS)] | None = None
    description: Annotated[str, Field(max_length=2_000)] | None = None


@dataclass(frozen=True, slots=True)
class Content:
    """What one version is. ``digest`` is SHA-256 in hex, the same for the same content."""

    graph: Mapping[str, Any]
    parameters: Mapping[str, ParameterBody]
    description: str | None
    digest: str


@dataclass(frozen=True, slots=True)
class Heading:
    """One version of a saved workflow, without its content."""

    id: UUID
    name: str
    version: int
    description: str | None
    created_at: datetime


@dataclass(frozen=True, slots=True)
class Version:
    """One version of a saved workflow.

    Attributes:
        is_large: to look through its graph would hold the event loop for more than a millisecond.
    """

    heading: Heading
    graph: dict[str, Any]
    parameters: dict[str, ParameterBody]
    is_large: bool = False


class HeadingBody(BaseModel):
    """The newest version of a saved workflow."""

    name: WorkflowName
    version: int
    description: str | None
    created_at: datetime


class Target(BaseModel):
    """The input of the graph that a parameter sets."""

    node: str
    input: str


class WorkflowBody(HeadingBody):
    """One version of a saved workflow; ``parameters`` is the JSON Schema of what a submission may send."""

    parameters: dict[str, Any]
    targets: dict[str, Target]
    workflow: dict[str, Any]


class WorkflowsBody(BaseModel):
    """A page of saved workflows, the last changed first; ``next_cursor`` is null on the last one."""

    workflows: list[HeadingBody]
    next_cursor: str | None


def name_of(text: str) -> str:
    """The name in a path.

    Raises:
        UnknownWorkflow: it is none; a malformed name is answered like one that nobody has.
    """
    if not _NAME.fullmatch(text):
        raise UnknownWorkflow
    return text


def new_name_of(text: str) -> str:
    """The name in a path, to be saved under.

    Raises:
        InvalidRequest: it is none, or one of ours.
    """
    if not _NAME.fullmatch(text):
        message = "A name is 1 to 63 of a-z, 0-9, - and _, beginning with a letter or digit."
        raise InvalidRequest(errors=(FieldError(pointer="/name", code="name_malformed", message=message),))
    if text in RESERVED:
        message = "This is the name of a built-in workflow."
        raise InvalidRequest(errors=(FieldError(pointer="/name", code="name_reserved", message=message),))
    return text


def content_of(sent: SaveBody) -> Content:
    """What is to be saved.

    Raises:
        InvalidWorkflow: the graph is none, or a parameter does not fit it. Whether the fleet has its nodes is asked
            when it is to run.
    """
    graph = sent.workflow
    _, errors = read_graph(graph, "/workflow")
    declared: dict[str, ParameterBody] = {}
    if not errors:
        declared, errors = declare(sent.parameters, graph)
    if errors:
        raise InvalidWorkflow(errors[:MAX_ERRORS])
    said = [graph, {name: one.model_dump(mode="json") for name, one in declared.items()}, sent.description]
    digest = hashlib.sha256(json.dumps(said, sort_keys=True, separators=(",", ":")).encode()).hexdigest()
    return Content(graph=graph, parameters=declared, description=sent.description, digest=digest)


def present_heading(heading: Heading) -> HeadingBody:
    """The public body of a list's entry."""
    return HeadingBody(
        name=heading.name,
        version=heading.version,
        description=heading.description,
        created_at=heading.created_at,
    )


def present_workflow(version: Version) -> WorkflowBody:
    """The public body of one version."""
    return WorkflowBody(
        **present_heading(version.heading).model_dump(),
        parameters=schema(version.parameters),
        targets={name: Target(node=one.node, input=one.input) for name, one in version.parameters.items()},
        workflow=version.graph,
    )
