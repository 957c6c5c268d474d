"""What was used by day as the public API shows it."""

from collections.abc import Iterable, Mapping
from datetime import date

from pydantic import BaseModel, ConfigDict

from contracts.scheduler.usage import EndpointUsage, UsageDay

Requests = Mapping[date, Mapping[str, int]]
"""Requests of each UTC day by endpoint."""


class EndpointUseBody(BaseModel):
    """What one endpoint was used for: requests, and what the jobs have taken that they submitted.

    ``images`` are those of jobs that have ended; ``gpu_seconds`` grow as attempts end.
    """

    requests: int = 0
    images: int = 0
    gpu_seconds: float = 0.0


class UsageDayBody(BaseModel):
    """One UTC day.

    ``requests`` are counted when they are answered. ``jobs``, ``images`` and ``gpu_seconds`` are those of the jobs that
    were accepted on that day, whenever they ended; images of jobs that have not ended are reserved ones.
    ``endpoints`` has the share of each (method and template of the path).
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
                    "endpoints": {
                        "POST /api/v1/jobs": {"requests": 3, "images": 12, "gpu_seconds": 34.5},
                        "GET /api/v1/jobs/{job_id}": {"requests": 12, "images": 0, "gpu_seconds": 0},
                    },
                }
            ]
        }
    )

    day: date
    requests: int
    jobs: int
    images: int
    gpu_seconds: float
    endpoints: dict[str, EndpointUseBody]


class UsageBody(BaseModel):
    """Days with any use, newest first; there is never a next page."""

    usage: list[UsageDayBody]
    next_cursor: None = None


def present_usage(jobs: Iterable[UsageDay], requests: Requests) -> UsageBody:
    """Both told together, day by day."""
    days = {day.day: day for day in jobs}
    return UsageBody(usage=[_day(at, days.get(at), requests.get(at, {})) for at in sorted({*days, *requests})[::-1]])


def _day(at: date, used: UsageDay | None, requests: Mapping[str, int]) -> UsageDayBody:
    shares = used.endpoints if used else {}
    return UsageDayBody(
        day=at,
        requests=sum(requests.values()),
        jobs=used.jobs if used else 0,
        images=used.images if used else 0,
        gpu_seconds=round(used.gpu_seconds, 3) if used else 0.0,
        endpoints={name: _share(requests.get(name, 0), shares.get(name)) for name in sorted({*requests, *shares})},
    )


def _share(requests: int, use: EndpointUsage | None) -> EndpointUseBody:
    if use is None:
        return EndpointUseBody(requests=requests)
    return EndpointUseBody(requests=requests, images=use.images, gpu_seconds=round(use.gpu_seconds, 3))
