"""Lists the outputs of all completed jobs of a tenant."""

import json
from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

from chassis.messaging.bus import Bus
from contracts.scheduler.output_lists import LIST_OUTPUTS, ListedOutput, ListOutputs, OutputPosition
from contracts.scheduler.outputs import OutputKind
from gateway.api.v1 import cursors
from gateway.signing.keys import SigningKeys


class OutputLister:
    def __init__(self, bus: Bus, *, cursor_keys: SigningKeys) -> None:
        self._bus, self._keys = bus, cursor_keys

    async def list_outputs(
        self,
        *,
        tenant: str,
        limit: int,
        cursor: str | None = None,
        job_id: UUID | None = None,
        kinds: Sequence[OutputKind] = (),
        temporary: bool | None = None,
        workflow: str | None = None,
        label: tuple[str, str] | None = None,
        created_after: datetime | None = None,
        created_before: datetime | None = None,
    ) -> tuple[tuple[ListedOutput, ...], str | None]:
        """Return a page of outputs, newest first, and the cursor of the next page.

        Raises:
            BadCursor: the cursor was made for another tenant or filter.
            Unavailable: the scheduler does not answer.
        """
        query = ListOutputs(
            limit=limit,
            job_id=job_id,
            kinds=tuple(sorted(set(kinds))),
            temporary=temporary,
            workflow=workflow,
            label=label,
            created_after=created_after,
            created_before=created_before,
        )
        filters = json.dumps(["outputs", query.model_dump(mode="json", exclude={"limit", "after"})])
        if cursor is not None:
            completed_at, last_job_id, index = cursors.decode_position(
                self._keys, cursor, tenant=tenant, filters=filters
            )
            after = OutputPosition(
                completed_at=datetime.fromisoformat(completed_at), job_id=UUID(last_job_id), index=index
            )
            query = query.model_copy(update={"after": after})
        page = await self._bus.request(LIST_OUTPUTS, query, tenant=tenant)
        if not page.more or not page.outputs:
            return page.outputs, None
        last = page.outputs[-1]
        position: list[str | int] = [last.completed_at.isoformat(), last.job_id.hex, last.index]
        return page.outputs, cursors.encode_position(self._keys, position, tenant=tenant, filters=filters)
