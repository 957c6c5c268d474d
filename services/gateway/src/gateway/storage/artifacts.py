"""Records of stored outputs."""

from collections.abc import Collection
from dataclasses import asdict, dataclass
from uuid import UUID

from chassis.database.postgres import Database
from chassis.database.statement import Statement


@dataclass(frozen=True, slots=True)
class Artifact:
    """A stored output. ``sha256`` is hex; ``key`` is its key in the artifact store."""

    id: UUID
    tenant_id: UUID
    job_id: UUID
    attempt: int
    key: str
    content_type: str
    size_bytes: int
    sha256: str


_RECORD = Statement("""
INSERT INTO artifacts (id, tenant_id, job_id, attempt, key, content_type, size_bytes, sha256)
SELECT :id, :tenant_id, :job_id, :attempt, :key, :content_type, :size_bytes, :sha256
WHERE NOT EXISTS (SELECT 1 FROM purged_jobs WHERE job_id = :job_id)
ON CONFLICT (id) DO UPDATE SET
    content_type = excluded.content_type, size_bytes = excluded.size_bytes, sha256 = excluded.sha256
RETURNING 1
""")
_FIND = Statement("""
SELECT id, tenant_id, job_id, attempt, key, content_type, size_bytes, sha256 FROM artifacts
WHERE id = :id AND tenant_id = :tenant_id AND NOT EXISTS (SELECT 1 FROM purged_jobs p WHERE p.job_id = artifacts.job_id)
""")
_FIND_ALL = Statement("""
SELECT id, tenant_id, job_id, attempt, key, content_type, size_bytes, sha256 FROM artifacts
WHERE id = ANY(CAST(:ids AS uuid[])) AND tenant_id = :tenant_id
    AND NOT EXISTS (SELECT 1 FROM purged_jobs p WHERE p.job_id = artifacts.job_id)
""")
_SUM_BYTES = Statement("SELECT coalesce(sum(size_bytes), 0)::bigint FROM artifacts WHERE tenant_id = :tenant_id")


class ArtifactRecords:
    """The artifacts table."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def record(self, artifact: Artifact) -> bool:
        """Record a stored output; False if its job was purged. A later upload of the same id replaces the record."""
        async with self._database.single() as connection:  # one statement: a transaction of its own
            return await _RECORD.value(connection, **asdict(artifact)) is not None

    async def sum_bytes(self, tenant_id: UUID) -> int:
        """Return the total size of a tenant's stored outputs."""
        async with self._database.single() as connection:
            size: int = await _SUM_BYTES.value(connection, tenant_id=tenant_id)
        return size

    async def find_artifact(self, artifact_id: UUID, *, tenant_id: str) -> Artifact | None:
        """Return the record of an output of this tenant; None if its job was purged."""
        async with self._database.single() as connection:
            row = await _FIND.first(connection, id=artifact_id, tenant_id=UUID(tenant_id))
        return Artifact(**row) if row else None

    async def find_artifacts(self, artifact_ids: Collection[UUID], *, tenant_id: str) -> dict[UUID, Artifact]:
        """Return the records of these outputs of this tenant by id, without those of purged jobs."""
        async with self._database.single() as connection:
            rows = await _FIND_ALL.all(connection, ids=[*artifact_ids], tenant_id=UUID(tenant_id))
        return {row["id"]: Artifact(**row) for row in rows}
