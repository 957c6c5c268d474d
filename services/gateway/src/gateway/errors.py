"""How the gateway says no."""

from contracts.wire.errors import Kind, Refusal


class Malformed(Refusal):
    """The request body could not be read. errors says what is wrong with it."""

    kind, code = Kind.MALFORMED, "request.malformed"


class UnsupportedMediaType(Refusal):
    """Send the body uncompressed, with exactly one header Content-Type: {expected}."""

    kind, code = Kind.UNSUPPORTED, "request.unsupported_media_type"


class NoSuchPath(Refusal):
    """There is nothing at this path. See /docs for all paths."""

    kind, code = Kind.NOT_FOUND, "http.not_found"


class InvalidRequest(Refusal):
    """The request has invalid or missing fields. errors names each one and what is valid."""

    kind, code = Kind.INVALID, "request.invalid"


class BodyTooLarge(Refusal):
    """The request body is larger than {limit} bytes. Send less."""

    kind, code = Kind.TOO_LARGE, "request.too_large"


class TooManyBodies(Refusal):
    """Too many large request bodies are being received at once. Send them one after another."""

    kind, code = Kind.LIMITED, "request.too_many_bodies"


class BodyTooSlow(Refusal):
    """The request body did not arrive within {seconds} seconds. Send it again."""

    kind, code = Kind.TOO_SLOW, "request.too_slow"


class BadIdempotencyKey(Refusal):
    """Invalid Idempotency-Key. Send it at most once, with 1 to 255 visible ASCII characters."""

    kind, code = Kind.MALFORMED, "idempotency.key_malformed"


class NoModel(Refusal):
    """No node has a checkpoint for text-to-image. Ask the operator to install one, or send your own workflow."""

    kind, code = Kind.INVALID, "model.missing"


class ResultStorageFull(Refusal):
    """Your stored outputs take {stored} bytes; your tier allows {limit}. Purge jobs that you no longer need."""

    kind, code = Kind.FORBIDDEN, "quota.result_bytes_exceeded"


class BadCursor(Refusal):
    """Invalid cursor. Pass `next_cursor` from the previous page with the same filters."""

    kind, code = Kind.INVALID, "cursor.invalid"


class BadInputToken(Refusal):
    """This link to an upload is invalid or has expired."""

    kind, code = Kind.FORBIDDEN, "upload.token_invalid"


class BadOutputToken(Refusal):
    """This upload link is invalid or has expired."""

    kind, code = Kind.FORBIDDEN, "output.token_invalid"


class BrokenOutput(Refusal):
    """The upload ended before its last byte. Nothing was stored."""

    kind, code = Kind.MALFORMED, "output.upload_broken"


class OutputTooLarge(Refusal):
    """An output can have at most {limit} bytes."""

    kind, code = Kind.TOO_LARGE, "output.too_large"


class RateLimited(Refusal):
    """Rate limit exceeded: at most {limit} {policy} requests per {window} seconds. Wait as long as Retry-After says."""

    kind, code = Kind.LIMITED, "rate.exceeded"


class BatchTooLarge(Refusal):
    """This batch has {jobs} jobs, and each counts as a request: your limit is {limit} a minute. Send fewer at once."""

    kind, code = Kind.INVALID, "batch.too_large"


class SessionNeeded(Refusal):
    """This request needs the access token of a login. An API key is not enough. Log in first."""

    kind, code = Kind.FORBIDDEN, "auth.session.needed"


class UnknownTier(Refusal):
    """There is no such tier. GET /api/v1/admin/tiers lists all."""

    kind, code = Kind.NOT_FOUND, "auth.tier.not_found"


class UnknownWorkflow(Refusal):
    """There is no saved workflow of this name and version. GET /api/v1/workflows lists yours."""

    kind, code = Kind.NOT_FOUND, "workflow.not_found"


class TooManyWorkflows(Refusal):
    """You have {limit} saved workflows, the maximum. Delete one first."""

    kind, code = Kind.CONFLICT, "workflow.too_many"


class TooManyVersions(Refusal):
    """This workflow has {limit} versions, the maximum. Delete it, or save under another name."""

    kind, code = Kind.CONFLICT, "workflow.too_many_versions"


class BadParameters(Refusal):
    """The parameters do not fit the saved workflow. errors names each one and what is valid."""

    kind, code = Kind.INVALID, "workflow.parameters_invalid"


class JobFailed(Refusal):
    """The job failed and would fail again: {cause}. Correct it and submit it again."""

    kind, code = Kind.INVALID, "job.failed"


class JobLost(Refusal):
    """The job failed because of an infrastructure fault. Submit it again."""

    kind, code = Kind.UNAVAILABLE, "job.lost"


class JobCancelled(Refusal):
    """The job was cancelled. Submit it again to have it run."""

    kind, code = Kind.CONFLICT, "job.cancelled"


class NotConvertible(Refusal):
    """Only intact PNG, JPEG and WebP images can be converted. Leave out format, quality, width and height."""

    kind, code = Kind.INVALID, "output.not_convertible"


class TooManyPixels(Refusal):
    """An image to convert can have at most {limit} pixels. Leave out format, quality, width and height."""

    kind, code = Kind.INVALID, "output.too_many_pixels"


class ConversionFailed(Refusal):
    """The image could not be converted. Leave out format, quality, width and height to fetch it as it is."""

    kind, code = Kind.INVALID, "output.conversion_failed"


class TooManyConversions(Refusal):
    """Too many of your images are being converted or fetched at once. Wait for some to finish."""

    kind, code = Kind.LIMITED, "output.too_many_conversions"


class UnsupportedImage(Refusal):
    """Unsupported file type. Send an image (PNG, JPEG, WebP or EXR), a video, a sound, a latent or a 3D file."""

    kind, code = Kind.INVALID, "upload.unsupported_image"


class AnimatedImage(Refusal):
    """Animated images are not supported. Upload a single frame."""

    kind, code = Kind.INVALID, "upload.animated_image"


class UploadTooManyPixels(Refusal):
    """An image can have at most {limit} pixels; this one has {width} x {height}. Make it smaller."""

    kind, code = Kind.INVALID, "upload.too_many_pixels"


class BrokenImage(Refusal):
    """The image is damaged, or takes more than {seconds} seconds to decode. Save it again as PNG."""

    kind, code = Kind.INVALID, "upload.broken_image"


class UploadTooLarge(Refusal):
    """An image can have at most {limit} bytes. Compress it or make it smaller."""

    kind, code = Kind.TOO_LARGE, "upload.too_large"


class FileTooLarge(Refusal):
    """A file can have at most {limit} bytes. Compress it or make it smaller."""

    kind, code = Kind.TOO_LARGE, "upload.file_too_large"


class NotKeptExactly(Refusal):
    """Only a PNG can be kept exactly as it is sent. Send this image without exact=true."""

    kind, code = Kind.INVALID, "upload.exact_unsupported"


class TooManyUploads(Refusal):
    """You can keep at most {files} uploads with {bytes} bytes in all. Delete some of them first."""

    kind, code = Kind.TOO_LARGE, "upload.quota_exceeded"


class UnknownUpload(Refusal):
    """There is no such upload, or it has expired. Upload the file again: POST /api/v1/upload."""

    kind, code = Kind.NOT_FOUND, "upload.not_found"


class UploadInUse(Refusal):
    """A job that has not ended uses this upload; errors names it. Wait for it or cancel it."""

    kind, code = Kind.CONFLICT, "upload.in_use"


class ExportRunning(Refusal):
    """An export of this account is running. Start another one when it has finished."""

    kind, code = Kind.LIMITED, "auth.export_running"
