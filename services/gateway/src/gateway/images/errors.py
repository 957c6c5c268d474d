"""Errors of requests for image conversions."""

from contracts.wire.errors import ErrorKind, Refusal


class NotConvertible(Refusal):
    """Only intact PNG, JPEG and WebP images can be converted. Leave out format, quality, width and height."""

    kind, code = ErrorKind.INVALID, "output.not_convertible"


class TooManyPixels(Refusal):
    """An image to convert can have at most {limit} pixels. Leave out format, quality, width and height."""

    kind, code = ErrorKind.INVALID, "output.too_many_pixels"


class ConversionFailed(Refusal):
    """The image could not be converted. Leave out format, quality, width and height to fetch it as it is."""

    kind, code = ErrorKind.INVALID, "output.conversion_failed"


class TooManyConversions(Refusal):
    """Too many of your images are being converted or fetched at once. Wait for some to finish."""

    kind, code = ErrorKind.LIMITED, "output.too_many_conversions"
