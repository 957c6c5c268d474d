"""Builds the routes and services that submit, read, await, cancel and purge jobs."""

from dataclasses import dataclass

from authn.authenticator import Authenticator
from contracts.metrics import SOCKETS
from gateway.accounts.user_cache import UserCache
from gateway.fleet.service import FleetView
from gateway.jobs import (
    batch_routes,
    bulk_routes,
    event_routes,
    form_routes,
    generate_routes,
    history_routes,
    routes,
    saved_workflow_routes,
    validation_routes,
)
from gateway.jobs.extra_data import ExtraDataKeys
from gateway.jobs.history import JobHistory
from gateway.jobs.input_pins import InputPins
from gateway.jobs.output_copies import OutputCopies
from gateway.jobs.service import JobService
from gateway.jobs.storage_limit import ResultStorageLimit
from gateway.jobs.submit import JobSubmitter
from gateway.uploads.store import UploadStore
from gateway.wiring import Feature, Infrastructure
from gateway.workflows.service import SavedWorkflows


@dataclass(frozen=True, kw_only=True)
class Jobs(Feature):
    """The wired jobs feature, with the components that other features use."""

    service: JobService
    history: JobHistory
    submitter: JobSubmitter
    pins: InputPins


def wire_jobs(
    infra: Infrastructure,
    *,
    identity: Authenticator,
    users: UserCache,
    fleet: FleetView,
    saved_workflows: SavedWorkflows,
    uploads: UploadStore,
) -> Jobs:
    """Construct the jobs feature.

    Args:
        infra: settings and connections.
        identity: watches the credentials of event streams.
        users: has each user's limits, and is notified when their usage changes.
        fleet: chooses the default model.
        saved_workflows: the saved workflows.
        uploads: the uploads that jobs take as inputs.
    """
    settings, bus = infra.settings, infra.bus
    pins = InputPins(uploads, OutputCopies(infra.artifacts, uploads, infra.objects))
    submitter = JobSubmitter(
        bus,
        fleet=fleet,
        saved_workflows=saved_workflows,
        pins=pins,
        result_limit=ResultStorageLimit(users, infra.artifacts),
        store=infra.objects.status,
        on_usage_changed=users.drop_cached_usage,
        extra_data_keys=ExtraDataKeys.from_setting(settings.extra_data_keys),
    )
    service, url = JobService(bus, cursor_keys=infra.derive_keys("cursors")), settings.public_url
    history = JobHistory(bus, saved_workflows)
    return Jobs(
        service=service,
        history=history,
        submitter=submitter,
        pins=pins,
        routers=(
            routes.create_router(
                jobs=service, submitter=submitter, public_url=url, on_usage_changed=users.drop_cached_usage
            ),
            batch_routes.create_router(submitter=submitter, public_url=url),
            bulk_routes.create_router(jobs=service, public_url=url, on_usage_changed=users.drop_cached_usage),
            generate_routes.create_router(
                bus=bus,
                submitter=submitter,
                public_url=url,
                on_usage_changed=users.drop_cached_usage,
                shutdown=infra.shutdown,
            ),
            history_routes.create_router(history=history),
            validation_routes.create_router(submitter=submitter),
            form_routes.create_router(bus=bus, submitter=submitter, fleet=fleet),
            saved_workflow_routes.create_router(submitter=submitter, saved_workflows=saved_workflows, public_url=url),
            event_routes.create_router(
                jobs=service,
                watch_credential=identity.watch_credential,
                sockets=infra.metrics.gauge(SOCKETS),
                shutdown=infra.shutdown,
            ),
        ),
    )
