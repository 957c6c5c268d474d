"""Python client of comfyfleet: ``Client`` for programs that wait, ``AsyncClient`` for asyncio."""

from comfyfleet_client.access_results import ClassRules, Invite, NewInvite
from comfyfleet_client.async_client import AsyncClient
from comfyfleet_client.credentials import Session
from comfyfleet_client.errors import (
    ApiError,
    BadRequest,
    ComfyfleetError,
    Conflict,
    Damaged,
    FieldError,
    Forbidden,
    Invalid,
    Limited,
    NotFound,
    StillRunning,
    Unauthenticated,
    Unavailable,
    Unreachable,
    Unreadable,
)
from comfyfleet_client.events import End, JobEvent, OutputMade, Progress, Snapshot, Status
from comfyfleet_client.results import (
    Account,
    Job,
    JobError,
    JobWarning,
    Key,
    Limits,
    Me,
    NewKey,
    Output,
    Tier,
    Timings,
    User,
)
from comfyfleet_client.retry import Retry
from comfyfleet_client.sync_client import Client
from comfyfleet_client.upload_calls import Upload

__all__ = [
    "Account",
    "ApiError",
    "AsyncClient",
    "BadRequest",
    "ClassRules",
    "Client",
    "ComfyfleetError",
    "Conflict",
    "Damaged",
    "End",
    "FieldError",
    "Forbidden",
    "Invalid",
    "Invite",
    "Job",
    "JobError",
    "JobEvent",
    "JobWarning",
    "Key",
    "Limited",
    "Limits",
    "Me",
    "NewInvite",
    "NewKey",
    "NotFound",
    "Output",
    "OutputMade",
    "Progress",
    "Retry",
    "Session",
    "Snapshot",
    "Status",
    "StillRunning",
    "Tier",
    "Timings",
    "Unauthenticated",
    "Unavailable",
    "Unreachable",
    "Unreadable",
    "Upload",
    "User",
]
