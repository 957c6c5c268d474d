"""Builds the route that exports an account."""

from gateway.exports import routes
from gateway.exports.service import AccountExport
from gateway.uploads.store import UploadStore
from gateway.wiring import Feature, Infrastructure
from gateway.workflows.store import WorkflowStore


def wire_exports(infra: Infrastructure, uploads: UploadStore, workflows: WorkflowStore) -> Feature:
    export = AccountExport(infra.bus, uploads, workflows, infra.artifacts, infra.objects)
    return Feature(routers=(routes.create_router(export=export),))
