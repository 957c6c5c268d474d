"""Keep the uploads that a graph names for as long as its job needs them."""

from collections.abc import Mapping
from typing import Any
from uuid import UUID

from chassis.logs import log
from chassis.offload import offload
from chassis.postgres import is_away
from contracts.scheduler import InvalidWorkflow
from contracts.wire.errors import Unavailable
from gateway.domain.errors import UnknownUpload
from gateway.domain.upload_ids import MOST, too_many, upload_ids
from gateway.store.uploads import Upload, Uploads


class InputPins:
    """Finds a tenant's uploads in graphs, and pins them."""

    def __init__(self, uploads: Uploads) -> None:
        self._uploads = uploads

    async def pin(
        self, graph: Mapping[str, Any], *, tenant: str, job_id: UUID, is_large: bool = False
    ) -> tuple[Upload, ...]:
        """Pin the tenant's uploads among what looks like their ids, for a job that is about to be submitted.

        What is nobody's upload, or somebody else's, is left alone: it may be a text like any other, and where it is not
        the scheduler says so. A graph without such texts costs nothing.

        Raises:
            InvalidWorkflow: it names more than a job may.
            Unavailable: the database is away.
        """
        named = await _named(graph, is_large=is_large)
        while named:
            found = await self.find(named, tenant=tenant)
            try:
                await self._uploads.pin(tenant, sorted(found), job_id)
            except UnknownUpload:
                continue  # it was deleted since
            except Exception as error:
                raise _unavailable(error) from error
            return tuple(found[upload] for upload in sorted(found))
        return ()

    async def find_named(self, graph: Mapping[str, Any], *, tenant: str, is_large: bool = False) -> tuple[Upload, ...]:
        """What ``pin`` would pin. Raises what it raises."""
        named = await _named(graph, is_large=is_large)
        found = await self.find(named, tenant=tenant) if named else {}
        return tuple(found[upload] for upload in sorted(found))

    async def pin_again(self, tenant: str, job_id: UUID, again: UUID) -> None:
        """Pin what is pinned for a job, or was, for the one that is about to run it again.

        Raises:
            Unavailable: the database is away.
        """
        try:
            await self._uploads.pin_again(tenant, job_id, again)
        except Exception as error:
            raise _unavailable(error) from error

    async def find(self, ids: set[UUID], *, tenant: str) -> dict[UUID, Upload]:
        """Those of these uploads that the tenant has.

        Raises:
            Unavailable: the database is away.
        """
        try:
            return await self._uploads.find_all(tenant, ids)
        except Exception as error:
            raise _unavailable(error) from error

    async def release(self, job_id: UUID) -> None:
        """Let go of what was pinned for a job that will never be. Where this fails, time will tell the same."""
        try:
            await self._uploads.unpin([job_id])
        except Exception as error:
            if not is_away(error):
                raise
            log.warning("gateway.inputs.not_released", job_id=str(job_id))


async def _named(graph: Mapping[str, Any], *, is_large: bool) -> set[UUID]:
    """What looks like the ids of uploads in a graph.

    Raises:
        InvalidWorkflow: it names more than a job may.
    """
    named = await offload(upload_ids, graph) if is_large else upload_ids(graph)
    if len(named) > MOST:
        raise InvalidWorkflow((too_many(len(named)),))
    return {UUID(name) for name in named}


def _unavailable(error: Exception) -> Exception:
    """Of a database that is away; any other error is what it is."""
    return Unavailable(service="gateway") if is_away(error) else error
