"""Calls about uploads, and their results."""

from dataclasses import dataclass
from datetime import datetime
from os import PathLike
from pathlib import Path
from typing import IO, TypeAlias

from comfyfleet_client.call import Call, Request, build_parser, omit_none, parse_empty, quote_segment

Source: TypeAlias = str | PathLike[str] | bytes | IO[bytes]
"""A file to upload: its path, its bytes, or a file that is open for reading bytes."""


@dataclass(frozen=True, slots=True)
class Upload:
    """An uploaded file, kept until it is deleted if ``expires_at`` is None.

    Type, sizes and SHA-256 describe the stored file. ``kind`` is image, video, audio, latent or model_3d; only images
    have ``width`` and ``height``. ``exact`` files are stored byte for byte.
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
    """A page of uploads."""

    uploads: tuple[Upload, ...]
    next_cursor: str | None = None

    @property
    def items(self) -> tuple[Upload, ...]:
        return self.uploads


def read_content(source: Source) -> bytes:
    """Return the bytes of a file. Raises OSError if the path does not exist."""
    if isinstance(source, bytes):
        return source
    if isinstance(source, str | PathLike):
        return Path(source).read_bytes()
    return source.read()


def get_upload_id(upload: Upload | str) -> str:
    return upload if isinstance(upload, str) else upload.id


def add_upload(content: bytes, *, exact: bool = False) -> Call[Upload]:
    """Upload a file. The same bytes always give the same upload."""
    headers = {"Content-Type": "application/octet-stream"}  # the service detects the type by content
    query = {"exact": "true"} if exact else {}
    return Call(Request("POST", "/upload", body=content, headers=headers, query=query), build_parser(Upload))


def list_uploads(*, limit: int | None = None, cursor: str | None = None) -> Call[UploadPage]:
    return Call(Request("GET", "/uploads", query=omit_none(limit=limit, cursor=cursor)), build_parser(UploadPage))


def read_upload(upload_id: str) -> Call[Upload]:
    return Call(Request("GET", f"/uploads/{quote_segment(upload_id)}"), build_parser(Upload))


def delete_upload(upload_id: str) -> Call[None]:
    return Call(Request("DELETE", f"/uploads/{quote_segment(upload_id)}"), parse_empty)
