"""A real node that judges prompts and runs none: one long prompt keeps its worker, and what it accepts is withdrawn."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import httpx

from tests.differential.bases import ObjectInfo, Workflow

BLURS = 400  # about a second each on a CPU, and it can be stopped between any two
CLEAR_EVERY = 20


class BusyNode:
    """A node that is kept from running what is posted to it."""

    def __init__(self, client: httpx.Client) -> None:
        self._client = client
        self._posted = 0

    def post(self, workflow: Workflow) -> httpx.Response:
        """The node's answer to a prompt."""
        answer = self._client.post("/prompt", json={"prompt": workflow})
        self._posted += 1
        if self._posted % CLEAR_EVERY == 0:
            self.withdraw()
        return answer

    def withdraw(self) -> None:
        """Withdraw what waits, and see that the long prompt still runs."""
        self._client.post("/queue", json={"clear": True}).raise_for_status()
        running = self._client.get("/queue").raise_for_status().json()["queue_running"]
        assert len(running) == 1, "the node has run, or may run, what was only to be judged"
        assert "blur 0" in running[0][2]


@contextmanager
def busy(client: httpx.Client, object_info: ObjectInfo) -> Iterator[BusyNode]:
    """Keep the node busy until the end, then leave it idle."""
    assert "ImageBlur" in object_info
    posted = client.post("/prompt", json={"prompt": _long_prompt()})
    assert posted.status_code == 200, posted.text
    _wait_until_running(client)
    node = BusyNode(client)
    try:
        yield node
    finally:
        client.post("/queue", json={"clear": True})
        client.post("/interrupt", json={})


def _wait_until_running(client: httpx.Client) -> None:
    for _ in range(1000):
        if client.get("/queue").raise_for_status().json()["queue_running"]:
            return
    raise AssertionError("the node does not begin")


def _long_prompt() -> dict[str, Any]:
    image = {"width": 768, "height": 768, "batch_size": 2, "color": 255}
    prompt: dict[str, Any] = {"blur 0": {"class_type": "EmptyImage", "inputs": image}}
    for place in range(1, BLURS):
        inputs = {"image": [f"blur {place - 1}", 0], "blur_radius": 31, "sigma": 10.0 - place / BLURS}
        prompt[f"blur {place}"] = {"class_type": "ImageBlur", "inputs": inputs}
    prompt["keep"] = {"class_type": "PreviewImage", "inputs": {"images": [f"blur {BLURS - 1}", 0]}}
    return prompt
