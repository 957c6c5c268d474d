"""Calls about usage, and admin calls about nodes, jobs, statistics and the audit log."""

from datetime import datetime
from typing import Any

from comfyfleet_client.call import Call, Request, given, nothing, reads, segment
from comfyfleet_client.fleet_results import (
    AuditPage,
    DeadLetterPage,
    FleetJob,
    FleetJobPage,
    Node,
    Nodes,
    Stats,
    Usage,
    UsageDay,
)


def read_usage(days: int | None) -> Call[tuple[UsageDay, ...]]:
    return _usage("/usage", days)


def read_usage_of(user_id: str | None, days: int | None) -> Call[tuple[UsageDay, ...]]:
    """Read the usage of one user, or of everybody."""
    return _usage(f"/admin/users/{segment(user_id)}/usage" if user_id is not None else "/admin/usage", days)


def read_stats() -> Call[Stats]:
    return Call(Request("GET", "/admin/stats"), reads(Stats))


def list_nodes() -> Call[tuple[Node, ...]]:
    return Call(Request("GET", "/admin/nodes"), lambda body: reads(Nodes)(body).nodes)


def order_node(node: str, order: str, **query: Any) -> Call[Node]:
    """Cordon, uncordon, drain, clear or refresh a node. Idempotent."""
    return Call(Request("POST", f"/admin/nodes/{segment(node)}/{order}", query=given(**query)), reads(Node))


def refresh_nodes() -> Call[tuple[Node, ...]]:
    """Refresh the catalogs of all nodes."""
    return Call(Request("POST", "/admin/nodes/refresh"), lambda body: reads(Nodes)(body).nodes)


def forget_node(node: str) -> Call[None]:
    """Remove a node that is gone."""
    return Call(Request("DELETE", f"/admin/nodes/{segment(node)}", repeatable=False), nothing)


def list_fleet_jobs(**filters: Any) -> Call[FleetJobPage]:
    return Call(Request("GET", "/admin/jobs", query=_query(filters)), reads(FleetJobPage))


def read_fleet_job(job_id: str) -> Call[FleetJob]:
    return Call(Request("GET", f"/admin/jobs/{segment(job_id)}"), reads(FleetJob))


def order_job(job_id: str, order: str, *, repeatable: bool = True) -> Call[FleetJob]:
    """Cancel, hold, release or requeue any job."""
    request = Request("POST", f"/admin/jobs/{segment(job_id)}/{order}", repeatable=repeatable)
    return Call(request, reads(FleetJob))


def prioritise_job(job_id: str, priority: int) -> Call[FleetJob]:
    return Call(Request("PATCH", f"/admin/jobs/{segment(job_id)}", body={"priority": priority}), reads(FleetJob))


def list_audit(**filters: Any) -> Call[AuditPage]:
    return Call(Request("GET", "/admin/audit", query=_query(filters)), reads(AuditPage))


def list_dead_letters(**filters: Any) -> Call[DeadLetterPage]:
    return Call(Request("GET", "/admin/dead-letters", query=_query(filters)), reads(DeadLetterPage))


def _usage(path: str, days: int | None) -> Call[tuple[UsageDay, ...]]:
    return Call(Request("GET", path, query=given(days=days)), lambda body: reads(Usage)(body).usage)


def _query(filters: dict[str, Any]) -> dict[str, Any]:
    """Return filters as query parameters."""
    texts = {name: value.isoformat() if isinstance(value, datetime) else value for name, value in filters.items()}
    return given(**texts)
