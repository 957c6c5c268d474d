"""Bodies of the list of outputs, and of links to archives."""

from datetime import datetime
from typing import Annotated
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field, JsonValue

from contracts.scheduler.output_lists import ListedOutput
from contracts.scheduler.outputs import OutputKind, OutputSource
from gateway.signing.link_urls import LinkUrls

MAX_ARCHIVED_JOBS = 100
THUMBNAIL_TYPES = frozenset({"image/png", "image/jpeg", "image/webp"})


class ListedOutputBody(BaseModel):
    """An output of one of the user's jobs.

    Attributes:
        index: index among the outputs of its job, from 0.
        temporary: whether it is a preview, which a node saved only temporarily.
        source: "file", or "value" for a text or JSON value that a node reported; its kind is "text".
        value: the value itself if it is small, else null.
        workflow, labels: workflow and labels of the job.
        created_at: when the job was completed.
        url: signed link to the bytes, which works without a credential: for ``<img src>`` and ``<video src>``.
        thumbnail_url: signed link to a WebP thumbnail of at most 256 pixels, or of ``&size=`` pixels up to 1024; null
            if the output is not a PNG, JPEG or WebP image.
        url_expires_at: when both links expire. They stay the same for up to 15 minutes, and work for at least 15.
    """

    id: UUID
    job_id: UUID
    index: int
    node_id: str
    name: str
    kind: OutputKind
    content_type: str
    size_bytes: int
    sha256: str
    temporary: bool
    source: OutputSource
    value: JsonValue
    workflow: str
    labels: dict[str, str]
    created_at: datetime
    url: str
    thumbnail_url: str | None
    url_expires_at: datetime


class ListedOutputsBody(BaseModel):
    """A page of outputs, newest first. ``next_cursor`` is null on the last page."""

    outputs: list[ListedOutputBody]
    next_cursor: str | None


class ArchiveLinkRequest(BaseModel):
    """The jobs whose outputs an archive has. Jobs that do not exist or have no result are left out."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    job_ids: Annotated[list[UUID], Field(min_length=1, max_length=MAX_ARCHIVED_JOBS)]


class ArchiveLinkBody(BaseModel):
    """A signed link to the archive, which works without a credential."""

    url: str
    expires_at: datetime


def build_listed_output_body(listed: ListedOutput, links: LinkUrls, *, tenant: str) -> ListedOutputBody:
    output = listed.output
    urls = links.build_output_urls(output.id, output.name, tenant=tenant)
    has_thumbnail = output.kind is OutputKind.IMAGE and output.content_type in THUMBNAIL_TYPES
    return ListedOutputBody(
        **output.model_dump(exclude={"key", "position"}),
        job_id=listed.job_id,
        index=listed.index,
        workflow=listed.workflow,
        labels=listed.labels,
        created_at=listed.completed_at,
        url=urls.content,
        thumbnail_url=urls.thumbnail if has_thumbnail else None,
        url_expires_at=urls.expires_at,
    )
