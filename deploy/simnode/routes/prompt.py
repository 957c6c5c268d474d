"""``/prompt``: receives, validates and queues a graph."""

import asyncio
import uuid
from typing import Any

from aiohttp import web

from simnode.failures import EXIT_STATUS
from simnode.history import SECRETS
from simnode.parts import Parts
from simnode.routes.registry import get_parts
from simnode.validation import build_request_error, validate
from simnode.wire import Document, QueueItem, now_ms

routes = web.RouteTableDef()


@routes.get("/prompt")
async def get_prompt(request: web.Request) -> web.Response:
    """Return the number of waiting and running prompts."""
    return web.json_response(get_parts(request).queue.status())


@routes.post("/prompt")
async def post_prompt(request: web.Request) -> web.Response:
    """Queue a prompt: 200 with its number, 400 with reasons, 500 for input that breaks the server."""
    parts = get_parts(request)
    if parts.faults.fire("prompt_500"):
        raise RuntimeError("told to fail")
    parts.log.write("[INFO] got prompt\n")
    body = await request.json()
    number = _choose_queue_number(parts, body)
    if "prompt" not in body:
        return _build_error_response(build_request_error("no_prompt", "No prompt provided", "No prompt provided"))
    prompt_id = _choose_prompt_id(body, is_new=parts.settings.is_new)
    if prompt_id is None:
        return _build_error_response(_BAD_ID)
    verdict = validate(body["prompt"], parts.catalog, parts.shelf, body.get("partial_execution_targets"))
    if verdict.error is not None:
        return _build_error_response(verdict.error, verdict.node_errors)
    extra = _build_extra_data(body, request.headers.get("Comfy-Usage-Source"))
    _enqueue_prompt(parts, (number, prompt_id, body["prompt"]), extra, verdict.outputs)
    if parts.faults.fire("exit", when="accepted"):
        parts.die(EXIT_STATUS)
    late = parts.faults.fire("prompt_timeout")
    if late is not None:
        await asyncio.sleep(float(late["seconds"]))
    return web.json_response({"prompt_id": prompt_id, "number": number, "node_errors": verdict.node_errors})


_BAD_ID = build_request_error(
    "invalid_prompt_id",
    "prompt_id must be a valid UUID",
    "prompt_id must be a UUID string in canonical lowercase hyphenated form; omit it to let the server generate one",
)


def _build_error_response(error: Document, node_errors: Document | None = None) -> web.Response:
    return web.json_response({"error": error, "node_errors": node_errors or {}}, status=400)


def _choose_queue_number(parts: Parts, body: Any) -> float:
    """Return the explicit priority, or the counter, negative for ``front``. A refused request uses up a number too."""
    if "number" in body:
        return float(body["number"])
    number = -parts.counter if body.get("front") else parts.counter
    parts.counter += 1
    return number


def _choose_prompt_id(body: Document, *, is_new: bool) -> str | None:
    """Return the id; None if ComfyUI 0.33 refuses it. ComfyUI 0.3 converts anything to a string, null too."""
    if not is_new:
        return str(body["prompt_id"]) if "prompt_id" in body else str(uuid.uuid4())
    given = body.get("prompt_id")
    if given is None:
        return str(uuid.uuid4())
    try:
        canonical = str(uuid.UUID(given))
    except (AttributeError, TypeError, ValueError):
        return None
    return given if given == canonical else None


def _enqueue_prompt(parts: Parts, prompt: QueueItem, extra: Document, outputs: list[str]) -> None:
    """Queue a valid prompt. ComfyUI 0.33 adds a timestamp and keeps secrets separately in a sixth element."""
    parts.rng.shuffle(outputs)
    item: QueueItem = (*prompt, extra, outputs)
    if parts.settings.is_new:
        sensitive = {key: extra.pop(key) for key in SECRETS if key in extra}
        extra["create_time"] = now_ms()
        item = (*item, sensitive)
    parts.queue.put(item)
    parts.ledger.accepted(prompt[1], extra.get("client_id"))


def _build_extra_data(body: Document, source: str | None) -> Document:
    extra: Document = body.get("extra_data", {})
    if "client_id" in body:
        extra["client_id"] = body["client_id"]
    if source is not None:
        extra.setdefault("comfy_usage_source", source)
    return extra
