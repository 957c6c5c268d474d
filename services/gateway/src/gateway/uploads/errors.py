"""Errors of requests for uploads."""

from contracts.file_types import FILE_TYPES
from contracts.gateway.transfers import StorageFull
from contracts.wire.errors import ErrorKind, Refusal
from gateway.edge.errors import BodyTooSlow, Malformed, TooManyBodies, UnsupportedMediaType
from gateway.images.errors import TooManyConversions
from gateway.storage.errors import StoreMismatch

SUPPORTED_FORMATS = ", ".join(dict.fromkeys(file_type.extension for file_type in FILE_TYPES.values()))


class UnsupportedImage(Refusal):
    """The content of this file has no supported type. Convert the file to one of: {formats}."""

    kind, code = ErrorKind.INVALID, "upload.unsupported_image"


class AnimatedImage(Refusal):
    """Animated images are not supported. Upload a single frame."""

    kind, code = ErrorKind.INVALID, "upload.animated_image"


class UploadTooManyPixels(Refusal):
    """This image has {width} x {height} pixels. Make it smaller: at most {limit}, such as {side} x {side}."""

    kind, code = ErrorKind.INVALID, "upload.too_many_pixels"


class BrokenImage(Refusal):
    """The image is damaged, or takes more than {seconds} seconds to decode. Save it again as PNG."""

    kind, code = ErrorKind.INVALID, "upload.broken_image"


class UploadTooLarge(Refusal):
    """An image can have at most {limit} bytes. Compress it or make it smaller."""

    kind, code = ErrorKind.TOO_LARGE, "upload.too_large"


class FileTooLarge(Refusal):
    """A file can have at most {limit} bytes. Compress it or make it smaller."""

    kind, code = ErrorKind.TOO_LARGE, "upload.file_too_large"


class ExactUploadUnsupported(Refusal):
    """Only a PNG can be stored unchanged. Send this image without exact=true."""

    kind, code = ErrorKind.INVALID, "upload.exact_unsupported"


class TooManyUploads(Refusal):
    """You can keep at most {files} uploads with {bytes} bytes in all. Delete some of them first."""

    kind, code = ErrorKind.TOO_LARGE, "upload.quota_exceeded"


class UnknownUpload(Refusal):
    """There is no such upload, or it has expired. Upload the file again: POST /api/v1/upload."""

    kind, code = ErrorKind.NOT_FOUND, "upload.not_found"


class UploadInUse(Refusal):
    """A job that has not ended uses this upload: see the field "errors". Wait for the job or cancel it."""

    kind, code = ErrorKind.CONFLICT, "upload.in_use"


UPLOAD_PROBLEMS: tuple[type[Refusal], ...] = (
    Malformed, BodyTooSlow, UnsupportedMediaType, TooManyBodies, UploadTooLarge, FileTooLarge, TooManyUploads,
    UnsupportedImage, AnimatedImage, UploadTooManyPixels, BrokenImage, ExactUploadUnsupported, TooManyConversions,
    StorageFull, StoreMismatch,
)  # fmt: skip
"""Refusals of an upload."""
