"""Outputs of a job."""

from enum import StrEnum
from typing import Annotated
from uuid import UUID

from pydantic import Field, JsonValue

from contracts.wire.model import TolerantModel
from contracts.wire.text import Name


class OutputKind(StrEnum):
    """What medium an output is."""

    IMAGE = "image"
    VIDEO = "video"
    AUDIO = "audio"
    TEXT = "text"
    MODEL = "model"
    FILE = "file"


class OutputSource(StrEnum):
    """What an output was before it was stored."""

    FILE = "file"  # a file that a node wrote, or an image that it sent
    VALUE = "value"  # a text or another JSON value that a node reported


class Output(TolerantModel):
    """One stored output of a job. ``id`` names its bytes in the artifact store.

    Attributes:
        temporary: a preview: the node wrote it to its folder for temporary files.
        key: under which the node reported it, such as "images", "text", "result"; None where that is not known.
        position: its place in the list under that key, from 0.
        value: of a value that is small (``MAX_INLINE_BYTES`` in the executor); None of any other output. The stored
            bytes are the whole value in any case.
    """

    id: UUID
    node_id: Name
    name: Name
    kind: OutputKind
    content_type: Name
    size_bytes: int
    sha256: Name
    temporary: bool = False
    source: OutputSource = OutputSource.FILE
    key: Name | None = None
    position: Annotated[int, Field(ge=0)] = 0
    value: JsonValue = None
