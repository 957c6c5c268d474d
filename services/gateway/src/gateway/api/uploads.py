"""Images that workflows take: put in, looked at, taken out."""

from datetime import timedelta
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request, Response

from gateway.api.access import Reader, Writer
from gateway.api.problems import problems
from gateway.api.stored import Stored, answer, disposition
from gateway.api.upload_body import FORM, PICTURES, received
from gateway.domain.errors import UnknownUpload
from gateway.domain.picture_format import PictureFormat
from gateway.domain.public_upload import UploadBody, UploadsBody
from gateway.store.objects import Objects
from gateway.store.uploads import Upload
from gateway.usecases.me import MeView
from gateway.usecases.own_uploads import OwnUploads
from gateway.usecases.remove_uploads import UploadRemover
from gateway.usecases.take_upload import UploadDesk

_BINARY = {"schema": {"type": "string", "format": "binary"}}
_BODY: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "content": {
            FORM: {
                "schema": {
                    "type": "object",
                    "required": ["file"],
                    "properties": {"file": {"type": "string", "format": "binary"}},
                    "additionalProperties": False,
                }
            },
            **dict.fromkeys(PICTURES, _BINARY),
        },
    }
}


def router(
    *,
    desk: UploadDesk,
    own: OwnUploads,
    remover: UploadRemover,
    objects: Objects,
    me: MeView,
    longest: timedelta | None,
    public_url: str,
) -> APIRouter:
    """The routes of uploads; ``longest`` is how long one is kept where the user's limits do not say, None for good."""
    routes = APIRouter(prefix="/api/v1", tags=["uploads"])

    def present(upload: Upload) -> UploadBody:
        fields = {name: getattr(upload, name) for name in UploadBody.model_fields if name != "url"}
        return UploadBody(url=f"{public_url}/api/v1/uploads/{upload.id}/content", **fields)

    @routes.post(
        "/upload",
        status_code=201,
        summary="Upload an image",
        openapi_extra=_BODY,
        responses={
            201: {"headers": {"Location": {"description": "The upload.", "schema": {"type": "string"}}}},
            200: {"model": UploadBody, "description": "These bytes are kept already; from now on as long as new ones."},
            **problems(400, 408, 413, 415, 422),
        },
    )
    async def upload(tenant: Writer, request: Request, response: Response) -> UploadBody:
        """A PNG, JPEG or WebP, as the one file of a form or as the body itself. What it is, its bytes say.

        Kept are its pixels, upright and in sRGB, with their alpha: as JPEG where it was one, as PNG otherwise. Nothing
        else of the file is, neither metadata nor name. The same bytes again are the same upload.
        """
        async with received(request, desk) as sent:
            limits = await me.limits(request.state.principal)
            keep = timedelta(days=limits.upload_days) if limits.upload_days else longest
            taken, new = await desk.take(sent, tenant=tenant, keep=keep)
        response.status_code = 201 if new else 200
        response.headers["Location"] = f"/api/v1/uploads/{taken.id}"
        return present(taken)

    @routes.get("/uploads", summary="List own uploads, newest first", responses=problems(422))
    async def list_(
        *,
        tenant: Reader,
        limit: Annotated[int, Query(ge=1, le=100)] = 20,
        cursor: Annotated[str | None, Query(max_length=200, description="next_cursor of the page before")] = None,
    ) -> UploadsBody:
        found, next_cursor = await own.page(tenant=tenant, limit=limit, cursor=cursor)
        return UploadsBody(uploads=[present(one) for one in found], next_cursor=next_cursor)

    @routes.get("/uploads/{upload_id}", summary="Read an upload", responses=problems(404))
    async def read(tenant: Reader, upload_id: str) -> UploadBody:
        return present(await own.read(upload_id, tenant=tenant))

    @routes.delete("/uploads/{upload_id}", status_code=204, summary="Delete an upload", responses=problems(404, 409))
    async def delete(tenant: Writer, upload_id: str) -> None:
        """409 while a job that has not ended uses it: wait for the job, or cancel it."""
        await remover.remove(upload_id, tenant=tenant)

    async def content(request: Request, tenant: Reader, upload_id: str) -> Response:
        """The bytes that are kept. One Range at a time; ETag is the SHA-256."""
        upload = await own.read(upload_id, tenant=tenant)
        name = f"{upload.id}.{PictureFormat(upload.content_type.removeprefix('image/')).extension}"
        saved_as = disposition(name, upload.content_type)
        stored = Stored(upload.key, upload.sha256, upload.size_bytes, upload.content_type, saved_as)
        try:
            return await answer(request, stored, objects)
        except FileNotFoundError:
            raise UnknownUpload from None

    routes.get(
        "/uploads/{upload_id}/content",
        summary="The bytes of an upload",
        response_class=Response,
        responses={
            200: {"content": {"image/png": {}, "image/jpeg": {}}, "description": "The bytes."},
            206: {"description": "The part that Range asked for."},
            304: {"description": "If-None-Match names the ETag."},
            **problems(404, 416),
        },
    )(content)
    routes.head("/uploads/{upload_id}/content", include_in_schema=False)(content)
    return routes
