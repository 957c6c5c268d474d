"""Calls about uploads, and what they answer."""

from dataclasses import dataclass
from datetime import datetime
from os import PathLike
from pathlib import Path
from typing import IO, TypeAlias

from comfyfleet_client.call import Call, Request, given, nothing, reads, segment

Source: TypeAlias = str | PathLike[str] | bytes | IO[bytes]
"""Where a file is: a path, its bytes, or a file that is open for reading bytes."""


@dataclass(frozen=True, slots=True)
class Upload:
    """A file that the service keeps for workflows, until it is deleted where ``expires_at`` is None.

    Type, sizes and SHA-256 are of what it keeps. ``kind`` is image, video, audio, latent or model_3d; only an image has
    ``width`` and ``height``. One that is ``exact`` is kept byte for byte as it was sent.
    """

    id: str
    content_type: str
    size_bytes: int
    width: int | None
    height: int | None
    sha256: str
    created_at: datetime
    expires_at: datetime | None
    url: str
    kind: str | None = None
    exact: bool = False


@dataclass(frozen=True, slots=True)
class UploadPage:
    """Some uploads."""

    uploads: tuple[Upload, ...]
    next_cursor: str | None = None

    @property
    def items(self) -> tuple[Upload, ...]:
        """What is on it."""
        return self.uploads


def content_of(source: Source) -> bytes:
    """The bytes of a file. Raises OSError where a path leads to none."""
    if isinstance(source, bytes):
        return source
    if isinstance(source, str | PathLike):
        return Path(source).read_bytes()
    return source.read()


def upload_id_of(upload: Upload | str) -> str:
    """The id of an upload."""
    return upload if isinstance(upload, str) else upload.id


def add_upload(content: bytes, *, exact: bool = False) -> Call[Upload]:
    """Upload a file. The same bytes are one upload however often they are sent."""
    headers = {"Content-Type": "application/octet-stream"}  # the service goes by the bytes
    query = {"exact": "true"} if exact else {}
    return Call(Request("POST", "/upload", body=content, headers=headers, query=query), reads(Upload))


def list_uploads(*, limit: int | None = None, cursor: str | None = None) -> Call[UploadPage]:
    """A page of own uploads."""
    return Call(Request("GET", "/uploads", query=given(limit=limit, cursor=cursor)), reads(UploadPage))


def read_upload(upload_id: str) -> Call[Upload]:
    """One upload."""
    return Call(Request("GET", f"/uploads/{segment(upload_id)}"), reads(Upload))


def delete_upload(upload_id: str) -> Call[None]:
    """Delete an upload."""
    return Call(Request("DELETE", f"/uploads/{segment(upload_id)}"), nothing)
