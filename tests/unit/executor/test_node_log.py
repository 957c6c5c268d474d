"""Detects a dead worker thread in a node's log. The entries are those of ComfyUI 0.33 on Python 3.11, shortened."""

from typing import Any

import pytest

from executor.domain.node_log import count_prompts_since_worker_death

DEATH = ("Exception in thread ", "Thread-5 (prompt_worker)", ":\n", "Traceback (most recent call last):\n")


FRAMES = (
    '  File "/opt/ComfyUI/comfy_execution/caching.py", line 140, in get_node\n',
    "    ",
    "x = y[z]",
    "\n",
    *"^^^^",
    "\n",
)


def log(*texts: Any) -> dict[str, Any]:
    return {"entries": [{"t": f"2026-11-29T07:00:0{place}", "m": text} for place, text in enumerate(texts)]}


def test_death_of_the_worker_thread_is_found() -> None:
    assert count_prompts_since_worker_death(log("got prompt\n", *DEATH)) == 0


def test_worker_death_is_found_in_a_truncated_traceback() -> None:
    ours = '  File "C:\\\\ComfyUI\\\\execution.py", line 728, in execute\n'
    assert count_prompts_since_worker_death(log("^", "\n", ours, "    ", "asyncio.run(x)", "\n", "KeyError", "\n")) == 0
    assert (
        count_prompts_since_worker_death(log("^", "\n", *FRAMES, "KeyError", ": ", "'inputs'", "\n", "got prompt\n"))
        == 1
    )


def test_truncated_traceback_of_another_thread_is_not_a_worker_death() -> None:
    assert (
        count_prompts_since_worker_death(
            log("^", "\n", '  File "/opt/ComfyUI/app/assets/seeder.py", line 1, in run\n', "^")
        )
        is None
    )


def test_prompts_posted_after_the_worker_death_are_counted() -> None:
    assert count_prompts_since_worker_death(log("got prompt\n", *DEATH, "got prompt\n", "[INFO] got prompt\n")) == 2


def test_newest_worker_death_is_used() -> None:
    assert count_prompts_since_worker_death(log(*DEATH, "got prompt\n", *DEATH)) == 0


def test_death_of_another_thread_is_not_a_worker_death() -> None:
    assert count_prompts_since_worker_death(log("Exception in thread ", "Thread-5 (download)", ":\n")) is None


@pytest.mark.parametrize(
    "text",
    [
        "".join(DEATH),
        "Exception in thread Thread-5 (prompt_worker)",
        "Thread-5 (prompt_worker)\n",
        "[ERROR] Failed: Exception in thread \nThread-5 (prompt_worker)\n",
        "".join(FRAMES),
        "[ERROR] Traceback (most recent call last):\n" + "".join(FRAMES),
        "[ERROR] " + FRAMES[0],
    ],
)
def test_traceback_printed_by_a_prompt_is_not_a_worker_death(text: str) -> None:
    assert count_prompts_since_worker_death(log("Exception in thread \n", text, text)) is None


@pytest.mark.parametrize(
    "answer", [None, [], "x", {}, {"entries": None}, {"entries": [None, 3, {"m": 3}, {"t": 3}]}, log(None, {}, 5)]
)
def test_no_worker_death_is_found_in_a_malformed_log(answer: Any) -> None:
    assert count_prompts_since_worker_death(answer) is None
