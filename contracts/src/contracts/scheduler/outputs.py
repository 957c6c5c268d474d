"""Outputs of a job."""

from enum import StrEnum
from typing import Annotated
from uuid import UUID

from pydantic import Field, JsonValue

from contracts.wire.model import TolerantModel
from contracts.wire.text import ShortText


class OutputKind(StrEnum):
    """The medium of an output."""

    IMAGE = "image"
    VIDEO = "video"
    AUDIO = "audio"
    TEXT = "text"
    MODEL = "model"
    FILE = "file"


class OutputSource(StrEnum):
    """Where an output came from."""

    FILE = "file"  # a file that the node wrote, or an image that it sent
    VALUE = "value"  # a text or other JSON value that the node reported


class Output(TolerantModel):
    """One stored output of a job. ``id`` names its object in the artifact store.

    Attributes:
        temporary: a preview, which the node wrote to its temporary folder.
        key: key under which the node reported it, such as "images", "text", "result"; None if unknown.
        position: zero-based place in the list under that key.
        value: the value itself if it is small (``MAX_INLINE_BYTES`` in the executor), else None. The stored object
            always holds the whole value.
    """

    id: UUID
    node_id: ShortText
    name: ShortText
    kind: OutputKind
    content_type: ShortText
    size_bytes: int
    sha256: ShortText
    temporary: bool = False
    source: OutputSource = OutputSource.FILE
    key: ShortText | None = None
    position: Annotated[int, Field(ge=0)] = 0
    value: JsonValue = None
