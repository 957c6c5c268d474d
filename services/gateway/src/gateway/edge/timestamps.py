"""Timestamps in requests."""

import re
from datetime import datetime
from typing import Annotated, Any

from pydantic import AfterValidator, AwareDatetime, BeforeValidator, Field
from pydantic_core import PydanticCustomError

RFC_3339 = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,6})?(Z|[+-]\d\d:\d\d)", re.ASCII)
FIRST_YEAR, LAST_YEAR = 1970, 9998  # a day outside these years is still representable in every time zone


def _check_format(value: Any) -> Any:
    if not isinstance(value, str) or not RFC_3339.fullmatch(value):  # pydantic would also accept numbers
        raise PydanticCustomError(
            "datetime_type", "Send a time with its zone in the form of RFC 3339, such as 2026-11-29T10:00:00Z."
        )
    return value


def _check_range(timestamp: datetime) -> datetime:
    if not FIRST_YEAR <= timestamp.year <= LAST_YEAR:
        raise PydanticCustomError("datetime_range", "Send a time between the years 1970 and 9998.")
    return timestamp


Timestamp = Annotated[AwareDatetime, Field(strict=False), BeforeValidator(_check_format)]
"""A timestamp in a strict request body."""

QueryTimestamp = Annotated[AwareDatetime, BeforeValidator(_check_format), AfterValidator(_check_range)]
"""A timestamp in a query that limits a list."""
