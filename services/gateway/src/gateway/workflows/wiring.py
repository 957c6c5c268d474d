"""Builds the routes and services for saved workflows."""

from dataclasses import dataclass

from gateway.wiring import Feature, Infrastructure
from gateway.workflows import routes
from gateway.workflows.service import SavedWorkflows
from gateway.workflows.store import WorkflowStore


@dataclass(frozen=True, kw_only=True)
class WorkflowsFeature(Feature):
    """The wired workflows feature, with the components that other features use."""

    saved_workflows: SavedWorkflows
    store: WorkflowStore


def wire_workflows(infra: Infrastructure) -> WorkflowsFeature:
    store = WorkflowStore(infra.database)
    saved_workflows = SavedWorkflows(store, cursor_keys=infra.derive_keys("cursors"))
    return WorkflowsFeature(
        saved_workflows=saved_workflows, store=store, routers=(routes.create_router(saved_workflows=saved_workflows),)
    )
