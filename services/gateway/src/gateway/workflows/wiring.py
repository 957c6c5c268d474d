"""Constructs saved workflows."""

from dataclasses import dataclass

from gateway.wiring import Feature, Infrastructure
from gateway.workflows import routes
from gateway.workflows.service import SavedWorkflows
from gateway.workflows.store import WorkflowStore


@dataclass(frozen=True, kw_only=True)
class WorkflowsFeature(Feature):
    """The feature, its use cases and its table."""

    saved: SavedWorkflows
    store: WorkflowStore


def wire_workflows(infra: Infrastructure) -> WorkflowsFeature:
    """Construct the feature."""
    store = WorkflowStore(infra.database)
    saved = SavedWorkflows(store, cursor_keys=infra.keys("cursors"))
    return WorkflowsFeature(saved=saved, store=store, routers=(routes.create_router(saved=saved),))
