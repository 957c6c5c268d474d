"""The base of strict request bodies."""

from pydantic import BaseModel, ConfigDict


class RequestBody(BaseModel):
    """A request body: strict types, no unknown fields, and no values in error messages."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False, strict=True, hide_input_in_errors=True)
