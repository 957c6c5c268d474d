"""The waiting reason of a job, for each reason."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from contracts.scheduler.waiting import HoldCause, MissingOption, Waiting, WaitingDetail, WaitReason
from scheduler.domain.catalog import MissingNeeds, OptionNeed
from scheduler.domain.waiting import NodeFacts, QueuedJobFacts, TenantFacts, explain_waiting, survey_nodes

NOW = datetime(2026, 11, 29, 12, tzinfo=UTC)
JOB = QueuedJobFacts(queued_since=NOW - timedelta(minutes=10), now=NOW, jobs_ahead=3)
TENANT = TenantFacts(id=UUID(int=1), is_active=True, running=1, max_running=2)
FLUX = OptionNeed("CheckpointLoaderSimple", "ckpt_name", "flux.safetensors")
LORA = OptionNeed("LoraLoader", "lora_name", "style.safetensors")


def ago(minutes: float) -> datetime:
    return NOW - timedelta(minutes=minutes)


def node(name: str = "gpu-1", **facts: Any) -> NodeFacts:
    usual: dict[str, Any] = {"digest": "all", "online": True, "seen_at": NOW, "state_since": ago(60)}
    return NodeFacts(name=name, **(usual | facts))


def why(
    *nodes: NodeFacts,
    lacking: dict[str, MissingNeeds] | None = None,
    job: QueuedJobFacts = JOB,
    tenant: TenantFacts = TENANT,
) -> Waiting:
    return explain_waiting(job, tenant, survey_nodes(nodes, lacking or {}))


def test_job_that_can_run_waits_in_the_queue() -> None:
    waiting = why(node())
    assert (waiting.reason, waiting.since) == (WaitReason.QUEUE, JOB.queued_since)
    assert waiting.detail == WaitingDetail(jobs_ahead=3)
    assert waiting.message == "The job waits for a free node, behind 3 other jobs of the account."
    assert why(node(), job=replace(JOB, jobs_ahead=0)).message == "The job waits for a free node."


def test_queue_reason_starts_when_a_node_can_run_the_job() -> None:
    assert why(node("gpu-1", state_since=ago(2)), node("gpu-2", state_since=ago(4))).since == ago(4)
    assert why(node(state_since=None)).since == JOB.queued_since


def test_concurrency_limit_reason_states_limit_and_running_jobs() -> None:
    full = replace(TENANT, running=2, limit_reached_at=ago(1))
    waiting = why(node(), tenant=full)
    assert (waiting.reason, waiting.since) == (WaitReason.CONCURRENCY_LIMIT, ago(1))
    assert waiting.detail == WaitingDetail(limit=2, running=2)
    assert waiting.message == "The account has reached its limit of concurrent jobs: 2 of 2 are running."
    assert why(node(), tenant=replace(full, max_running=None)).reason is WaitReason.QUEUE


def test_no_node_online_reason_states_when_the_last_node_was_online() -> None:
    waiting = why(node("gpu-1", online=False, state_since=ago(30)), node("gpu-2", online=False, state_since=ago(4)))
    assert (waiting.reason, waiting.since) == (WaitReason.NO_NODE_ONLINE, ago(4))
    assert waiting.detail == WaitingDetail(last_online_at=ago(4))
    assert why(node(online=False, state_since=ago(30))).since == JOB.queued_since
    assert why().detail == WaitingDetail()


def test_node_without_a_catalog_counts_as_not_online() -> None:
    assert why(node(digest=None)).reason is WaitReason.NO_NODE_ONLINE


def test_reason_names_classes_that_no_online_node_has() -> None:
    lacking = {"small": MissingNeeds(classes=("A", "B")), "other": MissingNeeds(classes=("B",))}
    waiting = why(
        node("gpu-1", digest="small"),
        node("gpu-2", digest="other"),
        node("gpu-3", online=False, state_since=ago(5)),
        lacking=lacking,
    )
    assert (waiting.reason, waiting.since) == (WaitReason.NO_NODE_HAS_CLASS, ago(5))
    assert waiting.detail == WaitingDetail(classes=("B",), nodes=("gpu-1", "gpu-2"))
    assert waiting.message == "No online node has the node class B."


def test_reason_names_the_classes_that_the_closest_node_lacks() -> None:
    lacking = {"one": MissingNeeds(classes=("A", "B")), "two": MissingNeeds(classes=("C",))}
    waiting = why(node("gpu-1", digest="one"), node("gpu-2", digest="two"), lacking=lacking)
    assert (waiting.reason, waiting.detail.classes) == (WaitReason.NO_NODE_HAS_CLASS, ("C",))
    assert waiting.message == "No online node has all node classes of the job. The closest one lacks C."


def test_reason_names_a_missing_model_and_the_nodes_that_lack_it() -> None:
    lacking = {
        "one": MissingNeeds(options=(FLUX,)),
        "two": MissingNeeds(options=(FLUX, LORA)),
        "old": MissingNeeds(classes=("LoraLoader",), options=(FLUX,)),
    }
    waiting = why(*(node(f"gpu-{digest}", digest=digest) for digest in lacking), lacking=lacking)
    assert waiting.reason is WaitReason.MODEL_MISSING
    assert waiting.detail.missing == (
        MissingOption(**FLUX._asdict(), nodes=("gpu-one", "gpu-two")),
        MissingOption(**LORA._asdict(), nodes=("gpu-two",)),
    )
    assert waiting.detail.nodes == ("gpu-one", "gpu-two")
    assert "flux.safetensors (CheckpointLoaderSimple.ckpt_name)" in waiting.message


def test_reason_names_nodes_with_foreign_prompts() -> None:
    waiting = why(
        node("gpu-1", shared_since=ago(3)), node("gpu-2", shared_since=ago(1)), node("gpu-3", blocked_since=ago(2))
    )
    assert (waiting.reason, waiting.since) == (WaitReason.NODE_BUSY_ELSEWHERE, ago(1))
    assert waiting.detail == WaitingDetail(nodes=("gpu-1", "gpu-2"))
    assert why(node("gpu-1", shared_since=ago(3)), node("gpu-2")).reason is WaitReason.QUEUE


def test_reason_names_blocked_nodes() -> None:
    waiting = why(node("gpu-1", blocked_since=ago(3), shared_since=ago(4)), node("gpu-2", cordoned_at=ago(2)))
    assert (waiting.reason, waiting.since) == (WaitReason.NODE_BLOCKED, ago(3))
    assert waiting.detail == WaitingDetail(nodes=("gpu-1",))


def test_hold_by_an_operator_takes_precedence() -> None:
    waiting = why(job=replace(JOB, on_hold=True, jobs_ahead=None))
    assert (waiting.reason, waiting.since) == (WaitReason.HELD, JOB.queued_since)
    assert waiting.detail == WaitingDetail(cause=HoldCause.OPERATOR)


def test_job_is_held_while_all_nodes_that_can_run_it_are_cordoned() -> None:
    lacking = {"small": MissingNeeds(classes=("A",))}
    waiting = why(node("gpu-1", cordoned_at=ago(5)), node("gpu-2", digest="small"), lacking=lacking)
    assert (waiting.reason, waiting.since) == (WaitReason.HELD, ago(5))
    assert waiting.detail == WaitingDetail(cause=HoldCause.NODES_CORDONED, nodes=("gpu-1",))


def test_job_is_reported_as_held_until_the_node_that_failed_it_may_retry_it() -> None:
    until = NOW + timedelta(seconds=90)
    died = replace(JOB, avoid_node="gpu-1", avoid_until=until)
    nodes = (node("gpu-1"), node("gpu-2", shared_since=ago(1)))
    waiting = why(*nodes, job=died)
    assert (waiting.reason, waiting.since) == (WaitReason.HELD, ago(1))
    assert waiting.detail == WaitingDetail(cause=HoldCause.RETRY, until=until, nodes=("gpu-2",))
    assert why(*nodes, job=replace(died, avoid_until=NOW)).reason is WaitReason.QUEUE
    assert why(node("gpu-1"), job=died).reason is WaitReason.QUEUE  # the only node that can run the job
    assert why(node("gpu-1"), node("gpu-2"), job=died).reason is WaitReason.QUEUE


def test_disabled_account_takes_precedence_over_node_reasons() -> None:
    waiting = why(tenant=replace(TENANT, is_active=False))
    assert (waiting.reason, waiting.detail) == (WaitReason.ACCOUNT_DISABLED, WaitingDetail())


def test_node_reasons_take_precedence_over_the_concurrency_limit() -> None:
    assert why(tenant=replace(TENANT, running=2)).reason is WaitReason.NO_NODE_ONLINE


def test_nodes_classes_and_options_in_a_detail_are_bounded() -> None:
    lack = MissingNeeds(
        options=tuple(OptionNeed("Loader", "name", f"{number}.pt" + "x" * 500) for number in range(100))
    )
    nodes = [node(f"gpu-{number}", digest="one") for number in range(1000)]
    assert len(why(*nodes, lacking={"one": lack}).model_dump_json()) < 5_000
    classes = MissingNeeds(classes=tuple(f"Class{number}" + "x" * 150 for number in range(100)))
    assert len(why(*nodes, lacking={"one": classes}).model_dump_json()) < 3_000


def test_detail_contains_only_the_fields_of_its_reason() -> None:
    assert why(node()).model_dump(mode="json")["detail"] == {"jobs_ahead": 3}
