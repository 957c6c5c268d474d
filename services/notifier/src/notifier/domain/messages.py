"""What clients say over a socket for many jobs."""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

MAX_SEQ = 2**31 - 1

JobText = Annotated[str, Field(max_length=64)]  # whether it is the id of a job is for the scheduler to say


class BadMessage(Exception):
    """What was said is not one of the messages that there are."""


class Said(BaseModel):
    """One message: exact types, nothing unknown."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    job_id: JobText


class Subscribe(Said):
    """Show me this job; with ``after``, from the event of that ``seq`` on."""

    type: Literal["subscribe"]
    after: Annotated[int, Field(ge=0, le=MAX_SEQ)] | None = None


class Unsubscribe(Said):
    """Show me no more of it."""

    type: Literal["unsubscribe"]


_READ: TypeAdapter[Subscribe | Unsubscribe] = TypeAdapter(
    Annotated[Subscribe | Unsubscribe, Field(discriminator="type")]
)


def read_message(text: str) -> Subscribe | Unsubscribe:
    """What a message says.

    Raises:
        BadMessage: it is no JSON, of no known type, or has other fields than that.
    """
    try:
        return _READ.validate_json(text)
    except ValidationError:
        raise BadMessage from None
