"""An upload as the public API shows it."""

from datetime import datetime
from uuid import UUID

from pydantic import BaseModel, ConfigDict


class UploadBody(BaseModel):
    """One image that is kept. Its type, sizes and SHA-256 are those of what is kept; ``url`` gives its bytes.

    From ``expires_at`` on, or from the end of the last job that uses it, it may be gone; where that is null it is kept
    until it is deleted.
    """

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "id": "0199f2b0-7c3e-7a51-9d24-5a1be0c0ffee",
                    "content_type": "image/png",
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
    content_type: str
    size_bytes: int
    width: int
    height: int
    sha256: str
    created_at: datetime
    expires_at: datetime | None
    url: str


class UploadsBody(BaseModel):
    """A page of uploads, newest first; ``next_cursor`` is null on the last one."""

    uploads: list[UploadBody]
    next_cursor: str | None
