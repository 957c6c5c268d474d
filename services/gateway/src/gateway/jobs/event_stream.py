"""Formats events of a job as server-sent events, with the same frames as on the websocket."""

import json

from contracts.scheduler.jobs import STATUS_OF_STATE, JobEvent


def build_status_event(event: JobEvent) -> bytes:
    """Return a state event. Its id can be sent as ``Last-Event-ID``."""
    frame = {
        "type": "status",
        "job_id": str(event.job_id),
        "seq": event.seq,
        "status": STATUS_OF_STATE[event.state],
        "at": event.at.isoformat(),
        "attempt": event.attempt,
    }
    if event.error:
        frame["error"] = event.error.model_dump(mode="json")
    return f"id: {event.seq}\nevent: status\ndata: {json.dumps(frame)}\n\n".encode()
