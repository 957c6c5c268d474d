"""Upload, read, list and delete files."""

from datetime import timedelta
from http import HTTPStatus
from typing import Annotated, Any, NamedTuple

from fastapi import APIRouter, Query, Request, Response

from contracts.auth.tiers import Limits
from contracts.file_types import FILE_TYPES
from gateway.accounts.user_cache import UserCache
from gateway.api.v1.errors import BadCursor
from gateway.api.v1.problems import declare_problems
from gateway.edge.access import Reader, Writer
from gateway.storage.file_extensions import find_extension
from gateway.storage.objects import ArtifactStore
from gateway.storage.responses import StoredObject, build_content_disposition, respond_with_object
from gateway.uploads.body import BARE_MEDIA_TYPES, FORM_MEDIA_TYPE, ReceivedFile, ReceivedImage, UploadReceiver
from gateway.uploads.errors import UPLOAD_PROBLEMS, UnknownUpload, UploadInUse
from gateway.uploads.removal import UploadRemover
from gateway.uploads.schemas import UploadBody, UploadsBody
from gateway.uploads.service import UploadService
from gateway.uploads.store import Upload
from gateway.uploads.tenant_uploads import TenantUploads

_BINARY = {"schema": {"type": "string", "format": "binary"}}
_BODY: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "content": {
            FORM_MEDIA_TYPE: {
                "schema": {
                    "type": "object",
                    "required": ["file"],
                    "properties": {"file": {"type": "string", "format": "binary"}},
                    "additionalProperties": False,
                }
            },
            **dict.fromkeys(BARE_MEDIA_TYPES, _BINARY),
        },
    }
}


def create_router(
    *,
    receiver: UploadReceiver,
    service: UploadService,
    uploads: TenantUploads,
    remover: UploadRemover,
    objects: ArtifactStore,
    users: UserCache,
    default_retention: timedelta | None,
    public_url: str,
) -> APIRouter:
    """Return the routes of uploads.

    ``default_retention``: how long an upload is kept if the user has no individual limit; None for ever.
    """
    routes = APIRouter(prefix="/api/v1", tags=["uploads"])

    def present(upload: Upload) -> UploadBody:
        return _build_upload_body(upload, public_url)

    @routes.post(
        "/upload",
        status_code=201,
        summary="Upload a file",
        openapi_extra=_BODY,
        responses={
            201: {"headers": {"Location": {"description": "URL path of the upload.", "schema": {"type": "string"}}}},
            200: {
                "model": UploadBody,
                "description": "The same bytes were uploaded before; that upload, with its expiry extended.",
            },
            **declare_problems(*UPLOAD_PROBLEMS),
        },
    )
    async def upload_file(
        *,
        tenant: Writer,
        request: Request,
        response: Response,
        exact: Annotated[bool, Query(description="keep a PNG unchanged; files other than images always are")] = False,
    ) -> UploadBody:
        """Takes the one file of a form, or the body itself. Only its content determines its type.

        PNG, JPEG and WebP images are re-encoded: upright, in sRGB, with alpha; JPEG stays JPEG, others become PNG.
        Metadata and name are removed. ``exact=true`` keeps a PNG unchanged, which preserves 16 bits per channel.

        Videos, sounds, latents (safetensors), 3D files and EXR images are kept unchanged. Nodes and their owner can
        read them; browsers only download them.

        Uploading the same bytes again returns the same upload.
        """
        limits = await users.read_limits(request.state.principal)
        retention = _choose_retention(limits, default_retention)
        max_file_bytes = service.choose_max_file_bytes(limits.upload_bytes)
        async with receiver.receive_file(request, tenant, max_file_bytes) as received:
            upload, is_new = await _store_upload(
                service,
                received,
                UploadOptions(tenant, retention, exact=exact, max_file_bytes=max_file_bytes),
            )
        response.status_code = 201 if is_new else 200
        response.headers["Location"] = f"/api/v1/uploads/{upload.id}"
        return present(upload)

    @routes.get("/uploads", summary="List own uploads, newest first", responses=declare_problems(BadCursor))
    async def list_uploads(
        *,
        tenant: Reader,
        limit: Annotated[int, Query(ge=1, le=100)] = 20,
        cursor: Annotated[str | None, Query(max_length=200, description="next_cursor of the previous page")] = None,
    ) -> UploadsBody:
        found, next_cursor = await uploads.list_uploads(tenant=tenant, limit=limit, cursor=cursor)
        return UploadsBody(uploads=[present(upload) for upload in found], next_cursor=next_cursor)

    @routes.get("/uploads/{upload_id}", summary="Read an upload", responses=declare_problems(UnknownUpload))
    async def read_upload(tenant: Reader, upload_id: str) -> UploadBody:
        return present(await uploads.read_upload(upload_id, tenant=tenant))

    @routes.delete(
        "/uploads/{upload_id}",
        status_code=204,
        summary="Delete an upload",
        responses=declare_problems(UnknownUpload, UploadInUse),
    )
    async def delete_upload(tenant: Writer, upload_id: str) -> None:
        """409 while a job that has not ended uses it: wait for the job, or cancel it."""
        await remover.remove_upload(upload_id, tenant=tenant)

    async def download_upload(request: Request, tenant: Reader, upload_id: str) -> Response:
        """Return the stored bytes. One Range per request; the ETag is the SHA-256."""
        upload = await uploads.read_upload(upload_id, tenant=tenant)
        stored = StoredObject(
            upload.key, upload.sha256, upload.size_bytes, upload.content_type, _build_disposition(upload)
        )
        try:
            return await respond_with_object(request, stored, objects)
        except FileNotFoundError:
            raise UnknownUpload from None

    routes.get(
        "/uploads/{upload_id}/content",
        summary="Download an upload",
        response_class=Response,
        responses={
            200: {"content": {media_type: {} for media_type in FILE_TYPES}, "description": "The bytes."},
            206: {"description": "The requested range."},
            304: {"description": "The ETag matches If-None-Match."},
            **declare_problems(UnknownUpload, HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE),
        },
    )(download_upload)
    routes.head("/uploads/{upload_id}/content", include_in_schema=False)(download_upload)
    return routes


class UploadOptions(NamedTuple):
    """How to keep an upload: its owner, for how long, whether unchanged, and the size limit."""

    tenant: str
    retention: timedelta | None
    exact: bool
    max_file_bytes: int


async def _store_upload(
    service: UploadService, received: ReceivedImage | ReceivedFile, options: UploadOptions
) -> tuple[Upload, bool]:
    if isinstance(received, ReceivedImage):
        return await service.store_image(
            received.content, tenant=options.tenant, retention=options.retention, exact=options.exact
        )
    return await service.store_file(
        received.prefix,
        received.rest,
        tenant=options.tenant,
        retention=options.retention,
        max_bytes=options.max_file_bytes,
    )


def _choose_retention(limits: Limits, default_retention: timedelta | None) -> timedelta | None:
    return timedelta(days=limits.upload_days) if limits.upload_days else default_retention


def _build_upload_body(upload: Upload, public_url: str) -> UploadBody:
    fields = {name: getattr(upload, name) for name in UploadBody.model_fields if name not in {"url", "kind"}}
    file_type = FILE_TYPES.get(upload.content_type)
    url = f"{public_url}/api/v1/uploads/{upload.id}/content"
    return UploadBody(url=url, kind=file_type.kind if file_type else None, **fields)


def _build_disposition(upload: Upload) -> str:
    """Return ``attachment`` for unchanged files: they were not inspected, so browsers must not render them."""
    name = f"{upload.id}{find_extension(upload.content_type)}"
    return build_content_disposition(name, "application/octet-stream" if upload.exact else upload.content_type)
