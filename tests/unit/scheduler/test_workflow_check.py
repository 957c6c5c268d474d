"""The most frequent refusals of workflows, word for word.

A reader who knows only ComfyUI must learn from each text what to do next. ``refusals.md`` has the texts. After an
intended change, write the file with ``REFUSALS=write`` and read the diff as that reader.
"""

import os
import re
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from contracts.auth.tiers import Limits
from contracts.graph_policy.policy import TenantPolicy
from contracts.scheduler.submissions import InvalidWorkflow
from contracts.wire.errors import FieldError
from scheduler.domain.workflow_check import CheckContext, CheckedWorkflow, check_workflow
from tests.kit.catalogs import simulated_catalog
from tests.kit.refused_graphs import GRAPHS

GOLDEN = Path(__file__).with_name("refusals.md")
LIMITS = Limits(
    images_per_day=10,
    max_running=1,
    queue_cap=10,
    weight=1,
    requests_per_minute=30,
    graph_nodes=100,
    graph_pixels=2**24,
    graph_steps=50,
)
TERMS = CheckContext(TenantPolicy(), LIMITS, {}, 16, now=datetime(2026, 11, 29, tzinfo=UTC))
CATALOG = simulated_catalog("sim_xl.safetensors", "sim_anime.safetensors")
_COUNT = re.compile(r"lists the \d+ ")  # the number of a simulated node's classes, which changes with the catalog


def errors_of(graph: dict[str, Any]) -> tuple[FieldError, ...]:
    try:
        found = check_workflow(graph, frozenset(), [CATALOG], TERMS, lambda _: 1)
    except InvalidWorkflow as refusal:
        return refusal.details.errors
    return () if isinstance(found, CheckedWorkflow) else found.build_refusal().details.errors


def written(title: str, errors: tuple[FieldError, ...]) -> str:
    lines = [f"* `{error.code}` at `{error.pointer}`: {error.message}" for error in errors]
    return "\n".join([f"## {title}", "", *(_COUNT.sub("lists the N ", line) for line in lines)])


def test_frequent_refusals_match_the_golden_file() -> None:
    told = {title: errors_of(graph) for title, graph in GRAPHS.items()}
    assert [title for title, errors in told.items() if not errors] == []
    text = "# Refusals of workflows\n\n" + "\n\n".join(written(*one) for one in told.items()) + "\n"
    if os.environ.get("REFUSALS") == "write":
        GOLDEN.write_text(text)
    assert text == GOLDEN.read_text()
