"""Base models of all data that crosses a process boundary."""

from pydantic import BaseModel, ConfigDict


class StrictModel(BaseModel):
    """A request. Unknown fields are refused, because ignoring them would hide a mistake of the sender."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class TolerantModel(BaseModel):
    """A reply or event. Unknown fields are ignored, so that producers can add fields."""

    model_config = ConfigDict(frozen=True, extra="ignore", allow_inf_nan=False)
