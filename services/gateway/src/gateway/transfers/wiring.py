"""Builds the routes by which executors download inputs and upload outputs."""

from gateway.transfers import input_routes, output_routes
from gateway.transfers.grants import serve_grants
from gateway.transfers.input_downloads import InputDownloads
from gateway.transfers.output_uploads import OutputUploads
from gateway.uploads.store import UploadStore
from gateway.wiring import Feature, Infrastructure


def wire_transfers(infra: Infrastructure, uploads: UploadStore) -> Feature:
    """Construct the transfers feature, and serve requests of executors for links. Call it before the bus starts."""
    settings = infra.settings
    downloads = InputDownloads(
        uploads=uploads,
        objects=infra.objects,
        keys=infra.derive_keys("inputs"),
        file_name_key=infra.derive_keys("input names")[0],
        origin=settings.internal_url,
        link_s=settings.input_link_s,
    )
    output_uploads = OutputUploads(
        artifacts=infra.artifacts,
        objects=infra.objects,
        keys=infra.derive_keys("outputs"),
        origin=settings.internal_url,
        link_s=settings.output_link_s,
        max_bytes=settings.max_output_bytes,
    )
    serve_grants(infra.bus, downloads, output_uploads)
    return Feature(
        routers=(
            input_routes.create_router(downloads=downloads),
            output_routes.create_router(uploads=output_uploads, idle_s=settings.output_idle_s),
        )
    )
