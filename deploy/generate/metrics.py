"""docs/operations/metrics.md: every metric."""

from contracts.metrics import ALL_SERVICES, METRICS, SERVICES_WITH_DATABASE, Metric

HEAD = """\
# Metrics

Generated from `contracts.metrics` by `./dev generate`. [Monitor](monitor.md) says where to scrape them. A histogram
has `_bucket`, `_sum` and `_count`. No label names a user or a job.

| metric | type | labels | services | meaning |
| --- | --- | --- | --- | --- |
"""


def build_metrics_page() -> str:
    return HEAD + "".join(map(_build_row, METRICS))


def _build_row(metric: Metric) -> str:
    labels = ", ".join(f"`{label}`" for label in metric.labels)
    services = {ALL_SERVICES: "all", SERVICES_WITH_DATABASE: "all but executor"}.get(
        metric.services, ", ".join(metric.services)
    )
    return f"| `{metric.name}` | {metric.kind} | {labels} | {services} | {metric.help} |\n"
