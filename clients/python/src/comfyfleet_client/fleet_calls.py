"""Calls about usage, and admin calls about nodes, jobs, statistics and the audit log."""

from datetime import datetime
from typing import Any

from comfyfleet_client.call import Call, Request, build_parser, omit_none, parse_empty, quote_segment
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
    return _build_usage_call("/usage", days)


def read_user_usage(user_id: str | None, days: int | None) -> Call[tuple[UsageDay, ...]]:
    """Read the usage of one user, or of everybody."""
    return _build_usage_call(
        f"/admin/users/{quote_segment(user_id)}/usage" if user_id is not None else "/admin/usage", days
    )


def read_stats() -> Call[Stats]:
    return Call(Request("GET", "/admin/stats"), build_parser(Stats))


def list_nodes() -> Call[tuple[Node, ...]]:
    return Call(Request("GET", "/admin/nodes"), lambda body: build_parser(Nodes)(body).nodes)


def run_node_action(node: str, action: str, **query: Any) -> Call[Node]:
    """Cordon, uncordon, drain, clear or refresh a node. Idempotent."""
    return Call(
        Request("POST", f"/admin/nodes/{quote_segment(node)}/{action}", query=omit_none(**query)), build_parser(Node)
    )


def refresh_nodes() -> Call[tuple[Node, ...]]:
    """Refresh the catalogs of all nodes."""
    return Call(Request("POST", "/admin/nodes/refresh"), lambda body: build_parser(Nodes)(body).nodes)


def forget_node(node: str) -> Call[None]:
    """Remove a node that was shut down."""
    return Call(Request("DELETE", f"/admin/nodes/{quote_segment(node)}", repeatable=False), parse_empty)


def list_fleet_jobs(**filters: Any) -> Call[FleetJobPage]:
    return Call(Request("GET", "/admin/jobs", query=_build_query_parameters(filters)), build_parser(FleetJobPage))


def read_fleet_job(job_id: str) -> Call[FleetJob]:
    return Call(Request("GET", f"/admin/jobs/{quote_segment(job_id)}"), build_parser(FleetJob))


def run_job_action(job_id: str, action: str, *, repeatable: bool = True) -> Call[FleetJob]:
    """Cancel, hold, release or requeue any job."""
    request = Request("POST", f"/admin/jobs/{quote_segment(job_id)}/{action}", repeatable=repeatable)
    return Call(request, build_parser(FleetJob))


def prioritise_job(job_id: str, priority: int) -> Call[FleetJob]:
    return Call(
        Request("PATCH", f"/admin/jobs/{quote_segment(job_id)}", body={"priority": priority}), build_parser(FleetJob)
    )


def list_audit(**filters: Any) -> Call[AuditPage]:
    return Call(Request("GET", "/admin/audit", query=_build_query_parameters(filters)), build_parser(AuditPage))


def list_dead_letters(**filters: Any) -> Call[DeadLetterPage]:
    return Call(
        Request("GET", "/admin/dead-letters", query=_build_query_parameters(filters)), build_parser(DeadLetterPage)
    )


def redrive_dead_letter(letter_id: str) -> Call[None]:
    """Process a message again."""
    path = f"/admin/dead-letters/{quote_segment(letter_id)}/redrive"
    return Call(Request("POST", path, repeatable=False), parse_empty)


def _build_usage_call(path: str, days: int | None) -> Call[tuple[UsageDay, ...]]:
    return Call(Request("GET", path, query=omit_none(days=days)), lambda body: build_parser(Usage)(body).usage)


def _build_query_parameters(filters: dict[str, Any]) -> dict[str, Any]:
    texts = {name: value.isoformat() if isinstance(value, datetime) else value for name, value in filters.items()}
    return omit_none(**texts)
