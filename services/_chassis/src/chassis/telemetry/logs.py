"""Structured logs: one JSON object per line on standard output, with fields such as request, job and node."""

import logging
import sys
from typing import Any

import orjson
import structlog
from stamina.instrumentation import RetryDetails, set_on_retry_hooks

log: structlog.typing.FilteringBoundLogger = structlog.get_logger()

bound = structlog.contextvars.bound_contextvars
"""``with bound(job_id=...):`` puts the fields on every line logged inside."""

bound_here = structlog.contextvars.get_contextvars
"""The fields that are bound now."""


def _render(_: object, __: str, event: structlog.typing.EventDict) -> bytes:
    return orjson.dumps(event, default=str)


def _render_text(logger: object, name: str, event: structlog.typing.EventDict) -> str:
    return _render(logger, name, event).decode()


def configure(service: str, level: str) -> None:
    """Send all logs, including those of third-party libraries, as JSON lines to standard output.

    Our own lines bypass the standard library, which takes three times as long (21 instead of 7 us per line).
    """
    number = logging.getLevelNamesMapping()[level.upper()]

    def name_service(_: object, __: str, event: structlog.typing.EventDict) -> structlog.typing.EventDict:
        event["service"] = service
        return event

    shared: list[Any] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        name_service,
        structlog.processors.TimeStamper(fmt="iso", utc=True, key="at"),
        structlog.processors.format_exc_info,
    ]
    structlog.configure(
        processors=[*shared, _render],
        logger_factory=structlog.BytesLoggerFactory(sys.stdout.buffer),
        wrapper_class=structlog.make_filtering_bound_logger(number),
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(sys.stdout)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, _render_text],
        )
    )
    logging.basicConfig(handlers=[handler], level=number, force=True)
    set_on_retry_hooks([_log_retry])
    for chatty in ("httpx", "httpcore", "nats.aio.client", "uvicorn.access", "uvicorn.error", "websockets"):
        logging.getLogger(chatty).setLevel(logging.WARNING)


def _log_retry(details: RetryDetails) -> None:
    """Log a retry. stamina's own hook logs the arguments of decorated functions, which may hold secrets."""
    error = details.caused_by
    text = str(error) or type(error).__name__
    log.info(
        "retry", failed=details.retry_num, wait_s=round(details.wait_for, 3), type=type(error).__name__, error=text
    )
