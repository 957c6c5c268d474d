"""Every metric of every service: names, types, labels, buckets and meanings.

Labels are bounded: services, route templates, topics, tiers, nodes, error codes. No label names a tenant or a job.
"""

from dataclasses import dataclass
from typing import Literal

MetricKind = Literal["counter", "gauge", "histogram"]

ALL_SERVICES = ("auth", "gateway", "scheduler", "executor", "notifier")
SERVICES_WITH_DATABASE = ("auth", "gateway", "scheduler", "notifier")


@dataclass(frozen=True, slots=True)
class Metric:
    """The declaration of one metric.

    Attributes:
        kind: its Prometheus type.
        labels: label names, in order.
        services: services that export it.
        help: meaning, with the values of labels that are not self-explanatory.
        buckets: upper bounds of a histogram.
    """

    name: str
    kind: MetricKind
    labels: tuple[str, ...]
    services: tuple[str, ...]
    help: str
    buckets: tuple[float, ...] = ()


REQUEST_BUCKETS_S = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
ETA_RATIO_BUCKETS = (0.25, 0.5, 0.67, 0.8, 0.9, 1.0, 1.1, 1.25, 1.5, 2.0, 3.0, 5.0, 10.0)
WAIT_BUCKETS_S = (0.1, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0, 600.0, 1800.0, 3600.0, 14400.0)

HTTP_REQUEST_SECONDS = Metric(
    "comfyfleet_http_request_seconds", "histogram", ("service", "route", "method", "code"), ALL_SERVICES,
    "Duration of an HTTP request until its response ended. route: path template; unrouted if the request matched no "
    "route or was refused before routing. code: status; 499 if the client disconnected without a response. Without "
    "/healthz, /readyz, WebSockets, and requests refused while their headers were read.",
    REQUEST_BUCKETS_S,
)  # fmt: skip
RPC_SECONDS = Metric(
    "comfyfleet_rpc_seconds", "histogram", ("service", "topic", "outcome"), ALL_SERVICES,
    "Time until the reply to a NATS request, measured by the service that sent it. outcome: ok, refused, unavailable "
    "(no reply in time, or the owner cannot reach a dependency), failed (an internal fault, or an unreadable reply), "
    "cancelled (the sender stopped waiting).",
    REQUEST_BUCKETS_S,
)  # fmt: skip
RPC_EXPIRED = Metric(
    "comfyfleet_rpc_expired_total", "counter", ("topic",), ALL_SERVICES,
    "NATS requests that were dropped unhandled because they arrived after their deadline.",
)  # fmt: skip
JOBS = Metric(
    "comfyfleet_jobs", "gauge", ("tier", "state"), ("scheduler",),
    "Jobs that have not ended. state: queued, held (by an operator), running (assigned to a node). Every replica "
    "exports the whole system: aggregate with max.",
)  # fmt: skip
QUEUE_OLDEST_SECONDS = Metric(
    "comfyfleet_queue_oldest_seconds", "gauge", ("tier",), ("scheduler",),
    "Age of the oldest queued job; 0 without one. Every replica exports the whole system: aggregate with max.",
)  # fmt: skip
JOB_WAIT_SECONDS = Metric(
    "comfyfleet_job_wait_seconds", "histogram", ("tier",), ("scheduler",),
    "Time from the acceptance of a job to the assignment of its first attempt.",
    WAIT_BUCKETS_S,
)  # fmt: skip
ETA_RATIO = Metric(
    "comfyfleet_eta_ratio", "histogram", ("stage",), ("scheduler",),
    "Actual time divided by the estimated median time, from the submission of a job to its start or end, of a sample "
    "of the jobs that succeeded. A second is added to both times. stage: start, end.",
    ETA_RATIO_BUCKETS,
)  # fmt: skip
ETA_JOBS = Metric(
    "comfyfleet_eta_jobs_total", "counter", ("stage", "result"), ("scheduler",),
    "Jobs of that sample. stage: start, end. result: early (up to the estimated median time), late (up to the "
    "estimated 90th percentile), missed (later).",
)  # fmt: skip
JOBS_ENDED = Metric(
    "comfyfleet_jobs_ended_total", "counter", ("tier", "outcome", "code"), ("scheduler",),
    "Jobs that reached a final state. outcome: succeeded, failed, cancelled, expired. code: error code, none without "
    "an error, other for an unknown one.",
)  # fmt: skip
ATTEMPTS_ENDED = Metric(
    "comfyfleet_attempts_ended_total", "counter", ("node", "outcome"), ("scheduler",),
    "Attempts that ended. outcome: succeeded, failed (by the workflow), node_fault, cancelled, lapsed (the lease was "
    "not renewed), overtime (ended by the scheduler after the job's run time), withdrawn (by an operator), "
    "released (its executor was stopped).",
)  # fmt: skip
CLAIMS = Metric(
    "comfyfleet_claims_total", "counter", ("outcome",), ("scheduler",),
    "Claims of a job for a node: one for each request for work, and another one whenever a waiting request is woken. "
    "outcome: leased, renewed (the node has the attempt already), nothing (no job for the node), restricted (the node "
    "is cordoned, too small, or was just failed by the job), contended (another node was faster; it claims again).",
)  # fmt: skip
NODE_STATE = Metric(
    "comfyfleet_node_state", "gauge", ("node", "state"), ("scheduler",),
    "1 if the node is in this state, else 0. state: online or offline, and besides working, cordoned, blocked. Every "
    "replica exports the whole system: aggregate with max.",
)  # fmt: skip
NODES_CORDONED = Metric(
    "comfyfleet_nodes_cordoned_total", "counter", ("node",), ("scheduler",),
    "How often the scheduler cordoned the node by itself, because different jobs failed on it in a row.",
)  # fmt: skip
DUPLICATE_EXECUTORS = Metric(
    "comfyfleet_duplicate_executor_heartbeats_total", "counter", ("node",), ("scheduler",),
    "Heartbeats that show that two running executors have the same node name: each executor is heard again after the "
    "other one.",
)  # fmt: skip
NODE_IDLE_SECONDS = Metric(
    "comfyfleet_node_idle_seconds_total", "counter", ("node", "reason"), ("executor",),
    "Time during which the node ran no prompt for its executor. reason: starting, node_offline, occupied (by prompts "
    "of others), scheduler_unavailable, no_work (or cordoned), preparing (inputs of an attempt), finishing (outputs "
    "of an attempt), paused (after repeated faults).",
)  # fmt: skip
MODEL_LOADS = Metric(
    "comfyfleet_model_loads_total", "counter", ("node",), ("executor",),
    "Graph nodes that the ComfyUI node executed to load a model file, instead of using the loaded model of an earlier "
    "prompt. Not counted while its event socket is disconnected.",
)  # fmt: skip
OUTBOX_OLDEST_SECONDS = Metric(
    "comfyfleet_outbox_oldest_seconds", "gauge", (), ("scheduler",),
    "Age of the oldest message in the outbox that is not published; 0 without one. Every replica exports the whole "
    "system: aggregate with max.",
)  # fmt: skip
LOOP_LAST_SUCCESS = Metric(
    "comfyfleet_loop_last_success_timestamp_seconds", "gauge", ("service", "loop"), ALL_SERVICES,
    "Unix time at which a periodic task last succeeded; its start until then. Tasks that run without a period, such "
    "as the executor's work, are not listed.",
)  # fmt: skip
LOOP_INTERVAL = Metric(
    "comfyfleet_loop_interval_seconds", "gauge", ("service", "loop"), ALL_SERVICES,
    "Longest pause between two runs of a periodic task.",
)  # fmt: skip
DEPENDENCY_UP = Metric(
    "comfyfleet_dependency_up", "gauge", ("service", "dependency"), ALL_SERVICES,
    "1 if the dependency answered the last check, else 0. dependency: nats, postgres, comfyui, artifact_store.",
)  # fmt: skip
DB_POOL = Metric(
    "comfyfleet_db_pool", "gauge", ("service", "pool", "state"), SERVICES_WITH_DATABASE,
    "Connections to PostgreSQL, without that of LISTEN. pool: main. state: in_use, idle.",
)  # fmt: skip
ARTIFACT_WRITES = Metric(
    "comfyfleet_artifact_writes_total", "counter", ("result",), ("gateway",),
    "Objects written to the artifact store. result: ok, full (no space left), failed. Writes that end because the "
    "sender stopped or sent too much are not counted.",
)  # fmt: skip
ARTIFACT_FREE_BYTES = Metric(
    "comfyfleet_artifact_free_bytes", "gauge", (), ("gateway",),
    "Free space of the artifact store's disk. Absent for a bucket, which does not report it.",
)  # fmt: skip
ORPHANS_DELETED = Metric(
    "comfyfleet_orphans_deleted_total", "counter", (), ("gateway",),
    "Objects without a record that were deleted from the artifact store.",
)  # fmt: skip
SOCKETS = Metric(
    "comfyfleet_sockets", "gauge", ("kind",), ("gateway", "notifier"),
    "Open connections of watchers. kind: job (WebSocket of one job), jobs (WebSocket of many jobs), sse (events of "
    "one job over HTTP).",
)  # fmt: skip
BUILD_INFO = Metric(
    "comfyfleet_build_info", "gauge", ("service", "version", "schema"), ALL_SERVICES,
    "Always 1. version: of the package. schema: newest database schema that this code knows; empty without a database.",
)  # fmt: skip

METRICS = (
    HTTP_REQUEST_SECONDS,
    RPC_SECONDS,
    RPC_EXPIRED,
    JOBS,
    QUEUE_OLDEST_SECONDS,
    JOB_WAIT_SECONDS,
    ETA_RATIO,
    ETA_JOBS,
    JOBS_ENDED,
    ATTEMPTS_ENDED,
    CLAIMS,
    NODE_STATE,
    NODES_CORDONED,
    DUPLICATE_EXECUTORS,
    NODE_IDLE_SECONDS,
    MODEL_LOADS,
    OUTBOX_OLDEST_SECONDS,
    LOOP_LAST_SUCCESS,
    LOOP_INTERVAL,
    DEPENDENCY_UP,
    DB_POOL,
    ARTIFACT_WRITES,
    ARTIFACT_FREE_BYTES,
    ORPHANS_DELETED,
    SOCKETS,
    BUILD_INFO,
)
