"""``/prompt``: receives, validates and queues a graph."""

import asyncio
import uuid
from typing import Any

from aiohttp import web

from simnode.components import NodeComponents
from simnode.failures import EXIT_STATUS
from simnode.history import SECRET_KEYS
from simnode.routes.registry import get_components
from simnode.validation import build_request_error, validate
from simnode.wire import Document, QueueItem, now_ms

routes = web.RouteTableDef()


@routes.get("/prompt")
async def get_prompt(request: web.Request) -> web.Response:
    """Return the number of waiting and running prompts."""
    return web.json_response(get_components(request).queue.status())


@routes.post("/prompt")
async def post_prompt(request: web.Request) -> web.Response:
    """Queue a prompt: 200 with its number, 400 with reasons, 500 for input that breaks the server."""
    components = get_components(request)
    if components.faults.trigger("prompt_500"):
        raise RuntimeError("fault prompt_500")
    components.log.write("[INFO] got prompt\n")
    body = await request.json()
    number = _choose_queue_number(components, body)
    if "prompt" not in body:
        return _build_error_response(build_request_error("no_prompt", "No prompt provided", "No prompt provided"))
    prompt_id = _choose_prompt_id(body, is_0_33=components.settings.is_0_33)
    if prompt_id is None:
        return _build_error_response(_BAD_ID)
    validation = validate(
        body["prompt"], components.catalog, components.resources, body.get("partial_execution_targets")
    )
    if validation.error is not None:
        return _build_error_response(validation.error, validation.node_errors)
    extra = _build_extra_data(body, request.headers.get("Comfy-Usage-Source"))
    _enqueue_prompt(components, (number, prompt_id, body["prompt"]), extra, validation.outputs)
    if components.faults.trigger("exit", when="accepted"):
        components.exit_process(EXIT_STATUS)
    delay = components.faults.trigger("prompt_timeout")
    if delay is not None:
        await asyncio.sleep(float(delay["seconds"]))
    return web.json_response({"prompt_id": prompt_id, "number": number, "node_errors": validation.node_errors})


_BAD_ID = build_request_error(
    "invalid_prompt_id",
    "prompt_id must be a valid UUID",
    "prompt_id must be a UUID string in canonical lowercase hyphenated form; omit it to let the server generate one",
)


def _build_error_response(error: Document, node_errors: Document | None = None) -> web.Response:
    return web.json_response({"error": error, "node_errors": node_errors or {}}, status=400)


def _choose_queue_number(components: NodeComponents, body: Any) -> float:
    """Return the explicit priority, or the counter, negative for ``front``. A refused request uses up a number too."""
    if "number" in body:
        return float(body["number"])
    number = -components.counter if body.get("front") else components.counter
    components.counter += 1
    return number


def _choose_prompt_id(body: Document, *, is_0_33: bool) -> str | None:
    """Return the id; None if ComfyUI 0.33 refuses it. ComfyUI 0.3 converts anything to a string, null too."""
    if not is_0_33:
        return str(body["prompt_id"]) if "prompt_id" in body else str(uuid.uuid4())
    given = body.get("prompt_id")
    if given is None:
        return str(uuid.uuid4())
    try:
        canonical = str(uuid.UUID(given))
    except (AttributeError, TypeError, ValueError):
        return None
    return given if given == canonical else None


def _enqueue_prompt(components: NodeComponents, prompt: QueueItem, extra: Document, outputs: list[str]) -> None:
    """Queue a valid prompt. ComfyUI 0.33 adds a timestamp and keeps secrets separately in a sixth element."""
    components.rng.shuffle(outputs)
    item: QueueItem = (*prompt, extra, outputs)
    if components.settings.is_0_33:
        sensitive = {key: extra.pop(key) for key in SECRET_KEYS if key in extra}
        extra["create_time"] = now_ms()
        item = (*item, sensitive)
    components.queue.put(item)
    components.ledger.record_acceptance(prompt[1], extra.get("client_id"))


def _build_extra_data(body: Document, source: str | None) -> Document:
    extra: Document = body.get("extra_data", {})
    if "client_id" in body:
        extra["client_id"] = body["client_id"]
    if source is not None:
        extra.setdefault("comfy_usage_source", source)
    return extra
