"""What an operator's action would do."""

from typing import Any

from contracts.wire.model import TolerantModel


class Effect(TolerantModel):
    """One effect of an action.

    Attributes:
        code: stable name of the effect.
        message: the effect as a sentence.
        count: number of jobs, users or sessions that it concerns; None if it is not about a number.
    """

    code: str
    message: str
    count: int | None = None


class FieldChange(TolerantModel):
    """A field that an action would change."""

    field: str
    before: Any
    after: Any


class Preview(TolerantModel):
    """What an action would do. It has not been executed."""

    effects: tuple[Effect, ...]
    changes: tuple[FieldChange, ...] = ()


NO_EFFECT = "no_effect"
