"""Pins the uploads that a graph refers to, so that they are kept while the job needs them."""

from collections.abc import Mapping
from typing import Any, NamedTuple
from uuid import UUID

from chassis.database.postgres import is_unavailable
from chassis.offload import offload
from chassis.telemetry.logs import log
from contracts.scheduler.submissions import InvalidWorkflow
from contracts.wire.errors import Unavailable
from gateway.jobs.output_copies import OutputCopies
from gateway.uploads.errors import UnknownUpload
from gateway.uploads.references import MOST, find_output_references, is_upload_id, too_many, upload_ids, with_uploads
from gateway.uploads.store import Upload, UploadStore


class PinnedGraph(NamedTuple):
    """A graph and its uploads, where references to outputs are replaced by uploads."""

    graph: Mapping[str, Any]
    uploads: tuple[Upload, ...]


class InputPins:
    """Finds a tenant's uploads in graphs, and pins them for jobs."""

    def __init__(self, uploads: UploadStore, copies: OutputCopies) -> None:
        self._uploads, self._copies = uploads, copies

    async def pin_uploads(
        self, graph: Mapping[str, Any], *, tenant: str, job_id: UUID, is_large: bool = False
    ) -> PinnedGraph:
        """Pin the tenant's uploads that the graph refers to, for a job that is about to be submitted.

        An output of the tenant is copied first, so that purging its job does not affect the new one.

        Ids that are not uploads of the tenant are left alone, since any text can look like an id; the scheduler refuses
        them where a file is required. A graph without such ids costs no query.

        Raises:
            InvalidWorkflow: the graph refers to too many uploads.
            Unavailable: the database is unavailable.
        """
        named, referred = await _find_references(graph, is_large=is_large)
        while named or referred:
            copies = await self._copy_outputs(referred, tenant=tenant)
            found = await self._load_uploads(named | {copy.id for copy in copies.values()}, tenant)
            try:
                await self._uploads.pin(tenant, sorted(found), job_id)
            except UnknownUpload:
                continue  # an upload was deleted meanwhile
            except Exception as error:
                raise _to_unavailable(error) from error
            return _replace_by_copies(graph, found, copies)
        return PinnedGraph(graph, ())

    async def find_uploads_in_graph(
        self, graph: Mapping[str, Any], *, tenant: str, is_large: bool = False
    ) -> PinnedGraph:
        """What ``pin`` would pin. Copies of outputs are kept as long as unused uploads.

        Raises:
            InvalidWorkflow, Unavailable: see ``pin``.
        """
        named, referred = await _find_references(graph, is_large=is_large)
        if not named and not referred:
            return PinnedGraph(graph, ())
        copies = await self._copy_outputs(referred, tenant=tenant)
        return _replace_by_copies(
            graph, await self._load_uploads(named | {copy.id for copy in copies.values()}, tenant), copies
        )

    async def copy_pins(self, tenant: str, job_id: UUID, again: UUID) -> None:
        """Pin the uploads of a job, including ended ones, for the job that runs it again.

        Raises:
            Unavailable: the database is unavailable.
        """
        try:
            await self._uploads.copy_pins(tenant, job_id, again)
        except Exception as error:
            raise _to_unavailable(error) from error

    async def find_uploads(self, names: set[str], *, tenant: str) -> dict[str, Upload]:
        """Return the tenant's uploads, and copies of its outputs, by the names in the submission.

        Raises:
            Unavailable: the database is unavailable.
        """
        found = await self._load_uploads({UUID(name) for name in names if is_upload_id(name)}, tenant)
        copies = await self._copy_outputs({name for name in names if not is_upload_id(name)}, tenant=tenant)
        return {str(upload.id): upload for upload in found.values()} | copies

    async def _copy_outputs(self, references: set[str], *, tenant: str) -> dict[str, Upload]:
        try:
            return {
                reference: copy
                for reference in sorted(references)
                if (copy := await self._copies.copy_output(reference, tenant=tenant)) is not None
            }
        except Exception as error:
            raise _to_unavailable(error) from error

    async def _load_uploads(self, ids: set[UUID], tenant: str) -> dict[UUID, Upload]:
        try:
            return await self._uploads.find_uploads(tenant, ids)
        except Exception as error:
            raise _to_unavailable(error) from error

    async def unpin_uploads(self, job_id: UUID) -> None:
        """Unpin the uploads of a job that was not accepted. If this fails, the sweep does it later."""
        try:
            await self._uploads.unpin([job_id])
        except Exception as error:
            if not is_unavailable(error):
                raise
            log.warning("gateway.inputs.not_released", job_id=str(job_id))


async def _find_references(graph: Mapping[str, Any], *, is_large: bool) -> tuple[set[UUID], set[str]]:
    """Texts in the graph that look like ids of uploads, and references to outputs.

    Raises:
        InvalidWorkflow: there are too many.
    """
    named, referred = await offload(_find_names_in_graph, graph) if is_large else _find_names_in_graph(graph)
    if len(named) + len(referred) > MOST:
        raise InvalidWorkflow((too_many(len(named) + len(referred)),))
    return {UUID(name) for name in named}, referred


def _find_names_in_graph(graph: Mapping[str, Any]) -> tuple[set[str], set[str]]:
    return upload_ids(graph), find_output_references(graph)


def _replace_by_copies(
    graph: Mapping[str, Any], found: Mapping[UUID, Upload], copies: Mapping[str, Upload]
) -> PinnedGraph:
    if copies:
        graph = with_uploads(graph, {reference: str(copy.id) for reference, copy in copies.items()})
    return PinnedGraph(graph, tuple(found[upload] for upload in sorted(found)))


def _to_unavailable(error: Exception) -> Exception:
    """Unavailable for an error of an unavailable database; any other error as it is."""
    return Unavailable(service="gateway", retry_after_s=1) if is_unavailable(error) else error
