"""Builds the status of nodes for operators from stored rows."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from contracts.scheduler.heartbeats import NodeSystem
from contracts.scheduler.nodes import NodeFault, NodeOccupancy, NodeState, NodeStatus, RunningJob

MAX_MODELS = 20


def build_node_status(row: Mapping[str, Any], *, jobs_last_hour: int, faults: Sequence[NodeFault]) -> NodeStatus:
    """Build the status of a node from a row of ``store.node_actions``."""
    state, since = _derive_state(row)
    online = row["online"]
    return NodeStatus(
        node=row["node"],
        online=online,
        seen_at=row["seen_at"],
        cordoned_at=row["cordoned_at"],
        drain_at=row["drain_at"],
        job_id=row["job_id"],
        tenant_id=row["tenant_id"],
        attempt=row["attempt"],
        leased_at=row["leased_at"],
        blocked=row["blocked"],
        occupied=_build_occupancy(row),
        state=state,
        state_since=since,
        running=_build_running_job(row),
        models=tuple(row["loaded"][:MAX_MODELS]) if online else (),
        system=NodeSystem.model_validate(row["system"]) if row["system"] else None,
        jobs_last_hour=jobs_last_hour,
        faults=tuple(faults),
        cordon_reason=row["cordon_reason"],
    )


def _derive_state(row: Mapping[str, Any]) -> tuple[NodeState, datetime | None]:
    """Return the state of a node, and since when it has it."""
    online_since, cordoned_at, occupied_since = row["online_since"], row["cordoned_at"], row["occupied_since"]
    if not row["online"]:
        return NodeState.OFFLINE, online_since
    if cordoned_at is not None:
        is_draining = row["drain_at"] is not None and row["job_id"] is not None
        return NodeState.DRAINING if is_draining else NodeState.CORDONED, cordoned_at
    if row["blocked"]:
        return NodeState.BLOCKED, occupied_since
    if row["occupied_by"] is not None or row["shared_since"] is not None:
        return NodeState.OCCUPIED, occupied_since or row["shared_since"]
    if row["job_id"] is not None:
        return NodeState.BUSY, row["leased_at"]
    return NodeState.IDLE, max((at for at in (online_since, row["last_end"]) if at is not None), default=None)


def _build_occupancy(row: Mapping[str, Any]) -> NodeOccupancy | None:
    if row["occupied_by"] is None:
        return None
    return NodeOccupancy(
        by=row["occupied_by"],
        prompt_id=row["occupied_prompt_id"],
        job_id=row["occupied_job_id"],
        since=row["occupied_since"],
    )


def _build_running_job(row: Mapping[str, Any]) -> RunningJob | None:
    if row["job_id"] is None:
        return None
    return RunningJob(
        job_id=row["job_id"],
        tenant_id=row["tenant_id"],
        attempt=row["attempt"],
        workflow=row["workflow"],
        started_at=row["leased_at"],
        progress=min(row["progress"], 99.0),
        graph_node=row["graph_node"],
        graph_node_class=row["graph_node_class"],
    )
