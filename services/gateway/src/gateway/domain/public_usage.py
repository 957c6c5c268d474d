"""What was used by day as the public API shows it."""

from collections.abc import Iterable, Mapping
from datetime import date

from pydantic import BaseModel, ConfigDict

from contracts.operations import UsageDay

Requests = Mapping[date, Mapping[str, int]]
"""Requests of each UTC day by endpoint."""


class UsageDayBody(BaseModel):
    """One UTC day.

    ``requests`` are counted when they are answered, by ``endpoints`` (method and template of the path). ``jobs``,
    ``images`` and ``gpu_seconds`` are those of the jobs that were accepted on that day, whenever they ended; images of
    jobs that have not ended are reserved ones.
    """

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "day": "2026-11-23",
                    "requests": 15,
                    "jobs": 3,
                    "images": 12,
                    "gpu_seconds": 34.5,
                    "endpoints": {"POST /api/v1/jobs": 3, "GET /api/v1/jobs/{job_id}": 12},
                }
            ]
        }
    )

    day: date
    requests: int
    jobs: int
    images: int
    gpu_seconds: float
    endpoints: dict[str, int]


class UsageBody(BaseModel):
    """Days with any use, newest first; there is never a next page."""

    usage: list[UsageDayBody]
    next_cursor: None = None


def present_usage(jobs: Iterable[UsageDay], requests: Requests) -> UsageBody:
    """Both told together, day by day."""
    days = {day.day: day for day in jobs}
    return UsageBody(usage=[_day(at, days.get(at), requests.get(at, {})) for at in sorted({*days, *requests})[::-1]])


def _day(at: date, used: UsageDay | None, endpoints: Mapping[str, int]) -> UsageDayBody:
    return UsageDayBody(
        day=at,
        requests=sum(endpoints.values()),
        jobs=used.jobs if used else 0,
        images=used.images if used else 0,
        gpu_seconds=round(used.gpu_seconds, 3) if used else 0.0,
        endpoints=dict(sorted(endpoints.items())),
    )
