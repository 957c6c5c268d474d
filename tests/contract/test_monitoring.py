"""Alert rules and dashboards use metrics that exist, and each alert has a runbook and a unit test."""

import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from contracts.metrics import METRICS

ROOT = Path(__file__).parents[2]
MONITORING = ROOT / "deploy/monitoring"
ALERTS: list[dict[str, Any]] = [
    rule for group in yaml.safe_load((MONITORING / "alerts.yml").read_text())["groups"] for rule in group["rules"]
]
NAMES = re.compile(r"\bcomfyfleet_[a-z_]+")
EXPORTED = {
    metric.name + suffix
    for metric in METRICS
    for suffix in (("_bucket", "_count", "_sum") if metric.kind == "histogram" else ("",))
}


def expressions() -> dict[str, str]:
    """Return every PromQL expression by its place."""
    found = {f"alert {rule['alert']}": rule["expr"] for rule in ALERTS}
    for path in sorted((MONITORING / "grafana/dashboards").glob("*.json")):
        for panel in json.loads(path.read_text())["panels"]:
            for target in panel["targets"]:
                found[f"{path.name} {panel['title']} {target['refId']}"] = target["expr"]
    return found


def promtool(*arguments: str) -> None:
    program = shutil.which("promtool")
    if program is None:
        pytest.skip("promtool is not on PATH (Debian's package prometheus)")
    done = subprocess.run([program, *arguments], cwd=MONITORING, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_alerts_and_dashboards_use_only_exported_metrics() -> None:
    unknown = {place: set(NAMES.findall(text)) - EXPORTED for place, text in expressions().items()}
    assert {place: names for place, names in unknown.items() if names} == {}


def test_every_metric_appears_in_an_alert_or_a_dashboard() -> None:
    used = {name for text in expressions().values() for name in NAMES.findall(text)}
    assert [metric.name for metric in METRICS if not any(name.startswith(metric.name) for name in used)] == []


def test_every_alert_has_a_runbook_that_names_it() -> None:
    runbooks = {rule["alert"]: rule["annotations"]["runbook"] for rule in ALERTS}
    for alert, path in runbooks.items():
        assert (ROOT / path).read_text().startswith(f"# {alert}\n"), path
    pages = {str(page.relative_to(ROOT)) for page in (ROOT / "docs/operations/runbooks").glob("[!R]*.md")}
    assert pages == set(runbooks.values())


def test_every_alert_has_a_unit_test_in_which_it_fires_and_clears() -> None:
    tests = yaml.safe_load((MONITORING / "alerts_test.yml").read_text())["tests"]
    checks = [check for test in tests for check in test["alert_rule_test"]]
    for rule in ALERTS:
        outcomes = [bool(check["exp_alerts"]) for check in checks if check["alertname"] == rule["alert"]]
        assert True in outcomes, rule["alert"]
        assert outcomes[-1] is False, rule["alert"]


def test_prometheus_accepts_the_alert_rules() -> None:
    promtool("check", "rules", "alerts.yml")


@pytest.mark.requirement("alerts.fire_and_clear")
def test_every_alert_fires_for_its_fault_and_clears() -> None:
    promtool("test", "rules", "alerts_test.yml")
