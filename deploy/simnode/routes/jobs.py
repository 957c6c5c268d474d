"""The jobs API, which only ComfyUI 0.33 has."""

import json
import uuid
from typing import Any

from aiohttp import web

from simnode.components import NodeComponents
from simnode.job_view import STATUSES, describe_details, describe_finished_job, describe_waiting_job
from simnode.routes.queue import delete_waiting, interrupt_if_running
from simnode.routes.registry import get_components
from simnode.wire import Document

routes = web.RouteTableDef()


class _BadQuery(Exception):
    """A query parameter is invalid. The text is the response."""


@routes.get("/api/jobs")
async def get_jobs(request: web.Request) -> web.Response:
    """List all known prompts, filtered, sorted and paged."""
    query = request.rel_url.query
    try:
        statuses = _parse_statuses(query.get("status"))
        key = _parse_choice(query.get("sort_by", "created_at"), "sort_by", ("created_at", "execution_duration"))
        order = _parse_choice(query.get("sort_order", "desc"), "sort_order", ("asc", "desc"))
        limit = _parse_limit(query.get("limit"))
        offset = max(0, _parse_integer(query.get("offset", "0"), "offset"))
    except _BadQuery as error:
        return web.json_response({"error": str(error)}, status=400)
    wanted = query.get("workflow_id")
    jobs = [job for job in _list_jobs(get_components(request)) if wanted is None or job.get("workflow_id") == wanted]
    jobs = [job for job in jobs if statuses is None or job["status"] in statuses]
    jobs.sort(key=_get_creation_time if key == "created_at" else _get_execution_time, reverse=order == "desc")
    page = jobs[offset:] if limit is None else jobs[offset : offset + limit]
    more = offset + len(page) < len(jobs)
    pagination = {"offset": offset, "limit": limit, "total": len(jobs), "has_more": more}
    return web.json_response({"jobs": page, "pagination": pagination})


@routes.get("/api/jobs/{job_id}")
async def get_job(request: web.Request) -> web.Response:
    """One job; finished ones with outputs and workflow."""
    components, job_id = get_components(request), request.match_info["job_id"]
    entry = components.history.get_entry(job_id).get(job_id)
    if entry is not None:
        return web.json_response({**describe_finished_job(entry), **describe_details(entry)})
    job = next((one for one in _list_jobs(components) if one["id"] == job_id), None)
    if job is None:
        return web.json_response({"error": "Job not found"}, status=404)
    return web.json_response(job)


@routes.post("/api/jobs/cancel")
async def post_cancel_many(request: web.Request) -> web.Response:
    """Cancel several jobs; true if any was cancelled."""
    try:
        body = await request.json()
    except json.JSONDecodeError:
        return web.json_response({"error": "Request body must be valid JSON"}, status=400)
    ids = body.get("job_ids") if isinstance(body, dict) else None
    if not isinstance(ids, list):
        return web.json_response({"error": "job_ids must be a list"}, status=400)
    invalid = [one for one in ids if not _is_uuid(one)]
    if invalid:
        answer = {"error": "job_ids contains invalid id(s)", "invalid_ids": invalid}
        return web.json_response(answer, status=400)
    components = get_components(request)
    cancelled = [_cancel_jobs(components, one) for one in ids]
    return web.json_response({"cancelled": any(cancelled)})


@routes.post("/api/jobs/{job_id}/cancel")
async def post_cancel(request: web.Request) -> web.Response:
    """Cancel one job, running or waiting; false if it is neither."""
    return web.json_response({"cancelled": _cancel_jobs(get_components(request), request.match_info["job_id"])})


def _cancel_jobs(components: NodeComponents, job_id: str) -> bool:
    return interrupt_if_running(components, job_id) or delete_waiting(components, job_id)


def _list_jobs(components: NodeComponents) -> list[Document]:
    waiting = [describe_waiting_job(item, "pending") for item in components.queue.pending]
    running = [describe_waiting_job(item, "in_progress") for item in components.queue.running]
    return [
        *running,
        *waiting,
        *(describe_finished_job(entry) for entry in components.history.list_page(None, 0).values()),
    ]


def _get_creation_time(job: Document) -> int:
    return int(job.get("create_time", 0))


def _get_execution_time(job: Document) -> int:
    return int(job.get("execution_end_time", 0) - job.get("execution_start_time", 0))


def _parse_statuses(text: str | None) -> set[str] | None:
    if not text:
        return None
    names = [name.strip().lower() for name in text.split(",") if name.strip()]
    unknown = [name for name in names if name not in STATUSES]
    if unknown:
        raise _BadQuery(f"Invalid status value(s): {', '.join(unknown)}. Valid values: {', '.join(STATUSES)}")
    return set(names)


def _parse_choice(value: str, name: str, allowed: tuple[str, str]) -> str:
    if value not in allowed:
        raise _BadQuery(f"{name} must be '{allowed[0]}' or '{allowed[1]}'")
    return value


def _parse_limit(text: str | None) -> int | None:
    if text is None:
        return None
    limit = _parse_integer(text, "limit")
    if limit <= 0:
        raise _BadQuery("limit must be a positive integer")
    return limit


def _parse_integer(text: str, name: str) -> int:
    try:
        return int(text)
    except ValueError:
        raise _BadQuery(f"{name} must be an integer") from None


def _is_uuid(value: Any) -> bool:
    try:
        uuid.UUID(value)
    except (AttributeError, TypeError, ValueError):
        return False
    return True
