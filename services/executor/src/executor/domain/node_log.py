"""The signs of a dead worker thread in a ComfyUI's own log.

Python's threads write ``Exception in thread ``, their name, and a traceback, each in a write of its own, and ComfyUI
keeps every write as an entry of its log (``/internal/logs/raw``, the newest 300). A text that a prompt makes a node log
is an entry with a line end, so it does not look the same.
"""

import re
from typing import Any

_ANNOUNCED = "Exception in thread "
_WORKER = re.compile(r"Thread-\d+ \(prompt_worker\)")
_NEAR = 4  # entries between the two, for other threads write as well
_POSTED = "got prompt\n"


def prompts_since_death(log: Any) -> int | None:
    """How many prompts were posted to the node since its worker thread died; None where the log tells of no death.

    More than now wait in the queue: then the one that runs was posted later, so that death was none.
    """
    listed = log.get("entries") if isinstance(log, dict) else None
    texts = [entry.get("m") for entry in listed if isinstance(entry, dict)] if isinstance(listed, list) else []
    posted = 0
    for place in reversed(range(len(texts))):
        text = texts[place]
        if not isinstance(text, str):
            continue
        if _WORKER.fullmatch(text) and _ANNOUNCED in texts[max(0, place - _NEAR) : place]:
            return posted
        posted += text.endswith(_POSTED)
    return None
