"""Bodies of the routes about the artifact store."""

from datetime import datetime
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from gateway.edge.request_model import RequestBody


class DeleteOrphans(RequestBody):
    """``count``: the number of orphans in the report, as a confirmation that it was read."""

    count: Annotated[int, Field(ge=1, le=2**53)]


class OrphansBody(BaseModel):
    """Result of the last sweep for orphans (old objects without a record).

    ``objects``: number of uploads and outputs in the store. ``count`` and ``bytes``: number and total size of the
    orphans among them; ``sample``: keys of some orphans. ``limit``: maximum number that a sweep deletes without
    confirmation. ``confirmed``: number that an admin allowed the next sweep to delete, or null.
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

    ``pairing``: whether it is paired with the database (``paired``), is not (``mismatched``: nothing is stored or
    deleted), or could not be checked yet (``unknown``). ``reason``: why it is not paired, and what to do.
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
