"""Structured logs: one JSON object a line on standard output, with the request, job and node that it is about."""

import logging
import sys
from typing import Any

import orjson
import structlog

log: structlog.stdlib.BoundLogger = structlog.get_logger()

bound = structlog.contextvars.bound_contextvars
"""``with bound(job_id=...):`` puts the fields on every line logged inside."""


def _render(_: object, __: str, event: structlog.typing.EventDict) -> str:
    return orjson.dumps(event, default=str).decode()


def configure(service: str, level: str) -> None:
    """Send everything, third-party libraries included, through one JSON renderer to standard output."""

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
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(sys.stdout)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, _render],
        )
    )
    logging.basicConfig(handlers=[handler], level=level.upper(), force=True)
    for chatty in ("httpx", "httpcore", "nats.aio.client", "uvicorn.access", "websockets"):
        logging.getLogger(chatty).setLevel(logging.WARNING)
