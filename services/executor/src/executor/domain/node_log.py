"""Detects in a node's log that its worker thread has died.

Python writes a thread's traceback in pieces: ``Exception in thread ``, the thread's name, each frame, its source, and
every marker below it. ComfyUI keeps every write as one log entry and only the newest 300 entries
(``/internal/logs/raw``), so a long traceback displaces its own beginning. Errors logged by a living worker, and texts
that a prompt makes a node log, are one entry of several lines, or a line with a prefix.
"""

import re
from typing import Any

_WORKER = re.compile(r"Thread-\d+ \(prompt_worker\)")
_TRACEBACK_START = "Exception in thread "
_MAX_DISTANCE = 4  # entries from the start to the thread's name; other threads may write in between
_FRAME = re.compile(r' {2}File "[^"\n]*[\\/](?:execution\.py|comfy_execution[\\/][^"\n]*)", line \d+, in [^\n]+\n')
_POSTED = "got prompt\n"


def count_prompts_since_worker_death(log: Any) -> int | None:
    """Return how many prompts were posted since the node's worker thread died; None when the log shows no death.

    If more prompts were posted than are pending, a prompt ran after the traceback, so the worker is alive.
    """
    listed = log.get("entries") if isinstance(log, dict) else None
    entries = [entry.get("m") for entry in listed if isinstance(entry, dict)] if isinstance(listed, list) else []
    texts = [text for text in entries if isinstance(text, str)]
    posted = 0
    for index in reversed(range(len(texts))):
        text = texts[index]
        if _FRAME.fullmatch(text):
            return posted
        if _WORKER.fullmatch(text) and _TRACEBACK_START in texts[max(0, index - _MAX_DISTANCE) : index]:
            return posted
        posted += text.endswith(_POSTED)
    return None
