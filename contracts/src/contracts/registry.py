"""Lists every subject and stream. Permissions, schemas, AsyncAPI and docs/topology.md are generated from it."""

from types import ModuleType
from typing import Any

from contracts.auth import (
    accounts,
    audit,
    changes,
    class_rules,
    credentials,
    erasure,
    invites,
    keys,
    login_links,
    sessions,
    tickets,
    tiers,
)
from contracts.executor import attempts as executor_attempts
from contracts.executor import progress
from contracts.gateway import nats_api, transfers
from contracts.gateway import outputs as gateway_outputs
from contracts.notifier import dead_letters as notifier_dead_letters
from contracts.scheduler import (
    attempts,
    dead_letters,
    fleet,
    heartbeats,
    job_actions,
    jobs,
    nodes,
    output_lists,
    purges,
    queue,
    search,
    statistics,
    submissions,
    trends,
    usage,
    workflow_forms,
)
from contracts.wire import dead_letters as wire_dead_letters
from contracts.wire import errors
from contracts.wire.errors import Refusal
from contracts.wire.topic import DurableConsumer, Stream, Topic

SERVICES = ("auth", "gateway", "scheduler", "executor", "notifier")
DATABASES = ("auth", "gateway", "scheduler", "notifier")

MODULES: tuple[ModuleType, ...] = (
    accounts, audit, changes, class_rules, credentials, erasure, invites, keys, login_links, sessions, tickets, tiers,
    gateway_outputs, nats_api, transfers,
    attempts, dead_letters, fleet, heartbeats, job_actions, jobs, nodes, output_lists, purges, queue, search,
    statistics, submissions, trends, usage, workflow_forms,
    executor_attempts, progress, notifier_dead_letters, wire_dead_letters,
)  # fmt: skip
"""Every module that declares topics or refusals."""

TOPICS: tuple[Topic[Any], ...] = tuple(topic for module in MODULES for topic in getattr(module, "TOPICS", ()))

DAY_S = 86_400.0

JOB_EVENTS = Stream(
    name="EVENT",
    owner="scheduler",
    topics=(jobs.JOB_CHANGED,),
    description="Every state transition of every job.",
    max_age_s=3 * DAY_S,
    max_bytes=4 << 30,
)
JOB_PROGRESS = Stream(
    name="PROGRESS",
    owner="scheduler",
    topics=(progress.PROGRESS,),
    description="The latest progress of each job.",
    max_age_s=900,
    in_memory=True,
    max_bytes=64 << 20,
    last_per_subject=1,
    duplicate_window_s=1,
    direct_readers=("gateway", "notifier"),
)
JOB_PURGES = Stream(
    name="GONE",
    owner="scheduler",
    topics=(purges.JOB_PURGED,),
    description="Jobs whose data every service deletes.",
    max_age_s=30 * DAY_S,
)
STREAMS = (JOB_EVENTS, JOB_PROGRESS, JOB_PURGES)

NOTIFIER_JOB_EVENTS = DurableConsumer(stream=JOB_EVENTS, topic=jobs.JOB_CHANGED, service="notifier")
NOTIFIER_JOB_PURGES = DurableConsumer(stream=JOB_PURGES, topic=purges.JOB_PURGED, service="notifier")
GATEWAY_JOB_PURGES = DurableConsumer(
    stream=JOB_PURGES,
    topic=purges.JOB_PURGED,
    service="gateway",
    max_deliver=10,  # an hour: a lost purge leaves data of users behind
    backoff_s=(1, 5, 30, 120, 600),
)
CONSUMERS: tuple[DurableConsumer[Any], ...] = (NOTIFIER_JOB_EVENTS, NOTIFIER_JOB_PURGES, GATEWAY_JOB_PURGES)


def _find_refusals() -> tuple[type[Refusal], ...]:
    """Return every refusal that a message or reply can carry, by code."""
    found = {
        refusal.code: refusal
        for module in (*MODULES, errors)
        for refusal in vars(module).values()
        if isinstance(refusal, type)
        and issubclass(refusal, Refusal)
        and refusal not in {Refusal, errors.RelayedRefusal}
    }
    return tuple(found[code] for code in sorted(found))


REFUSALS = _find_refusals()
