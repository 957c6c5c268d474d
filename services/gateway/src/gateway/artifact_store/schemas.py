"""Bodies of the routes about the artifact store."""

from datetime import datetime
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from gateway.accounts.requests import RequestBody


class DeleteOrphans(RequestBody):
    """``count``: the number of orphans in the report, as a confirmation that it was read."""

    count: Annotated[int, Field(ge=1, le=2**53)]


class OrphansBody(BaseModel):
    """What the last sweep found.

    ``objects``: uploads and outputs in the store. ``count`` of them are old and have no record; ``sample`` has some of
    their keys. ``limit``: how many a sweep deletes without confirmation. ``confirmed``: how many the next sweep may
    delete because an admin confirmed it, or null.
    """

    found_at: datetime
    objects: int
    count: int
    bytes: int
    sample: list[str]
    limit: int
    confirmed: int | None


class ArtifactStoreBody(BaseModel):
    """The artifact store as this gateway sees it.

    ``pairing``: whether it belongs to the database (``paired``), does not (``mismatched``: nothing is stored or
    deleted), or has not been checked yet (``unknown``). ``reason``: why it is not paired, and what to do.
    ``free_bytes`` is null for a bucket. ``shortage``: why no jobs and uploads are accepted, or null.
    ``deletes_orphans``: whether orphans are deleted or only reported. ``orphans`` is null before the first sweep.
    """

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "pairing": "paired", "reason": None, "free_bytes": 64_000_000_000, "min_free_bytes": 1 << 30,
                    "shortage": None, "deletes_orphans": False,
                    "orphans": {
                        "found_at": "2026-11-29T12:00:00Z", "objects": 15_497, "count": 1, "bytes": 102_400,
                        "sample": ["0199f2b0-7c3e-7a51-9d24-5a1be0c0ffee/uploads/0199f2b0-7c3e-7a51-9d24-5a1be0c0ffef"],
                        "limit": 154, "confirmed": 1,
                    },
                }
            ]
        }
    )  # fmt: skip

    pairing: str
    reason: str | None
    free_bytes: int | None
    min_free_bytes: int
    shortage: str | None
    deletes_orphans: bool
    orphans: OrphansBody | None
