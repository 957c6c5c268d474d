"""Every subject and every stream there is. Permissions, schemas, AsyncAPI and docs/topology.md are made from this."""

from typing import Any

from contracts import audit, auth, executor, gateway, operations, registration, retention, scheduler
from contracts.wire import errors
from contracts.wire.errors import Refusal
from contracts.wire.topic import DurableConsumer, Stream, Topic

SERVICES = ("auth", "gateway", "scheduler", "executor", "notifier")
DATABASES = ("auth", "gateway", "scheduler", "notifier")

TOPICS: tuple[Topic[Any], ...] = (
    *auth.TOPICS, *audit.TOPICS, *gateway.TOPICS, *scheduler.TOPICS, *operations.TOPICS, *retention.TOPICS,
    *executor.TOPICS, *registration.TOPICS,
)  # fmt: skip

DAY_S = 86_400.0

JOB_EVENTS = Stream(
    name="EVENT",
    owner="scheduler",
    topics=(scheduler.JOB_CHANGED,),
    max_age_s=3 * DAY_S,
)
JOB_PROGRESS = Stream(
    name="PROGRESS",
    owner="scheduler",
    topics=(executor.PROGRESS,),
    max_age_s=900,
    memory=True,
    max_bytes=64 << 20,
    last_per_subject=1,
    duplicate_window_s=1,
    peekers=("gateway", "notifier"),
)
JOB_PURGES = Stream(
    name="GONE",
    owner="scheduler",
    topics=(retention.JOB_PURGED,),
    max_age_s=30 * DAY_S,
)
STREAMS = (JOB_EVENTS, JOB_PROGRESS, JOB_PURGES)

NOTIFIER_JOB_EVENTS = DurableConsumer(stream=JOB_EVENTS, topic=scheduler.JOB_CHANGED, service="notifier")
NOTIFIER_JOB_PURGES = DurableConsumer(stream=JOB_PURGES, topic=retention.JOB_PURGED, service="notifier")
GATEWAY_JOB_PURGES = DurableConsumer(
    stream=JOB_PURGES,
    topic=retention.JOB_PURGED,
    service="gateway",
    max_deliver=10,  # an hour: the object storage may be away for longer than a database
    backoff_s=(1, 5, 30, 120, 600),
)
CONSUMERS: tuple[DurableConsumer[Any], ...] = (NOTIFIER_JOB_EVENTS, NOTIFIER_JOB_PURGES, GATEWAY_JOB_PURGES)


def _refusals() -> tuple[type[Refusal], ...]:
    """Every refusal that a message or an answer can carry, by code."""
    found = {
        refusal.code: refusal
        for module in (auth, errors, gateway, operations, registration, retention, scheduler)
        for refusal in vars(module).values()
        if isinstance(refusal, type) and issubclass(refusal, Refusal) and refusal not in {Refusal, errors.Relayed}
    }
    return tuple(found[code] for code in sorted(found))


REFUSALS = _refusals()
