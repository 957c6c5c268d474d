"""Signed links. Each permits GET of one output, or of one archive of outputs, until it expires.

A link works without a credential, so that a browser can load it into a page or navigate to it.
"""

import base64
from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

from gateway.signing import signed_text
from gateway.signing.keys import SigningKeys

LINK_WINDOW_S = 900
"""For this many seconds all links to an output are the same, so that browsers can cache it.

A link is valid for at least as long, and at most twice as long.
"""
ARCHIVE_LINK_LIFETIME_S = 900  # lifetime of a link to an archive
MAX_NAME = 100  # characters of a file name in a link

_OUTPUT, _ARCHIVE = "output link", "archive link"


@dataclass(frozen=True, slots=True)
class OutputLink:
    """The right to read one output. ``name``: name of the downloaded file."""

    tenant: str
    output_id: UUID
    name: str
    expires_s: int


@dataclass(frozen=True, slots=True)
class ArchiveLink:
    """The right to read the outputs of some jobs as one archive."""

    tenant: str
    job_ids: tuple[UUID, ...]
    expires_s: int


def build_output_link(*, tenant: str, output_id: UUID, name: str, now_s: float) -> OutputLink:
    """Return the link to an output that clients get at ``now_s``. Each output changes its link at a time of its own."""
    phase = output_id.int % LINK_WINDOW_S
    expires_s = ((int(now_s) - phase) // LINK_WINDOW_S + 2) * LINK_WINDOW_S + phase
    return OutputLink(tenant, output_id, _shorten_name(name), expires_s)


def sign_output_link(keys: SigningKeys, link: OutputLink) -> str:
    """Return the token of a link, which is valid for this output only."""
    return signed_text.sign(keys, _build_purpose(link.output_id), [UUID(link.tenant).hex, link.expires_s, link.name])


def verify_output_link(keys: SigningKeys, output_id: UUID, token: str, *, now_s: float) -> OutputLink | None:
    """Return the link to this output that a token was made for; None if it is invalid or has expired."""
    value = signed_text.verify(keys, _build_purpose(output_id), token)
    if value is None or value[1] < now_s:
        return None
    return OutputLink(str(UUID(value[0])), output_id, value[2], value[1])


def build_archive_link(*, tenant: str, job_ids: Sequence[UUID], now_s: float) -> ArchiveLink:
    return ArchiveLink(tenant, tuple(job_ids), int(now_s) + ARCHIVE_LINK_LIFETIME_S)


def sign_archive_link(keys: SigningKeys, link: ArchiveLink) -> str:
    """Return the token of a link. For 100 jobs it has about 3000 characters."""
    packed = base64.b85encode(b"".join(job_id.bytes for job_id in link.job_ids)).decode()
    return signed_text.sign(keys, _ARCHIVE, [UUID(link.tenant).hex, link.expires_s, packed])


def verify_archive_link(keys: SigningKeys, token: str, *, now_s: float) -> ArchiveLink | None:
    """Return the link that a token was made for; None if it is invalid or has expired."""
    value = signed_text.verify(keys, _ARCHIVE, token)
    if value is None or value[1] < now_s:
        return None
    ids = base64.b85decode(value[2])
    job_ids = tuple(UUID(bytes=ids[start : start + 16]) for start in range(0, len(ids), 16))
    return ArchiveLink(str(UUID(value[0])), job_ids, value[1])


def _build_purpose(output_id: UUID) -> str:
    return f"{_OUTPUT} {output_id.hex}"


def _shorten_name(name: str) -> str:
    """Return the end of a long name, which has its extension."""
    return name[-MAX_NAME:]
