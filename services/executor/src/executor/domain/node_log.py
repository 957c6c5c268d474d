"""The signs of a dead worker thread in a ComfyUI's own log.

Python writes how a thread died piece by piece: ``Exception in thread ``, the thread's name, each frame of the traceback
in a line of its own, its source, and every mark below that one by one. ComfyUI keeps every write as an entry of its log
(``/internal/logs/raw``, the newest 300), so a long traceback pushes its own beginning out. Errors that a living worker
logs, and texts that a prompt makes a node log, are one entry of several lines, or a line with words before it.
"""

import re
from typing import Any

_WORKER = re.compile(r"Thread-\d+ \(prompt_worker\)")
_ANNOUNCED = "Exception in thread "
_NEAR = 4  # entries between the two, for other threads write as well
_FRAME = re.compile(r' {2}File "[^"\n]*[\\/](?:execution\.py|comfy_execution[\\/][^"\n]*)", line \d+, in [^\n]+\n')
_POSTED = "got prompt\n"


def prompts_since_death(log: Any) -> int | None:
    """How many prompts were posted to the node since its worker thread died; None where the log tells of no death.

    More than now wait in the queue: then the one that runs was posted later, so that death was none.
    """
    listed = log.get("entries") if isinstance(log, dict) else None
    entries = [entry.get("m") for entry in listed if isinstance(entry, dict)] if isinstance(listed, list) else []
    texts = [text for text in entries if isinstance(text, str)]
    posted = 0
    for place in reversed(range(len(texts))):
        text = texts[place]
        if _FRAME.fullmatch(text):
            return posted
        if _WORKER.fullmatch(text) and _ANNOUNCED in texts[max(0, place - _NEAR) : place]:
            return posted
        posted += text.endswith(_POSTED)
    return None
