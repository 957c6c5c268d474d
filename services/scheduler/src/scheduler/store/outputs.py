"""Lists the outputs in the rows of completed jobs."""

from collections.abc import Collection
from typing import Any
from uuid import UUID

import orjson

from chassis.database.statement import Connection, Row, Statement
from contracts.scheduler.output_lists import ListedOutput, ListOutputs
from contracts.scheduler.outputs import Output

# The statement has only the conditions of the query, so that PostgreSQL reads the range of ix_jobs_ended (or the one
# job) that they select, from its end, and stops after a page. A row comparison alone would not limit the range.
_CONDITIONS = {
    "job_id": "j.id = :job_id",
    "workflow": "j.workflow = :workflow",
    "label": "j.labels @> CAST(:label AS jsonb)",
    "kinds": "o.output->>'kind' = ANY(CAST(:kinds AS text[]))",
    "temporary": "coalesce((o.output->>'temporary')::boolean, false) = :temporary",
    "created_after": "j.completed_at >= :created_after",
    "created_before": "j.completed_at < :created_before",
    "after_at": "j.completed_at <= :after_at AND (j.completed_at, j.id) <= (:after_at, CAST(:after_job AS uuid))",
    "after_index": "NOT (j.id = CAST(:after_job AS uuid) AND o.number - 1 <= :after_index)",
}


async def list_outputs(connection: Connection, tenant_id: UUID, query: ListOutputs) -> list[ListedOutput]:
    """List up to ``limit + 1`` outputs of the tenant. The extra one shows that there is a next page."""
    given = _list_given_filters(query)
    statement = Statement(build_output_query(given))
    rows = await statement.fetch_all(connection, **given, tenant_id=tenant_id, limit=query.limit + 1)
    return [_build_listed_output(row) for row in rows]


def build_output_query(given: Collection[str]) -> str:
    """Return the statement for the filters with these names, which are parameters of it."""
    conditions = "".join(f" AND {condition}" for name, condition in _CONDITIONS.items() if name in given)
    return f"""
SELECT j.id AS job_id, o.number - 1 AS index, j.completed_at, j.workflow, j.labels, o.output
FROM jobs j CROSS JOIN LATERAL jsonb_array_elements(j.outputs) WITH ORDINALITY AS o(output, number)
WHERE j.tenant_id = :tenant_id AND j.completed_at IS NOT NULL AND j.state = 'succeeded'{conditions}
ORDER BY j.completed_at DESC, j.id DESC, o.number LIMIT :limit
"""  # noqa: S608 - constants only


def _list_given_filters(query: ListOutputs) -> dict[str, Any]:
    after = query.after
    filters = {
        "job_id": query.job_id,
        "workflow": query.workflow,
        "label": orjson.dumps(dict([query.label])).decode() if query.label else None,
        "kinds": [*query.kinds] or None,
        "temporary": query.temporary,
        "created_after": query.created_after,
        "created_before": query.created_before,
        "after_at": after and after.completed_at,
        "after_job": after and after.job_id,
        "after_index": None if after is None else after.index,
    }
    return {name: value for name, value in filters.items() if value is not None}


def _build_listed_output(row: Row) -> ListedOutput:
    return ListedOutput(**{**row, "output": Output.model_validate(row["output"])})
