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
from gateway.uploads.references import (
    MAX_UPLOADS,
    build_too_many_error,
    find_output_references,
    find_upload_ids,
    is_upload_id,
    replace_output_references,
)
from gateway.uploads.store import Upload, UploadStore


class GraphWithUploads(NamedTuple):
    """A graph whose references to outputs are replaced by uploads, and all uploads that it refers to."""

    graph: Mapping[str, Any]
    uploads: tuple[Upload, ...]


class InputPins:
    """Finds a tenant's uploads in graphs, and pins them for jobs."""

    def __init__(self, uploads: UploadStore, copies: OutputCopies) -> None:
        self._uploads, self._copies = uploads, copies

    async def pin_uploads(
        self, graph: Mapping[str, Any], *, tenant: str, job_id: UUID, is_large: bool = False
    ) -> GraphWithUploads:
        """Pin the tenant's uploads that the graph refers to, for a job that is about to be submitted.

        An output of the tenant is copied first, so that purging its job does not affect the new one.

        Ids that are not uploads of the tenant are left alone, since any text can look like an id; the scheduler refuses
        them where a file is required. A graph without such ids costs no query.

        Raises:
            InvalidWorkflow: the graph refers to too many uploads.
            Unavailable: the database is unavailable.
        """
        upload_ids, output_references = await _find_references(graph, is_large=is_large)
        while upload_ids or output_references:
            copies = await self._copy_outputs(output_references, tenant=tenant)
            found = await self._load_uploads(upload_ids | {copy.id for copy in copies.values()}, tenant)
            try:
                await self._uploads.pin(tenant, sorted(found), job_id)
            except UnknownUpload:
                continue  # an upload was deleted meanwhile
            except Exception as error:
                raise _to_unavailable(error) from error
            return _replace_outputs_by_copies(graph, found, copies)
        return GraphWithUploads(graph, ())

    async def find_uploads_in_graph(
        self, graph: Mapping[str, Any], *, tenant: str, is_large: bool = False
    ) -> GraphWithUploads:
        """Return the same as ``pin_uploads``, without pinning.

        Outputs are copied all the same. A copy that no job uses is deleted after ``COPY_LIFETIME``.

        Raises:
            InvalidWorkflow, Unavailable: see ``pin_uploads``.
        """
        upload_ids, output_references = await _find_references(graph, is_large=is_large)
        if not upload_ids and not output_references:
            return GraphWithUploads(graph, ())
        copies = await self._copy_outputs(output_references, tenant=tenant)
        return _replace_outputs_by_copies(
            graph, await self._load_uploads(upload_ids | {copy.id for copy in copies.values()}, tenant), copies
        )

    async def copy_pins(self, tenant: str, job_id: UUID, new_job_id: UUID) -> None:
        """Pin the uploads of a job, including ended ones, for the job that runs it again.

        Raises:
            Unavailable: the database is unavailable.
        """
        try:
            await self._uploads.copy_pins(tenant, job_id, new_job_id)
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
    """Return texts in the graph that look like ids of uploads, and references to outputs.

    Raises:
        InvalidWorkflow: there are too many.
    """
    id_texts, references = await offload(_find_texts, graph) if is_large else _find_texts(graph)
    count = len(id_texts) + len(references)
    if count > MAX_UPLOADS:
        raise InvalidWorkflow((build_too_many_error(count),))
    return {UUID(text) for text in id_texts}, references


def _find_texts(graph: Mapping[str, Any]) -> tuple[set[str], set[str]]:
    return find_upload_ids(graph), find_output_references(graph)


def _replace_outputs_by_copies(
    graph: Mapping[str, Any], found: Mapping[UUID, Upload], copies: Mapping[str, Upload]
) -> GraphWithUploads:
    if copies:
        graph = replace_output_references(graph, {reference: str(copy.id) for reference, copy in copies.items()})
    return GraphWithUploads(graph, tuple(found[upload] for upload in sorted(found)))


def _to_unavailable(error: Exception) -> Exception:
    """Return Unavailable for an error of an unavailable database; any other error unchanged."""
    return Unavailable(service="gateway", retry_after_s=1) if is_unavailable(error) else error
