"""Base models of everything that crosses a process boundary."""

from pydantic import BaseModel, ConfigDict


class StrictModel(BaseModel):
    """Something asked of a service. Unknown fields are refused: the sender meant something that we would drop."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class TolerantModel(BaseModel):
    """Something that is or has happened: a reply, an event. Unknown fields are ignored, so a producer may add some."""

    model_config = ConfigDict(frozen=True, extra="ignore", allow_inf_nan=False)
