"""Queue items and history entries in the format of ComfyUI 0.33's jobs API. Keys with a null value are omitted."""

from collections.abc import Iterator
from typing import Any

from simnode.wire import Document, QueueItem

STATUSES = ("pending", "in_progress", "completed", "failed", "cancelled")
VISUAL_MEDIA = frozenset({"images", "video", "audio", "gifs", "3d"})
MAX_TEXT_LENGTH = 1024  # characters of a text preview


def describe_waiting_job(item: QueueItem, status: str) -> Document:
    """Describe a waiting or running prompt.

    Raises:
        AttributeError: ``extra_pnginfo`` is not an object. ComfyUI then responds with 500 for the whole list.
    """
    number, prompt_id, _, extra = item[:4]
    return _drop_nulls(
        {
            "id": prompt_id,
            "status": status,
            "priority": number,
            "create_time": extra.get("create_time"),
            "outputs_count": 0,
            "previewable_outputs_count": 0,
            "workflow_id": _find_workflow_id(extra),
        }
    )


def describe_finished_job(entry: Document) -> Document:
    """Describe a prompt with a history entry.

    Raises:
        AttributeError: as :func:`describe_waiting_job`.
    """
    number, prompt_id, _, extra, _ = entry["prompt"]
    items = list(_list_output_items(entry["outputs"]))
    visual = [item for item in items if item["mediaType"] in VISUAL_MEDIA]
    messages = dict(reversed(entry["status"]["messages"]))
    return _drop_nulls(
        {
            "id": prompt_id,
            "status": _convert_status(entry["status"]),
            "priority": number,
            "create_time": extra.get("create_time"),
            "execution_start_time": messages.get("execution_start", {}).get("timestamp"),
            "execution_end_time": _find_end_time(entry["status"]["messages"]),
            "execution_error": messages.get("execution_error"),
            "outputs_count": len(items),
            "previewable_outputs_count": len(visual),
            "preview_output": _choose_preview_item(items, visual),
            "workflow_id": _find_workflow_id(extra),
        }
    )


def describe_details(entry: Document) -> Document:
    """Return the additional fields of a single finished job."""
    _, _, prompt, extra, _ = entry["prompt"]
    outputs = {node_id: _drop_nulls(ui) for node_id, ui in entry["outputs"].items()}
    workflow = {"prompt": prompt, "extra_data": extra}
    return {"outputs": outputs, "execution_status": entry["status"], "workflow": workflow}


def _find_workflow_id(extra: Document) -> Any:
    return extra.get("extra_pnginfo", {}).get("workflow", {}).get("id")


def _convert_status(status: Document) -> str:
    if status["status_str"] == "success":
        return "completed"
    stopped = any(name == "execution_interrupted" for name, _ in status["messages"])
    return "cancelled" if stopped else "failed"


def _find_end_time(messages: list[list[Any]]) -> int | None:
    ends = [data["timestamp"] for name, data in messages if name not in {"execution_start", "execution_cached"}]
    return ends[-1] if ends else None


def _list_output_items(outputs: Document) -> Iterator[Document]:
    for node_id, ui in outputs.items():
        for media, values in ui.items():
            if media != "animated":
                yield from (_build_output_item(node_id, media, value) for value in values)


def _build_output_item(node_id: str, media: str, value: Any) -> Document:
    found = dict(value) if isinstance(value, dict) else _build_text_item(str(value))
    return {**found, "nodeId": node_id, "mediaType": media}


def _build_text_item(text: str) -> Document:
    return {"content": text[:MAX_TEXT_LENGTH], **({"truncated": True} if len(text) > MAX_TEXT_LENGTH else {})}


def _choose_preview_item(items: list[Document], visual: list[Document]) -> Document | None:
    saved = [item for item in visual if item.get("type") == "output"]
    texts = [item for item in items if item["mediaType"] == "text"]
    return next(iter([*saved, *visual, *texts]), None)


def _drop_nulls(document: Document) -> Document:
    return {key: value for key, value in document.items() if value is not None}
