"""Which outputs are stored."""

from dataclasses import asdict, dataclass
from uuid import UUID

from sqlalchemy import select
from sqlalchemy.dialects.postgresql import insert

from chassis.postgres import Database
from gateway.store.tables import ARTIFACTS


@dataclass(frozen=True, slots=True)
class Artifact:
    """One stored output. ``sha256`` is hex, ``key`` its place in the artifact store."""

    id: UUID
    tenant_id: UUID
    job_id: UUID
    attempt: int
    key: str
    content_type: str
    size_bytes: int
    sha256: str


class Artifacts:
    """The artifacts table."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def put(self, artifact: Artifact) -> None:
        """Record what was stored. The last complete upload of an id is what it is."""
        row = asdict(artifact)
        statement = insert(ARTIFACTS).values(row)
        what = {name: statement.excluded[name] for name in ("content_type", "size_bytes", "sha256")}
        async with self._database.transaction() as connection:
            await connection.execute(statement.on_conflict_do_update(index_elements=["id"], set_=what))

    async def get(self, artifact_id: UUID, *, tenant_id: str) -> Artifact | None:
        """The record of an output of this tenant."""
        columns = [column for column in ARTIFACTS.c if column.name != "created_at"]
        found = select(*columns).where(ARTIFACTS.c.id == artifact_id, ARTIFACTS.c.tenant_id == UUID(tenant_id))
        async with self._database.reading() as connection:
            row = (await connection.execute(found)).one_or_none()
        return Artifact(**row._mapping) if row else None  # noqa: SLF001 - SQLAlchemy's public name for it
