"""Which picture formats are known, how one is recognised by its bytes, and what a client may want of a picture."""

import hashlib
from dataclasses import dataclass
from enum import IntEnum, StrEnum

_JPEG, _PNG = b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n"


class ImageFormat(StrEnum):
    """A format that pictures are read from and converted to."""

    PNG = "png"
    JPEG = "jpeg"
    WEBP = "webp"

    @property
    def media_type(self) -> str:
        """The Content-Type."""
        return f"image/{self.value}"

    @property
    def extension(self) -> str:
        """What file names end in, without the dot."""
        return "jpg" if self is ImageFormat.JPEG else self.value


@dataclass(frozen=True, slots=True)
class Wanted:
    """A picture as a client wants it.

    Attributes:
        quality: 1 to 100; PNG loses nothing and knows none.
        width, height: the box that it must fit into, pixels; its shape is kept, and it is never enlarged.
        faithful: as a workflow's input: what moves or makes the decoder complain is refused, and JPEG keeps its colours
            at full size.
    """

    format: ImageFormat
    quality: int
    width: int | None = None
    height: int | None = None
    faithful: bool = False

    def etag(self, sha256: str, encoder: str) -> str:
        """The strong ETag of the picture made of the bytes with this SHA-256 by this version of the encoder."""
        quality = 0 if self.format is ImageFormat.PNG else self.quality
        made_of = f"{sha256} {encoder} {self.format} {quality} {self.width} {self.height}"
        return f'"{hashlib.sha256(made_of.encode()).hexdigest()}"'


class Said(IntEnum):
    """How the process that converts a picture ends: its exit status. Any other is a crash."""

    CONVERTED = 0
    NOT_CONVERTIBLE = 10
    TOO_MANY_PIXELS = 11


def format_of(begun: bytes) -> ImageFormat | None:
    """The format of a file that begins like this (12 bytes tell), None for any other."""
    if begun.startswith(_PNG):
        return ImageFormat.PNG
    if begun.startswith(_JPEG):
        return ImageFormat.JPEG
    if begun[:4] == b"RIFF" and begun[8:12] == b"WEBP":
        return ImageFormat.WEBP
    return None
