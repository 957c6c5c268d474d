"""Response body of a validation."""

from pydantic import BaseModel

from contracts.scheduler.submissions import RandomInput, ValidationReply
from contracts.wire.errors import FieldError


class ValidationBody(BaseModel):
    """The result of a validation.

    Attributes:
        errors: why a submission would be refused, in the format of ``errors`` in a 422 response.
        warnings: differences between the workflow and what would run, and any limit that would currently refuse it.
        images: images that a submission would reserve from the daily quota; absent if it would be refused.
        random_seeds: inputs that get a new random value on each submission (at most 50).
    """

    valid: bool
    errors: list[FieldError]
    warnings: list[FieldError]
    images: int | None = None
    random_seeds: list[RandomInput]


def build_validation_body(found: ValidationReply) -> ValidationBody:
    return ValidationBody(
        valid=not found.errors,
        errors=list(found.errors),
        warnings=list(found.warnings),
        images=found.images,
        random_seeds=list(found.random_seeds),
    )
