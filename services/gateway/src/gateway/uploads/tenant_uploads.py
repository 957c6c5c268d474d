"""Reads and lists the uploads of a tenant. Uploads of other tenants count as missing."""

from uuid import UUID

from gateway.api.v1 import cursors
from gateway.signing.keys import SigningKeys
from gateway.uploads.errors import UnknownUpload
from gateway.uploads.store import Upload, UploadStore

CURSOR_FILTERS = "uploads"


def parse_upload_id(text: str) -> UUID:
    """Return the upload id in a path.

    Raises:
        UnknownUpload: the text is not a UUID in its canonical form.
    """
    try:
        upload_id = UUID(text)
    except ValueError:
        raise UnknownUpload from None
    if str(upload_id) != text:
        raise UnknownUpload
    return upload_id


class TenantUploads:
    def __init__(self, uploads: UploadStore, *, cursor_keys: SigningKeys) -> None:
        self._uploads, self._keys = uploads, cursor_keys

    async def read_upload(self, text: str, *, tenant: str) -> Upload:
        """Return the upload with this id.

        Raises:
            UnknownUpload: the tenant has no such upload.
        """
        upload_id = parse_upload_id(text)
        found = await self._uploads.find_uploads(tenant, (upload_id,))
        if upload_id not in found:
            raise UnknownUpload
        return found[upload_id]

    async def list_uploads(self, *, tenant: str, limit: int, cursor: str | None) -> tuple[list[Upload], str | None]:
        """Return a page of uploads, newest first, and the cursor of the next page.

        Raises:
            BadCursor: the cursor was made for another tenant.
        """
        before = (
            cursors.decode(self._keys, cursor, tenant=tenant, filters=CURSOR_FILTERS) if cursor is not None else None
        )
        found = await self._uploads.list_newest(tenant, before=before, limit=limit + 1)
        if len(found) <= limit:
            return found, None
        page = found[:limit]
        return page, cursors.encode(self._keys, tenant=tenant, filters=CURSOR_FILTERS, before=page[-1].id)
