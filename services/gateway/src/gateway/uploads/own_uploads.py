"""A tenant's own uploads: found and listed. What is somebody else's is absent."""

from uuid import UUID

from gateway.api.v1 import cursors
from gateway.errors import UnknownUpload
from gateway.uploads.store import Upload, Uploads

FILTERS = "uploads"


def upload_id_of(text: str) -> UUID:
    """The id in a path.

    Raises:
        UnknownUpload: it is none; a malformed id is answered like one that nobody has.
    """
    try:
        upload_id = UUID(text)
    except ValueError:
        raise UnknownUpload from None
    if str(upload_id) != text:
        raise UnknownUpload
    return upload_id


class OwnUploads:
    """Uploads as their tenant sees them."""

    def __init__(self, uploads: Uploads, *, cursor_key: bytes) -> None:
        self._uploads, self._key = uploads, cursor_key

    async def read(self, text: str, *, tenant: str) -> Upload:
        """The upload of this id.

        Raises:
            UnknownUpload: there is none, or it is somebody else's.
        """
        upload_id = upload_id_of(text)
        found = await self._uploads.find_all(tenant, (upload_id,))
        if upload_id not in found:
            raise UnknownUpload
        return found[upload_id]

    async def page(self, *, tenant: str, limit: int, cursor: str | None) -> tuple[list[Upload], str | None]:
        """A page, newest first, and the cursor of the next one.

        Raises:
            BadCursor: the cursor was not given out for this tenant.
        """
        before = cursors.decode(self._key, cursor, tenant=tenant, filters=FILTERS) if cursor is not None else None
        found = await self._uploads.page(tenant, before=before, at_most=limit + 1)
        if len(found) <= limit:
            return found, None
        page = found[:limit]
        return page, cursors.encode(self._key, tenant=tenant, filters=FILTERS, before=page[-1].id)
