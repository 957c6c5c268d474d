"""Messages that clients send over a WebSocket for many jobs."""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

MAX_SEQ = 2**31 - 1

JobIdText = Annotated[str, Field(max_length=64)]  # the scheduler decides whether it is a job id


class InvalidMessage(Exception):
    """Unknown or malformed message."""


class ClientMessage(BaseModel):
    """A message with exact types and no unknown fields."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    job_id: JobIdText


class Subscribe(ClientMessage):
    """Watch this job; with ``after``, starting after the event with that ``seq``."""

    type: Literal["subscribe"]
    after: Annotated[int, Field(ge=0, le=MAX_SEQ)] | None = None


class Unsubscribe(ClientMessage):
    """Stop watching this job."""

    type: Literal["unsubscribe"]


_MESSAGE: TypeAdapter[Subscribe | Unsubscribe] = TypeAdapter(
    Annotated[Subscribe | Unsubscribe, Field(discriminator="type")]
)


def parse_message(text: str) -> Subscribe | Unsubscribe:
    """Parse a message.

    Raises:
        InvalidMessage: not JSON, unknown type, or wrong fields.
    """
    try:
        return _MESSAGE.validate_json(text)
    except ValidationError:
        raise InvalidMessage from None
