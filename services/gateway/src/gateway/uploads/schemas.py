"""Response bodies for uploads."""

from datetime import datetime
from uuid import UUID

from pydantic import BaseModel, ConfigDict

from contracts.file_types import FileKind


class UploadBody(BaseModel):
    """An upload. Type, size and SHA-256 are those of the stored file, whose bytes are at ``url``.

    ``width`` and ``height``: size of an image in pixels, else null. ``kind``: which inputs accept it. ``exact``: the
    stored file is the sent file, byte for byte.

    It is deleted after ``expires_at``, or later if a job still uses it. If ``expires_at`` is null, it never expires.
    """

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "id": "0199f2b0-7c3e-7a51-9d24-5a1be0c0ffee",
                    "kind": "image",
                    "content_type": "image/png",
                    "exact": False,
                    "size_bytes": 48213,
                    "width": 768,
                    "height": 512,
                    "sha256": "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
                    "created_at": "2026-11-23T09:00:00Z",
                    "expires_at": "2026-11-30T09:00:00Z",
                    "url": "https://fleet.example/api/v1/uploads/0199f2b0-7c3e-7a51-9d24-5a1be0c0ffee/content",
                }
            ]
        }
    )

    id: UUID
    kind: FileKind | None
    content_type: str
    exact: bool
    size_bytes: int
    width: int | None
    height: int | None
    sha256: str
    created_at: datetime
    expires_at: datetime | None
    url: str


class UploadsBody(BaseModel):
    """A page of uploads, newest first. ``next_cursor`` is null on the last page."""

    uploads: list[UploadBody]
    next_cursor: str | None
