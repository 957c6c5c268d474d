"""A dead worker thread in a node's log. The entries are those of ComfyUI 0.33 on Python 3.11, shortened."""

from typing import Any

import pytest

from executor.domain.node_log import prompts_since_death

DEATH = ("Exception in thread ", "Thread-5 (prompt_worker)", ":\n", "Traceback (most recent call last):\n")


def log(*texts: Any) -> dict[str, Any]:
    return {"entries": [{"t": f"2026-11-29T07:00:0{place}", "m": text} for place, text in enumerate(texts)]}


def test_death_of_the_worker_thread_is_found() -> None:
    assert prompts_since_death(log("got prompt\n", *DEATH)) == 0


def test_prompts_that_were_posted_since_the_death_are_counted() -> None:
    assert prompts_since_death(log("got prompt\n", *DEATH, "got prompt\n", "[INFO] got prompt\n")) == 2


def test_newest_death_counts() -> None:
    assert prompts_since_death(log(*DEATH, "got prompt\n", *DEATH)) == 0


def test_death_of_another_thread_is_none_of_the_worker() -> None:
    assert prompts_since_death(log("Exception in thread ", "Thread-5 (download)", ":\n")) is None


@pytest.mark.parametrize(
    "text",
    [
        "".join(DEATH),
        "Exception in thread Thread-5 (prompt_worker)",
        "Thread-5 (prompt_worker)\n",
        "[ERROR] Failed: Exception in thread \nThread-5 (prompt_worker)\n",
    ],
)
def test_text_that_a_prompt_has_logged_is_no_death(text: str) -> None:
    assert prompts_since_death(log("Exception in thread \n", text, text)) is None


@pytest.mark.parametrize(
    "answer", [None, [], "x", {}, {"entries": None}, {"entries": [None, 3, {"m": 3}, {"t": 3}]}, log(None, {}, 5)]
)
def test_log_that_makes_no_sense_tells_of_no_death(answer: Any) -> None:
    assert prompts_since_death(answer) is None
