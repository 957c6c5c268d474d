"""Messages of validation errors."""

from enum import StrEnum
from typing import Annotated, Any, Literal
from uuid import UUID

import pytest
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from contracts.wire.field_messages import build_field_message


class Color(StrEnum):
    RED = "red"
    BLUE = "blue"


class Inner(BaseModel):
    size: int = 0


class Body(BaseModel):
    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)

    name: str = Field(default="a", min_length=2, max_length=4, pattern="^a")
    steps: Annotated[int, Field(strict=True, ge=1, le=150, multiple_of=2)] = 2
    count: Annotated[int, Field(gt=0, lt=9)] = 1
    cfg_scale: Annotated[float, Field(strict=True)] = 1.0
    ratio: float = 1.0
    upscale: Annotated[bool, Field(strict=True)] = False
    verbose: bool = False
    tags: Annotated[list[str], Field(min_length=1, max_length=2)] = ["a"]
    pair: tuple[int, int] = (0, 0)
    labels: dict[str, str] = {}
    inner: Inner = Inner()
    job_id: UUID | None = None
    color: Color = Color.RED
    mode: Literal["warn", "fail"] = "warn"
    value: Annotated[str, Field(strict=True)] | int = ""
    even: int = 0

    @field_validator("even")
    @classmethod
    def _check_even(cls, value: int) -> int:
        if value % 2:
            raise ValueError("Send an even number.")
        return value


def messages_of(sent: object) -> list[str]:
    with pytest.raises(ValidationError) as raised:
        Body.model_validate(sent)
    return [build_field_message(error, Body.model_fields) for error in raised.value.errors()]


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("name", 1, '"name" must be a text in quotes.'),
        ("name", "a", '"name" must have 2 or more characters.'),
        ("name", "aaaaa", '"name" must have 4 or fewer characters.'),
        ("name", "bb", '"name" must match the pattern ^a.'),
        ("steps", "20", '"steps" must be a whole number without quotes.'),
        ("steps", 0, '"steps" must be 1 or more.'),
        ("steps", 152, '"steps" must be 150 or less.'),
        ("steps", 3, '"steps" must be a multiple of 2.'),
        ("count", "many", '"count" must be a whole number.'),
        ("count", 1.5, '"count" must be a whole number.'),
        ("count", 0, '"count" must be greater than 0.'),
        ("count", 9, '"count" must be less than 9.'),
        ("cfg_scale", "7", '"cfg_scale" must be a number without quotes.'),
        ("ratio", "wide", '"ratio" must be a number.'),
        ("ratio", float("nan"), '"ratio" must be a finite number.'),
        ("upscale", "true", '"upscale" must be true or false, without quotes.'),
        ("verbose", "maybe", '"verbose" must be true or false.'),
        ("tags", "a", '"tags" must be a list: [...].'),
        ("tags", [], '"tags" must have 1 or more items.'),
        ("tags", ["a", "b", "c"], '"tags" must have 2 or fewer items.'),
        ("tags", [1], "This value must be a text in quotes."),
        ("pair", 1, '"pair" must be a list: [...].'),
        ("labels", [], '"labels" must be an object: {...}.'),
        ("inner", 1, '"inner" must be an object: {...}.'),
        ("job_id", "x", '"job_id" must be an id, such as 0199f2b0-7c3e-7a51-9d24-5a1be0c0ffee.'),
        ("job_id", 1, '"job_id" must be an id, such as 0199f2b0-7c3e-7a51-9d24-5a1be0c0ffee.'),
        ("color", "green", "\"color\" must be 'red' or 'blue'."),
        ("mode", "stop", "\"mode\" must be 'warn' or 'fail'."),
        ("even", 1, "Send an even number."),
        ("cfg", 7, 'There is no field "cfg". Remove or rename it. Nearest: "cfg_scale".'),
        ("zzzz", 7, 'There is no field "zzzz". Remove it.'),
        ("cfg_scale" * 8, 7, f'There is no field "{"cfg_scale" * 8}". Remove it.'),
        ("a\nb", 7, 'There is no field "a\N{REPLACEMENT CHARACTER}b". Remove it.'),
    ],
)
def test_invalid_field_is_described_without_its_value(field: str, value: Any, message: str) -> None:
    assert messages_of({field: value}) == [message]


def test_value_that_no_member_of_a_union_takes_is_not_named_by_the_member() -> None:
    assert messages_of({"value": []}) == [
        "This value must be a text in quotes.",
        "This value must be a whole number without quotes.",
    ]


def test_body_that_is_not_an_object_is_described_as_the_body() -> None:
    assert messages_of([]) == ["The body must be an object: {...}."]


def test_missing_field_is_named() -> None:
    class Needed(BaseModel):
        name: str

    with pytest.raises(ValidationError) as raised:
        Needed.model_validate({})
    assert build_field_message(raised.value.errors()[0]) == '"name" is required, and is missing.'
