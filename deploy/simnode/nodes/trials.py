"""Two classes that no ComfyUI has, for tests: one takes time, one fails. Both pass their picture through."""

import asyncio
import json
import math

from simnode.failures import Failure
from simnode.node_class import Call, Field, NodeClass, Result, instantly, socket

TICK_S = 0.1


async def _sleep(call: Call) -> Result:
    seconds = call["seconds"]
    ticks = max(1, math.ceil(seconds / TICK_S))
    for done in range(1, ticks + 1):
        await asyncio.sleep(seconds / ticks)
        await call.tick(done, ticks, None)
    return Result((call["image"],))


def _fail(call: Call) -> Result:
    """Fail with the message, or with the text that it is in JSON after ``json:``: what no request may carry as such."""
    message = call["message"]
    raise Failure(call["exception_type"], json.loads(message[5:]) if message.startswith("json:") else message)


_MODULE = "custom_nodes.simnode"

CLASSES = (
    NodeClass(
        name="SimSleep",
        run=_sleep,
        inputs=(
            socket("image", "IMAGE"),
            Field("seconds", "FLOAT", {"default": 1.0, "min": 0.0, "max": 86400.0, "step": 0.01}),
        ),
        outputs=("IMAGE",),
        category="simnode",
        module=_MODULE,
        description="Takes time, reports progress, can be interrupted.",
        paced=False,
    ),
    NodeClass(
        name="SimFail",
        run=instantly(_fail),
        inputs=(
            socket("image", "IMAGE"),
            Field("message", "STRING", {"default": "it was told to fail"}),
            Field("exception_type", "STRING", {"default": "RuntimeError"}),
        ),
        outputs=("IMAGE",),
        category="simnode",
        module=_MODULE,
        description="Fails when it is executed.",
    ),
)
