"""The answer to a validation as the public API shows it."""

from pydantic import BaseModel

from contracts.scheduler.submissions import RandomInput, ValidationReply
from contracts.wire.errors import FieldError


class ValidationBody(BaseModel):
    """The result of a validation.

    Attributes:
        errors: why it would be refused, in the form of a 422's ``errors``.
        warnings: what runs otherwise than it was sent, and limits that would refuse a submit just now.
        images: that a submit reserves of the day's quota; absent if it would be refused.
        random_seeds: inputs that get another random value at each submit, the first 50.
    """

    valid: bool
    errors: list[FieldError]
    warnings: list[FieldError]
    images: int | None = None
    random_seeds: list[RandomInput]


def present_validation(found: ValidationReply) -> ValidationBody:
    """The public body."""
    return ValidationBody(
        valid=not found.errors,
        errors=list(found.errors),
        warnings=list(found.warnings),
        images=found.images,
        random_seeds=list(found.random_seeds),
    )
