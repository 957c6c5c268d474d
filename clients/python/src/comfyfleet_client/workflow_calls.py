"""Calls about saved workflows and validation, and their results."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from comfyfleet_client.call import Call, Request, build_parser, omit_none, parse_empty, quote_segment
from comfyfleet_client.errors import FieldError


@dataclass(frozen=True, slots=True)
class SavedWorkflow:
    """The newest version of a saved workflow."""

    name: str
    version: int
    created_at: datetime
    description: str | None = None


@dataclass(frozen=True, slots=True)
class WorkflowVersion:
    """One version of a saved workflow. ``parameters`` is the JSON Schema of its parameters."""

    name: str
    version: int
    created_at: datetime
    workflow: dict[str, Any]
    parameters: dict[str, Any] = field(default_factory=dict)
    description: str | None = None


@dataclass(frozen=True, slots=True)
class SavedWorkflowPage:
    """A page of saved workflows, most recently changed first."""

    workflows: tuple[SavedWorkflow, ...]
    next_cursor: str | None = None

    @property
    def items(self) -> tuple[SavedWorkflow, ...]:
        return self.workflows


@dataclass(frozen=True, slots=True)
class RandomInput:
    """An input that gets a random seed at each submission."""

    node_id: str
    input: str


@dataclass(frozen=True, slots=True)
class Validation:
    """What a submission would report. ``images``: the number it would reserve; None if it would be refused."""

    valid: bool
    errors: tuple[FieldError, ...] = ()
    warnings: tuple[FieldError, ...] = ()
    images: int | None = None
    random_seeds: tuple[RandomInput, ...] = ()


def list_workflows(*, limit: int | None = None, cursor: str | None = None) -> Call[SavedWorkflowPage]:
    return Call(Request("GET", "/workflows", query={"limit": limit, "cursor": cursor}), build_parser(SavedWorkflowPage))


def read_workflow(name: str, version: int | None = None) -> Call[WorkflowVersion]:
    """Read one version of a saved workflow, by default the newest."""
    return Call(
        Request("GET", f"/workflows/{quote_segment(name)}", query={"version": version}), build_parser(WorkflowVersion)
    )


def save_workflow(
    name: str,
    workflow: Mapping[str, Any],
    *,
    parameters: Mapping[str, Any] | None = None,
    description: str | None = None,
) -> Call[WorkflowVersion]:
    """Save a graph under a name; unchanged content creates no new version."""
    body = omit_none(workflow=workflow, parameters=parameters, description=description)
    return Call(Request("PUT", f"/workflows/{quote_segment(name)}", body=body), build_parser(WorkflowVersion))


def delete_workflow(name: str) -> Call[None]:
    return Call(Request("DELETE", f"/workflows/{quote_segment(name)}"), parse_empty)


def validate(submission: Mapping[str, Any]) -> Call[Validation]:
    """Validate a submission without running it."""
    return Call(Request("POST", "/workflows/validate", body=omit_none(**submission)), build_parser(Validation))
