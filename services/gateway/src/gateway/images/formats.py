"""Image formats, how to recognize them by content, and the options of a conversion."""

import hashlib
from dataclasses import dataclass
from enum import IntEnum, StrEnum

_JPEG, _PNG = b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n"


class ImageFormat(StrEnum):
    """A format that images are read from and converted to."""

    PNG = "png"
    JPEG = "jpeg"
    WEBP = "webp"

    @property
    def media_type(self) -> str:
        return f"image/{self.value}"

    @property
    def extension(self) -> str:
        """The extension of file names, without the dot."""
        return "jpg" if self is ImageFormat.JPEG else self.value


@dataclass(frozen=True, slots=True)
class ConversionOptions:
    """The options of a conversion.

    Attributes:
        quality: 1 to 100; ignored for PNG.
        width, height: pixels; the image is scaled down to fit, keeps its aspect ratio, and is never enlarged.
        for_workflow_input: animated and damaged images are refused, and JPEG keeps full colour resolution.
    """

    format: ImageFormat
    quality: int
    width: int | None = None
    height: int | None = None
    for_workflow_input: bool = False

    def compute_etag(self, sha256: str, encoder: str) -> str:
        """Return the strong ETag of the conversion of the bytes with this SHA-256 by this version of the encoder."""
        quality = 0 if self.format is ImageFormat.PNG else self.quality
        hashed = f"{sha256} {encoder} {self.format} {quality} {self.width} {self.height}"
        return f'"{hashlib.sha256(hashed.encode()).hexdigest()}"'


class ExitStatus(IntEnum):
    """Exit status of the converter process. Any other status is a crash."""

    CONVERTED = 0
    NOT_CONVERTIBLE = 10
    TOO_MANY_PIXELS = 11


def detect_format(prefix: bytes) -> ImageFormat | None:
    """Return the format of a file that begins with these bytes (12 suffice), or None."""
    if prefix.startswith(_PNG):
        return ImageFormat.PNG
    if prefix.startswith(_JPEG):
        return ImageFormat.JPEG
    if prefix[:4] == b"RIFF" and prefix[8:12] == b"WEBP":
        return ImageFormat.WEBP
    return None
