"""The URLs of signed links."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from time import time
from urllib.parse import parse_qs
from uuid import UUID

from gateway.signing import links
from gateway.signing.keys import SigningKeys
from gateway.signing.links import ArchiveLink, OutputLink

OUTPUTS_PATH = "/api/v1/outputs/"
ARCHIVE_PATH = f"{OUTPUTS_PATH}archive.zip"


@dataclass(frozen=True, slots=True)
class OutputUrls:
    """URLs of one output. ``thumbnail`` works only for images."""

    content: str
    thumbnail: str
    expires_at: datetime


class LinkUrls:
    """Builds and verifies the URLs of signed links.

    Args:
        keys: sign the links.
        origin: origin of the URLs, as clients see the gateway.
    """

    def __init__(self, keys: SigningKeys, origin: str) -> None:
        self._keys, self._origin = keys, origin

    def build_output_urls(self, output_id: UUID, name: str, *, tenant: str) -> OutputUrls:
        """Return the URLs of an output, the same for some minutes."""
        link = links.build_output_link(tenant=tenant, output_id=output_id, name=name, now_s=time())
        token = links.sign_output_link(self._keys, link)
        output = f"{self._origin}{OUTPUTS_PATH}{output_id}"
        return OutputUrls(
            content=f"{output}/content?token={token}",
            thumbnail=f"{output}/thumbnail?token={token}",
            expires_at=datetime.fromtimestamp(link.expires_s, UTC),
        )

    def build_archive_url(self, job_ids: Sequence[UUID], *, tenant: str) -> tuple[str, datetime]:
        """Return the URL of an archive with the outputs of these jobs, and when it expires."""
        link = links.build_archive_link(tenant=tenant, job_ids=job_ids, now_s=time())
        url = f"{self._origin}{ARCHIVE_PATH}?token={links.sign_archive_link(self._keys, link)}"
        return url, datetime.fromtimestamp(link.expires_s, UTC)

    def verify_output(self, output_id: str, token: str) -> OutputLink | None:
        """Return what the token of an output's URL permits; None if it is invalid or has expired."""
        try:
            parsed = UUID(output_id)
        except ValueError:
            return None
        return links.verify_output_link(self._keys, parsed, token, now_s=time())

    def verify_archive(self, token: str) -> ArchiveLink | None:
        """Return what the token of an archive's URL permits; None if it is invalid or has expired."""
        return links.verify_archive_link(self._keys, token, now_s=time())

    def find_link_owner(self, path: str, query: bytes) -> str | None:
        """Return the owner of the link that a request uses; None if there is no valid link."""
        if not path.startswith(OUTPUTS_PATH) or not query:
            return None
        token = parse_qs(query.decode("latin-1")).get("token", [""])[0]
        link = self.verify_archive(token) if path == ARCHIVE_PATH else self.verify_output(path.split("/")[4], token)
        return link.tenant if link else None
