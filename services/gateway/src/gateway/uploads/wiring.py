"""Builds the routes, services and loop for uploads."""

from dataclasses import dataclass
from datetime import timedelta
from time import monotonic

from gateway.accounts.user_cache import UserCache
from gateway.edge.capacity_limit import CapacityLimit
from gateway.images.converter import ImageConverter
from gateway.images.limiter import ImageLimiter
from gateway.uploads import routes
from gateway.uploads.body import MAX_CONCURRENT_FILES, MAX_CONCURRENT_FILES_PER_TENANT, UploadReceiver
from gateway.uploads.loops import create_upload_loop
from gateway.uploads.removal import UploadRemover, UploadSweeper
from gateway.uploads.service import UploadService
from gateway.uploads.store import UploadLimits, UploadStore
from gateway.uploads.sweep_store import UploadSweepStore
from gateway.uploads.tenant_uploads import TenantUploads
from gateway.uploads.unpin_ended_jobs import EndedJobUnpinner
from gateway.wiring import Feature, Infrastructure


@dataclass(frozen=True, kw_only=True)
class UploadsFeature(Feature):
    """The wired uploads feature, with the table of uploads."""

    store: UploadStore


def wire_uploads(infra: Infrastructure, images: ImageLimiter, users: UserCache) -> UploadsFeature:
    """Construct the uploads feature.

    Args:
        infra: settings and connections.
        images: limits the conversions that run at a time.
        users: has each user's limits.
    """
    settings = infra.settings
    store = UploadStore(infra.database, UploadLimits(files=settings.max_uploads, bytes=settings.max_uploads_bytes))
    service = UploadService(
        store,
        infra.objects,
        ImageConverter(max_pixels=settings.upload_max_pixels, within_s=settings.upload_within_s),
        images,
        max_bytes=settings.max_upload_size,
        max_file_bytes=settings.max_file_bytes,
    )
    unpinner = EndedJobUnpinner(infra.bus, store)
    sweeper = UploadSweeper(UploadSweepStore(infra.database), infra.objects, unpinner)
    router = routes.create_router(
        receiver=UploadReceiver(
            service,
            CapacityLimit(total=MAX_CONCURRENT_FILES, per_client=MAX_CONCURRENT_FILES_PER_TENANT, clock=monotonic),
        ),
        service=service,
        uploads=TenantUploads(store, cursor_keys=infra.derive_keys("cursors")),
        remover=UploadRemover(store, infra.objects, unpinner),
        objects=infra.objects,
        users=users,
        default_retention=timedelta(days=settings.upload_days) if settings.upload_days else None,
        public_url=settings.public_url,
    )
    loop = create_upload_loop(sweeper, every_s=settings.uploads_sweep_s)
    return UploadsFeature(store=store, routers=(router,), loops=(loop,))
