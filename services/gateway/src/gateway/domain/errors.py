"""How the gateway says no."""

from contracts.wire.errors import Kind, Refusal


class Malformed(Refusal):
    """The request body is not JSON as this API takes it."""

    kind, code = Kind.MALFORMED, "request.malformed"


class UnsupportedMediaType(Refusal):
    """This takes a body of one Content-Type, {expected}, without any Content-Encoding."""

    kind, code = Kind.UNSUPPORTED, "request.unsupported_media_type"


class NoSuchPath(Refusal):
    """There is nothing at this path."""

    kind, code = Kind.NOT_FOUND, "http.not_found"


class InvalidRequest(Refusal):
    """The request does not have the shape asked for."""

    kind, code = Kind.INVALID, "request.invalid"


class BodyTooLarge(Refusal):
    """The request body is larger than {limit} bytes."""

    kind, code = Kind.TOO_LARGE, "request.too_large"


class TooManyBodies(Refusal):
    """Too many bytes of request bodies at once."""

    kind, code = Kind.LIMITED, "request.too_many_bodies"


class BodyTooSlow(Refusal):
    """The request body did not come within {seconds} seconds."""

    kind, code = Kind.TOO_SLOW, "request.too_slow"


class BadIdempotencyKey(Refusal):
    """An Idempotency-Key is sent once and has 1 to 255 visible ASCII characters."""

    kind, code = Kind.MALFORMED, "idempotency.key_malformed"


class NoModel(Refusal):
    """No node of the fleet has a checkpoint to make images with."""

    kind, code = Kind.INVALID, "model.missing"


class ResultStorageFull(Refusal):
    """Your stored outputs take {stored} bytes; your tier allows {limit}. Delete jobs that you no longer need."""

    kind, code = Kind.FORBIDDEN, "quota.result_bytes_exceeded"


class BadCursor(Refusal):
    """The cursor is not one that this list gave out for this filter."""

    kind, code = Kind.INVALID, "cursor.invalid"


class BadInputToken(Refusal):
    """This link to an upload is not one of ours or has expired."""

    kind, code = Kind.FORBIDDEN, "upload.token_invalid"


class BadOutputToken(Refusal):
    """This upload link is not one of ours or has expired."""

    kind, code = Kind.FORBIDDEN, "output.token_invalid"


class BrokenOutput(Refusal):
    """The upload ended before its last byte; nothing of it was kept."""

    kind, code = Kind.MALFORMED, "output.upload_broken"


class OutputTooLarge(Refusal):
    """An output may have {limit} bytes at most."""

    kind, code = Kind.TOO_LARGE, "output.too_large"


class RateLimited(Refusal):
    """{limit} requests in {window} seconds of the class {policy} are used up; see Retry-After."""

    kind, code = Kind.LIMITED, "rate.exceeded"


class BatchTooLarge(Refusal):
    """This batch has {jobs} jobs, and each counts as a request: your limit is {limit} a minute. Send fewer at once."""

    kind, code = Kind.INVALID, "batch.too_large"


class SessionNeeded(Refusal):
    """This needs the access token of a session: log in. An API key cannot do it."""

    kind, code = Kind.FORBIDDEN, "auth.session.needed"


class UnknownTier(Refusal):
    """There is no such tier."""

    kind, code = Kind.NOT_FOUND, "auth.tier.not_found"


class UnknownWorkflow(Refusal):
    """There is no such saved workflow, or not this version of it."""

    kind, code = Kind.NOT_FOUND, "workflow.not_found"


class TooManyWorkflows(Refusal):
    """{limit} workflows are saved, which is as many as may be; delete one."""

    kind, code = Kind.CONFLICT, "workflow.too_many"


class TooManyVersions(Refusal):
    """This workflow has {limit} versions, which is as many as may be; delete it, or save under another name."""

    kind, code = Kind.CONFLICT, "workflow.too_many_versions"


class BadParameters(Refusal):
    """The parameters are not those that the workflow takes; errors says which, and what would be valid."""

    kind, code = Kind.INVALID, "workflow.parameters_invalid"


class JobFailed(Refusal):
    """The job failed, and would again; errors says why."""

    kind, code = Kind.INVALID, "job.failed"


class JobLost(Refusal):
    """The job failed, and not through what it was to do; errors says why. Try again."""

    kind, code = Kind.UNAVAILABLE, "job.lost"


class JobCancelled(Refusal):
    """The job was cancelled."""

    kind, code = Kind.CONFLICT, "job.cancelled"


class NotConvertible(Refusal):
    """This output cannot be converted: it is no PNG, JPEG or WebP image, is broken, or too large for the format."""

    kind, code = Kind.INVALID, "output.not_convertible"


class TooManyPixels(Refusal):
    """An image that is to be converted may have {limit} pixels at most."""

    kind, code = Kind.INVALID, "output.too_many_pixels"


class ConversionFailed(Refusal):
    """The conversion of this output took too long or broke off; without format and size its own bytes are there."""

    kind, code = Kind.INVALID, "output.conversion_failed"


class TooManyConversions(Refusal):
    """Too many of your images are being converted or fetched at once."""

    kind, code = Kind.LIMITED, "output.too_many_conversions"


class UnsupportedImage(Refusal):
    """This is no file of a type that is taken: images (PNG, JPEG, WebP, EXR), videos, sounds, latents, 3D files."""

    kind, code = Kind.INVALID, "upload.unsupported_image"


class AnimatedImage(Refusal):
    """An image must not move: send the one frame that is meant."""

    kind, code = Kind.INVALID, "upload.animated_image"


class UploadTooManyPixels(Refusal):
    """An image may have {limit} pixels at most; this says that it has {width} x {height}."""

    kind, code = Kind.INVALID, "upload.too_many_pixels"


class BrokenImage(Refusal):
    """The image cannot be read to its end within {seconds} seconds: it is broken, or made to be hard to read."""

    kind, code = Kind.INVALID, "upload.broken_image"


class UploadTooLarge(Refusal):
    """An image may have {limit} bytes at most."""

    kind, code = Kind.TOO_LARGE, "upload.too_large"


class FileTooLarge(Refusal):
    """A file may have {limit} bytes at most."""

    kind, code = Kind.TOO_LARGE, "upload.file_too_large"


class NotKeptExactly(Refusal):
    """Only a PNG can be kept exactly as it is sent. Send this image without exact=true."""

    kind, code = Kind.INVALID, "upload.exact_unsupported"


class TooManyUploads(Refusal):
    """At most {files} uploads with {bytes} bytes together are kept; delete some, or wait for those that expire."""

    kind, code = Kind.TOO_LARGE, "upload.quota_exceeded"


class UnknownUpload(Refusal):
    """There is no such upload, or it has expired."""

    kind, code = Kind.NOT_FOUND, "upload.not_found"


class UploadInUse(Refusal):
    """A job that has not ended uses this upload; wait for it or cancel it. errors names the jobs."""

    kind, code = Kind.CONFLICT, "upload.in_use"


class ExportRunning(Refusal):
    """An export of this account is on its way; another one may begin when it has ended."""

    kind, code = Kind.LIMITED, "auth.export_running"
