"""Keep the uploads that a graph names for as long as its job needs them."""

from collections.abc import Mapping
from typing import Any, NamedTuple
from uuid import UUID

from chassis.database.postgres import is_unavailable
from chassis.offload import offload
from chassis.telemetry.logs import log
from contracts.scheduler.submissions import InvalidWorkflow
from contracts.wire.errors import Unavailable
from gateway.errors import UnknownUpload
from gateway.jobs.output_copies import OutputCopies
from gateway.uploads.references import MOST, is_upload_id, output_references, too_many, upload_ids, with_uploads
from gateway.uploads.store import Upload, Uploads


class Pinned(NamedTuple):
    """A graph with its uploads: an output that it referred to is one of them now."""

    graph: Mapping[str, Any]
    uploads: tuple[Upload, ...]


class InputPins:
    """Finds a tenant's uploads in graphs, and pins them."""

    def __init__(self, uploads: Uploads, copies: OutputCopies) -> None:
        self._uploads, self._copies = uploads, copies

    async def pin(self, graph: Mapping[str, Any], *, tenant: str, job_id: UUID, is_large: bool = False) -> Pinned:
        """Pin the tenant's uploads among what looks like their ids, for a job that is about to be submitted.

        An output of the tenant's that it refers to is copied first, so that it stays whatever becomes of its job.

        What is nobody's upload, or somebody else's, is left alone: it may be a text like any other, and where it is not
        the scheduler says so. A graph without such texts costs nothing.

        Raises:
            InvalidWorkflow: it names more than a job may.
            Unavailable: the database is away.
        """
        named, referred = await _named(graph, is_large=is_large)
        while named or referred:
            copies = await self._copied(referred, tenant=tenant)
            found = await self._find(named | {copy.id for copy in copies.values()}, tenant)
            try:
                await self._uploads.pin(tenant, sorted(found), job_id)
            except UnknownUpload:
                continue  # it was deleted since
            except Exception as error:
                raise _unavailable(error) from error
            return _with_copies(graph, found, copies)
        return Pinned(graph, ())

    async def find_named(self, graph: Mapping[str, Any], *, tenant: str, is_large: bool = False) -> Pinned:
        """What ``pin`` would pin; what it copies stays for as long as an upload that nobody uses.

        Raises:
            InvalidWorkflow, Unavailable: see ``pin``.
        """
        named, referred = await _named(graph, is_large=is_large)
        if not named and not referred:
            return Pinned(graph, ())
        copies = await self._copied(referred, tenant=tenant)
        return _with_copies(graph, await self._find(named | {copy.id for copy in copies.values()}, tenant), copies)

    async def pin_again(self, tenant: str, job_id: UUID, again: UUID) -> None:
        """Pin what is pinned for a job, or was, for the one that is about to run it again.

        Raises:
            Unavailable: the database is away.
        """
        try:
            await self._uploads.pin_again(tenant, job_id, again)
        except Exception as error:
            raise _unavailable(error) from error

    async def find(self, names: set[str], *, tenant: str) -> dict[str, Upload]:
        """Those uploads that the tenant has, and copies of its outputs, by what a submission calls them.

        Raises:
            Unavailable: the database is away.
        """
        found = await self._find({UUID(name) for name in names if is_upload_id(name)}, tenant)
        copies = await self._copied({name for name in names if not is_upload_id(name)}, tenant=tenant)
        return {str(upload.id): upload for upload in found.values()} | copies

    async def _copied(self, references: set[str], *, tenant: str) -> dict[str, Upload]:
        try:
            return {
                reference: copy
                for reference in sorted(references)
                if (copy := await self._copies.copy(reference, tenant=tenant)) is not None
            }
        except Exception as error:
            raise _unavailable(error) from error

    async def _find(self, ids: set[UUID], tenant: str) -> dict[UUID, Upload]:
        try:
            return await self._uploads.find_all(tenant, ids)
        except Exception as error:
            raise _unavailable(error) from error

    async def release(self, job_id: UUID) -> None:
        """Let go of what was pinned for a job that will never be. Where this fails, time will tell the same."""
        try:
            await self._uploads.unpin([job_id])
        except Exception as error:
            if not is_unavailable(error):
                raise
            log.warning("gateway.inputs.not_released", job_id=str(job_id))


async def _named(graph: Mapping[str, Any], *, is_large: bool) -> tuple[set[UUID], set[str]]:
    """What looks like the ids of uploads in a graph, and its references to outputs.

    Raises:
        InvalidWorkflow: it names more than a job may.
    """
    named, referred = await offload(_names, graph) if is_large else _names(graph)
    if len(named) + len(referred) > MOST:
        raise InvalidWorkflow((too_many(len(named) + len(referred)),))
    return {UUID(name) for name in named}, referred


def _names(graph: Mapping[str, Any]) -> tuple[set[str], set[str]]:
    return upload_ids(graph), output_references(graph)


def _with_copies(graph: Mapping[str, Any], found: Mapping[UUID, Upload], copies: Mapping[str, Upload]) -> Pinned:
    if copies:
        graph = with_uploads(graph, {reference: str(copy.id) for reference, copy in copies.items()})
    return Pinned(graph, tuple(found[upload] for upload in sorted(found)))


def _unavailable(error: Exception) -> Exception:
    """Of a database that is away; any other error is what it is."""
    return Unavailable(service="gateway", retry_after_s=1) if is_unavailable(error) else error
