"""Run times of succeeded jobs, as histograms by workflow fingerprint or requirement, and GPU model."""

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime

import orjson

from chassis.database.statement import Connection, Row, Statement
from scheduler.domain.run_times import Bins, HistogramKey, HistogramScope

MAX_ROWS = 4_000  # per scope; a row has about 100 bytes
KEEP_WITHOUT_RUN = "60 days"

# Only one process at a time may add run times, because it reads histograms, adds to them and writes them.
_LOCK_KEY = 0x72756E74696D65  # "runtime"
_LOCK = Statement("SELECT pg_advisory_xact_lock(:key)")
_LIST_SINCE = Statement("""
SELECT scope, id, node_class, loads_models, bins, updated_at FROM run_times
WHERE updated_at >= coalesce(CAST(:since AS timestamptz), '-infinity') ORDER BY updated_at
""")
_KEYS = """
    unnest(CAST(:scopes AS text[]), CAST(:ids AS bigint[]), CAST(:gpu_models AS text[]), CAST(:loads AS boolean[]))
"""
_LOAD = Statement(f"""
SELECT r.scope, r.id, r.node_class, r.loads_models, r.bins FROM {_KEYS} AS given (scope, id, node_class, loads_models)
JOIN run_times r USING (scope, id, node_class, loads_models)
""")  # noqa: S608 - constants only
_SAVE = Statement(f"""
INSERT INTO run_times (scope, id, node_class, loads_models, bins)
SELECT scope, id, node_class, loads_models, bins::jsonb
FROM ROWS FROM ({_KEYS}, unnest(CAST(:bins AS text[]))) AS given (scope, id, node_class, loads_models, bins)
ON CONFLICT (scope, id, node_class, loads_models) DO UPDATE SET bins = excluded.bins, updated_at = now()
""")  # noqa: S608 - constants only
_PRUNE = Statement(f"""
DELETE FROM run_times WHERE updated_at < now() - interval '{KEEP_WITHOUT_RUN}' OR ctid = ANY(ARRAY(
    SELECT ctid FROM (
        SELECT ctid, row_number() OVER (PARTITION BY scope ORDER BY updated_at DESC) AS place FROM run_times
    ) ranked WHERE place > {MAX_ROWS}
))
""")  # noqa: S608 - constants only
_LIST_GPU_MODELS = Statement("""
SELECT name, coalesce(system->'gpus'->0->>'name', '') AS gpu_model FROM nodes WHERE name = ANY(CAST(:names AS text[]))
""")


async def lock_histograms(connection: Connection) -> None:
    """Prevent other processes from adding run times until the transaction ends."""
    await _LOCK.execute(connection, key=_LOCK_KEY)


async def list_histograms_since(connection: Connection, since: datetime | None) -> Sequence[Row]:
    """List histograms that were updated at or after ``since``, oldest update first. List all if ``since`` is None."""
    return await _LIST_SINCE.fetch_all(connection, since=since)


async def load_histograms(
    connection: Connection, keys: Collection[HistogramKey]
) -> dict[HistogramKey, dict[int, float]]:
    """Load the histograms of these keys. A key that has no histogram is missing in the result."""
    rows = await _LOAD.fetch_all(connection, **_build_key_parameters(keys))
    return {build_histogram_key(row): parse_bins(row) for row in rows}


async def save_histograms(connection: Connection, histograms: Mapping[HistogramKey, Bins]) -> None:
    """Insert or replace histograms."""
    bins = [
        orjson.dumps({str(number): round(weight, 4) for number, weight in histogram.items()}).decode()
        for histogram in histograms.values()
    ]
    await _SAVE.execute(connection, **_build_key_parameters(histograms), bins=bins)


async def prune_histograms(connection: Connection) -> None:
    """Delete histograms without a run for ``KEEP_WITHOUT_RUN``, and all but the ``MAX_ROWS`` newest of each scope."""
    await _PRUNE.execute(connection)


async def list_gpu_models(connection: Connection, names: Collection[str]) -> dict[str, str]:
    """List the GPU models of nodes by node name: the model of the first GPU, empty if unknown."""
    return {row["name"]: row["gpu_model"] for row in await _LIST_GPU_MODELS.fetch_all(connection, names=[*names])}


def build_histogram_key(row: Row) -> HistogramKey:
    return HistogramKey(HistogramScope(row["scope"]), row["id"], row["node_class"], row["loads_models"])


def parse_bins(row: Row) -> dict[int, float]:
    return {int(number): weight for number, weight in row["bins"].items()}


def _build_key_parameters(keys: Collection[HistogramKey]) -> dict[str, list[object]]:
    ordered = [*keys]
    return {
        "scopes": [key.scope.value for key in ordered],
        "ids": [key.id for key in ordered],
        "gpu_models": [key.gpu_model for key in ordered],
        "loads": [key.loads_models for key in ordered],
    }
