"""Response body of a validation."""

from pydantic import BaseModel

from contracts.scheduler.submissions import RandomInput, ValidationReply
from contracts.wire.errors import FieldError


class ValidationBody(BaseModel):
    """The result of a validation.

    Attributes:
        errors: why a submission would be refused, in the form of a 422's ``errors``.
        warnings: what would run differently from what was sent, and limits that would refuse a submission now.
        images: number that a submission would reserve of the day's quota; absent if it would be refused.
        random_seeds: inputs that get another random value with each submission, at most 50.
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
