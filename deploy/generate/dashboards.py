"""The Grafana dashboards of ``deploy/monitoring/grafana``: panels are declared here, their JSON is generated."""

import json
from dataclasses import dataclass, field
from typing import Any

DATASOURCE = {"type": "prometheus", "uid": "prometheus"}
PANELS_PER_ROW, WIDTH, HEIGHT = 3, 8, 8  # of Grafana's grid of 24 columns
WINDOW = "[$__rate_interval]"


@dataclass(frozen=True)
class Panel:
    """A time series panel.

    Attributes:
        queries: PromQL expressions by legend.
        unit: Grafana's id of the unit.
    """

    title: str
    queries: dict[str, str]
    unit: str = "short"
    is_stacked: bool = False


@dataclass(frozen=True)
class Dashboard:
    """A dashboard. ``variables`` are label values to choose from: a metric and a label by name."""

    title: str
    panels: tuple[Panel, ...]
    variables: dict[str, tuple[str, str]] = field(default_factory=dict)


def build_quantile_query(quantile: float, metric: str, by: str, selector: str = "") -> str:
    """Return the PromQL expression for a quantile of a histogram."""
    return f"histogram_quantile({quantile}, sum by (le, {by}) (rate({metric}_bucket{selector}{WINDOW})))"


FLEET = Dashboard(
    "Fleet",
    (
        Panel("Queued jobs by tier", {"{{tier}}": 'max by (tier) (comfyfleet_jobs{state="queued"})'}, is_stacked=True),
        Panel("Oldest queued job by tier", {"{{tier}}": "max by (tier) (comfyfleet_queue_oldest_seconds)"}, "s"),
        Panel(
            "Nodes by state",
            {"{{state}}": "sum by (state) (max by (node, state) (comfyfleet_node_state))"},
        ),
        Panel(
            "Jobs per minute by outcome",
            {"{{outcome}}": f"60 * sum by (outcome) (rate(comfyfleet_jobs_ended_total{WINDOW}))"},
            is_stacked=True,
        ),
        Panel(
            "Time until the first attempt",
            {
                "{{tier}} p50": build_quantile_query(0.5, "comfyfleet_job_wait_seconds", "tier"),
                "{{tier}} p95": build_quantile_query(0.95, "comfyfleet_job_wait_seconds", "tier"),
            },
            "s",
        ),
        Panel(
            "Failed jobs per minute by code",
            {"{{code}}": f'60 * sum by (code) (rate(comfyfleet_jobs_ended_total{{outcome="failed"}}{WINDOW}))'},
        ),
        Panel(
            "Idle share of the nodes by reason",
            {
                "{{reason}}": f"sum by (reason) (rate(comfyfleet_node_idle_seconds_total{WINDOW}))"
                ' / scalar(count(max by (node) (comfyfleet_node_state{state="online"})))'
            },
            "percentunit",
            is_stacked=True,
        ),
        Panel("Model loads per minute", {"all nodes": f"60 * sum(rate(comfyfleet_model_loads_total{WINDOW}))"}),
        Panel(
            "Claims per second by outcome",
            {"{{outcome}}": f"sum by (outcome) (rate(comfyfleet_claims_total{WINDOW}))"},
            "ops",
        ),
        Panel(
            "Attempts per minute that did not succeed",
            {
                "{{outcome}}": "60 * sum by (outcome) (rate(comfyfleet_attempts_ended_total"
                f'{{outcome!="succeeded"}}{WINDOW}))'
            },
        ),
        Panel(
            "Share of jobs within the estimated p90",
            {
                "{{stage}}": f'sum by (stage) (rate(comfyfleet_eta_jobs_total{{result!="missed"}}{WINDOW}))'
                f" / sum by (stage) (rate(comfyfleet_eta_jobs_total{WINDOW}))"
            },
            "percentunit",
        ),
        Panel(
            "Actual / estimated time",
            {
                "{{stage}} p50": build_quantile_query(0.5, "comfyfleet_eta_ratio", "stage"),
                "{{stage}} p90": build_quantile_query(0.9, "comfyfleet_eta_ratio", "stage"),
            },
        ),
    ),
)
API = Dashboard(
    "API",
    (
        Panel(
            "Requests per second by status",
            {"{{code}}": f"sum by (code) (rate(comfyfleet_http_request_seconds_count{WINDOW}))"},
            "reqps",
        ),
        Panel(
            "Share of 5xx responses",
            {
                "5xx": f'sum(rate(comfyfleet_http_request_seconds_count{{code=~"5.."}}{WINDOW}))'
                f" / sum(rate(comfyfleet_http_request_seconds_count{WINDOW}))"
            },
            "percentunit",
        ),
        Panel(
            "Requests refused by a rate limit",
            {"{{route}}": f'sum by (route) (rate(comfyfleet_http_request_seconds_count{{code="429"}}{WINDOW}))'},
            "reqps",
        ),
        Panel(
            "Median duration by route",
            {"{{method}} {{route}}": build_quantile_query(0.5, "comfyfleet_http_request_seconds", "method, route")},
            "s",
        ),
        Panel(
            "p99 of the duration by route",
            {"{{method}} {{route}}": build_quantile_query(0.99, "comfyfleet_http_request_seconds", "method, route")},
            "s",
        ),
        Panel("Connected watchers", {"{{kind}}": "sum by (kind) (comfyfleet_sockets)"}, is_stacked=True),
    ),
)
INTERNALS = Dashboard(
    "Internals",
    (
        Panel(
            "p99 of NATS requests by topic",
            {
                "{{topic}}": build_quantile_query(
                    0.99, "comfyfleet_rpc_seconds", "topic", '{topic!="rpc.scheduler.attempt.ask.v1"}'
                )
            },
            "s",
        ),
        Panel(
            "NATS requests per second by outcome",
            {"{{outcome}}": f"sum by (outcome) (rate(comfyfleet_rpc_seconds_count{WINDOW}))"},
            "reqps",
        ),
        Panel(
            "Requests dropped after their deadline",
            {"{{topic}}": f"sum by (topic) (rate(comfyfleet_rpc_expired_total{WINDOW}))"},
            "reqps",
        ),
        Panel(
            "Database connections",
            {"{{service}} {{pool}} {{state}}": "sum by (service, pool, state) (comfyfleet_db_pool)"},
        ),
        Panel("Oldest unpublished event", {"outbox": "max(comfyfleet_outbox_oldest_seconds)"}, "s"),
        Panel(
            "Time since the last run of a task, beyond its interval",
            {
                "{{service}} {{loop}}": "time() - comfyfleet_loop_last_success_timestamp_seconds"
                " - comfyfleet_loop_interval_seconds"
            },
            "s",
        ),
        Panel(
            "Dependencies",
            {"{{service}} {{dependency}}": "min by (service, dependency) (comfyfleet_dependency_up)"},
        ),
        Panel(
            "Replicas by version",
            {"{{service}} {{version}} {{schema}}": "count by (service, version, schema) (comfyfleet_build_info)"},
        ),
    ),
)
NODE = Dashboard(
    "Node",
    (
        Panel("State", {"{{state}}": 'max by (state) (comfyfleet_node_state{node="$node"})'}),
        Panel(
            "Attempts per minute by outcome",
            {"{{outcome}}": f'60 * sum by (outcome) (rate(comfyfleet_attempts_ended_total{{node="$node"}}{WINDOW}))'},
        ),
        Panel(
            "Idle share by reason",
            {"{{reason}}": f'sum by (reason) (rate(comfyfleet_node_idle_seconds_total{{node="$node"}}{WINDOW}))'},
            "percentunit",
            is_stacked=True,
        ),
        Panel(
            "Model loads per minute",
            {"loads": f'60 * sum(rate(comfyfleet_model_loads_total{{node="$node"}}{WINDOW}))'},
        ),
    ),
    {"node": ("comfyfleet_node_state", "node")},
)
CAPACITY = Dashboard(
    "Capacity",
    (
        Panel("Free bytes of the artifact store", {"free": "min(comfyfleet_artifact_free_bytes)"}, "bytes"),
        Panel(
            "Objects written per second by result",
            {"{{result}}": f"sum by (result) (rate(comfyfleet_artifact_writes_total{WINDOW}))"},
        ),
        Panel("Orphaned objects deleted per hour", {"deleted": "sum(increase(comfyfleet_orphans_deleted_total[1h]))"}),
        Panel(
            "Busy share of the nodes",
            {
                "busy": f"1 - sum(rate(comfyfleet_node_idle_seconds_total{WINDOW}))"
                ' / scalar(count(max by (node) (comfyfleet_node_state{state="online"})))'
            },
            "percentunit",
        ),
        Panel(
            "Jobs accepted and waiting, all tiers",
            {"{{state}}": "sum by (state) (max by (tier, state) (comfyfleet_jobs))"},
            is_stacked=True,
        ),
        Panel("Database connections in use", {"{{service}}": 'sum by (service) (comfyfleet_db_pool{state="in_use"})'}),
    ),
)
DASHBOARDS = (FLEET, API, INTERNALS, NODE, CAPACITY)


def build_dashboards() -> dict[str, str]:
    """Return the JSON of each dashboard by file name."""
    return {
        f"{dashboard.title.lower()}.json": json.dumps(_render(dashboard), indent=2, sort_keys=True) + "\n"
        for dashboard in DASHBOARDS
    }


def _render(dashboard: Dashboard) -> dict[str, Any]:
    return {
        "uid": f"comfyfleet-{dashboard.title.lower()}",
        "title": f"comfyfleet: {dashboard.title}",
        "tags": ["comfyfleet"],
        "schemaVersion": 39,
        "refresh": "30s",
        "time": {"from": "now-6h", "to": "now"},
        "templating": {"list": [_render_variable(*item) for item in dashboard.variables.items()]},
        "panels": [_render_panel(number, panel) for number, panel in enumerate(dashboard.panels)],
    }


def _render_variable(name: str, source: tuple[str, str]) -> dict[str, Any]:
    metric, label = source
    return {
        "name": name,
        "type": "query",
        "datasource": DATASOURCE,
        "query": f"label_values({metric}, {label})",
        "refresh": 2,
        "sort": 1,
    }


def _render_panel(number: int, panel: Panel) -> dict[str, Any]:
    row, column = divmod(number, PANELS_PER_ROW)
    custom: dict[str, Any] = {"fillOpacity": 10}
    if panel.is_stacked:
        custom |= {"stacking": {"mode": "normal"}, "fillOpacity": 40}
    return {
        "id": number + 1,
        "type": "timeseries",
        "title": panel.title,
        "datasource": DATASOURCE,
        "gridPos": {"x": column * WIDTH, "y": row * HEIGHT, "w": WIDTH, "h": HEIGHT},
        "fieldConfig": {"defaults": {"unit": panel.unit, "min": 0, "custom": custom}, "overrides": []},
        "targets": [
            {"refId": chr(ord("A") + index), "expr": expression, "legendFormat": legend, "datasource": DATASOURCE}
            for index, (legend, expression) in enumerate(panel.queries.items())
        ],
    }
