"""Errors of invalid messages."""

import pytest
from pydantic import ValidationError

from contracts.scheduler.jobs import ReadJob
from contracts.wire.errors import MAX_COUNTED_ERRORS, MAX_FIELD_ERRORS, MAX_POINTER, FieldError, build_field_errors


def errors_of(sent: dict[str, object]) -> tuple[FieldError, ...]:
    with pytest.raises(ValidationError) as raised:
        ReadJob.model_validate(sent)
    return build_field_errors(raised.value)


def test_first_hundred_errors_are_reported() -> None:
    errors = errors_of({f"k{number}": 1 for number in range(MAX_FIELD_ERRORS * 2)})
    assert len(errors) == MAX_FIELD_ERRORS
    assert errors[0].pointer == "/job_id"


def test_very_many_errors_are_reported_as_a_number() -> None:
    (error,) = errors_of({f"k{number}": 1 for number in range(MAX_COUNTED_ERRORS * 50)})
    assert (error.code, str(MAX_COUNTED_ERRORS * 50 + 1) in error.message) == ("too_many_errors", True)


def test_pointer_of_an_unknown_field_escapes_special_characters() -> None:
    assert errors_of({"a/b~c": 1})[-1].pointer == "/a~1b~0c"


def test_long_key_is_truncated_in_the_pointer_of_an_error() -> None:
    errors = errors_of({"k" * 1_000_000: 1})
    assert max(len(error.pointer) for error in errors) == MAX_POINTER
