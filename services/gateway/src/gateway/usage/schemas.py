"""Response bodies for usage."""

from collections.abc import Iterable, Mapping
from datetime import date

from pydantic import BaseModel, ConfigDict

from contracts.scheduler.usage import EndpointUsage, UsageDay

Requests = Mapping[date, Mapping[str, int]]
"""Requests of each UTC day by endpoint."""


class EndpointUseBody(BaseModel):
    """The usage of one endpoint: its requests, and the jobs submitted by it with their consumption.

    ``images``: images of jobs that have ended. ``gpu_seconds``: GPU-seconds of attempts that have ended.
    """

    requests: int = 0
    images: int = 0
    gpu_seconds: float = 0.0


class UsageDayBody(BaseModel):
    """One UTC day.

    ``requests`` count on the day of their response. ``jobs``, ``images`` and ``gpu_seconds`` count on the day the job
    was accepted, whenever it ended; for jobs that have not ended, ``images`` are the reserved ones. ``endpoints``: the
    same numbers by method and path template.
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
    """Days with any usage, newest first, on one page."""

    usage: list[UsageDayBody]
    next_cursor: None = None


def build_usage_body(jobs: Iterable[UsageDay], requests: Requests) -> UsageBody:
    days = {usage.day: usage for usage in jobs}
    return UsageBody(
        usage=[
            _build_usage_day_body(day, days.get(day), requests.get(day, {})) for day in sorted({*days, *requests})[::-1]
        ]
    )


def _build_usage_day_body(day: date, usage: UsageDay | None, requests: Mapping[str, int]) -> UsageDayBody:
    endpoints = usage.endpoints if usage else {}
    return UsageDayBody(
        day=day,
        requests=sum(requests.values()),
        jobs=usage.jobs if usage else 0,
        images=usage.images if usage else 0,
        gpu_seconds=round(usage.gpu_seconds, 3) if usage else 0.0,
        endpoints={
            name: _build_endpoint_usage_body(requests.get(name, 0), endpoints.get(name))
            for name in sorted({*requests, *endpoints})
        },
    )


def _build_endpoint_usage_body(requests: int, usage: EndpointUsage | None) -> EndpointUseBody:
    if usage is None:
        return EndpointUseBody(requests=requests)
    return EndpointUseBody(requests=requests, images=usage.images, gpu_seconds=round(usage.gpu_seconds, 3))
