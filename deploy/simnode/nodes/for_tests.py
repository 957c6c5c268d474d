"""Classes for tests, which ComfyUI does not have. Most return their input image.

One takes time, one fails, one produces more images than its graph says, one reports arbitrary data. Three reproduce
faults of real nodes: they end the process, end the worker while HTTP continues, or block the interpreter so that HTTP
does not respond.
"""

import asyncio
import io
import json
import math
import time

from simnode.failures import EXIT_STATUS, Failure, WorkerDied
from simnode.node_class import Call, Field, NodeClass, NodeResult, link_input, run_inline

TICK_S = 0.1


async def _sleep_for_seconds(call: Call) -> NodeResult:
    seconds = call["seconds"]
    ticks = max(1, math.ceil(seconds / TICK_S))
    for done in range(1, ticks + 1):
        await asyncio.sleep(seconds / ticks)
        await call.report_progress(done, ticks, None)
    return NodeResult((call["image"],))


def _fail_with_exception(call: Call) -> NodeResult:
    """Fail with the message. After ``json:`` it is decoded as JSON, for characters that a request cannot contain."""
    message = call["message"]
    raise Failure(call["exception_type"], json.loads(message[5:]) if message.startswith("json:") else message)


def _exit_process(call: Call) -> NodeResult:
    call.exit_process(EXIT_STATUS)
    return NodeResult((call["image"],))


def _kill_worker(_: Call) -> NodeResult:
    raise WorkerDied


def _freeze_node(call: Call) -> NodeResult:
    time.sleep(call["seconds"])  # blocks the event loop on purpose
    return NodeResult((call["image"],))


def _multiply_images(call: Call) -> NodeResult:
    return NodeResult((call["image"] * call["copies"],))


def _send_images(call: Call) -> NodeResult:
    """Send frames of type 1 and a report without file names, like the classes of the tooling pack."""
    for image in call["images"]:
        buffer = io.BytesIO()
        image.save(buffer, call["format"])
        call.send_image(buffer.getvalue())
    entry = {"source": "websocket", "content-type": f"image/{call['format'].lower()}", "type": "output"}
    return NodeResult((), {"images": [entry] * len(call["images"])})


def _expand_into_previews(call: Call) -> NodeResult:
    """Expand into several previews of the image that differ in an unused input. A cached call expands into none."""
    link = call.prompt[call.node_id]["inputs"]["image"]
    children = {
        f"{call.node_id}.0.0.{number}": {"class_type": "PreviewImage", "inputs": {"images": link, "number": number}}
        for number in range(1, call["times"] + 1)
    }
    return NodeResult((call["image"],), expand=children)


def _write_files_and_report(call: Call) -> NodeResult:
    """Write the files, then send clients the JSON report, like the nodes of some custom packs."""
    for path, content in json.loads(call["writes"]).items():
        file = call.resources.folders.root / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(content)
    return NodeResult((), json.loads(call["report"]) or None)


_MODULE = "custom_nodes.simnode"

CLASSES = (
    NodeClass(
        name="SimSleep",
        run=_sleep_for_seconds,
        inputs=(
            link_input("image", "IMAGE"),
            Field("seconds", "FLOAT", {"default": 1.0, "min": 0.0, "max": 86400.0, "step": 0.01}),
        ),
        outputs=("IMAGE",),
        category="simnode",
        module=_MODULE,
        description="Takes time, reports progress, can be interrupted.",
        has_delay=False,
    ),
    NodeClass(
        name="SimFail",
        run=run_inline(_fail_with_exception),
        inputs=(
            link_input("image", "IMAGE"),
            Field("message", "STRING", {"default": "this node always fails"}),
            Field("exception_type", "STRING", {"default": "RuntimeError"}),
        ),
        outputs=("IMAGE",),
        category="simnode",
        module=_MODULE,
        description="Fails when it is executed.",
    ),
    NodeClass(
        name="SimExit",
        run=run_inline(_exit_process),
        inputs=(link_input("image", "IMAGE"),),
        outputs=("IMAGE",),
        category="simnode",
        module=_MODULE,
        description="Ends the whole process.",
    ),
    NodeClass(
        name="SimKillWorker",
        run=run_inline(_kill_worker),
        inputs=(link_input("image", "IMAGE"),),
        outputs=("IMAGE",),
        category="simnode",
        module=_MODULE,
        description="Ends the worker thread; its prompt stays in the queue as running.",
    ),
    NodeClass(
        name="SimFreeze",
        run=run_inline(_freeze_node),
        inputs=(
            link_input("image", "IMAGE"),
            Field("seconds", "FLOAT", {"default": 60.0, "min": 0.0, "max": 86400.0, "step": 0.01}),
        ),
        outputs=("IMAGE",),
        category="simnode",
        module=_MODULE,
        description="Blocks the interpreter: HTTP does not respond.",
    ),
    NodeClass(
        name="SimMultiply",
        run=run_inline(_multiply_images),
        inputs=(link_input("image", "IMAGE"), Field("copies", "INT", {"default": 1, "min": 1, "max": 4096})),
        outputs=("IMAGE",),
        category="simnode",
        module=_MODULE,
        description="Returns its image several times.",
    ),
    NodeClass(
        name="SimExpand",
        run=run_inline(_expand_into_previews),
        inputs=(link_input("image", "IMAGE"), Field("times", "INT", {"default": 1, "min": 1, "max": 100})),
        outputs=("IMAGE",),
        category="simnode",
        module=_MODULE,
        description="Expands into several previews when it is executed.",
    ),
    NodeClass(
        name="SimSendImageWebSocket",
        run=run_inline(_send_images),
        inputs=(link_input("images", "IMAGE"), Field("format", ("PNG", "JPEG"))),
        output_node=True,
        category="simnode",
        module=_MODULE,
        description="Sends its images over the WebSocket.",
    ),
    NodeClass(
        name="SimReport",
        run=run_inline(_write_files_and_report),
        inputs=(
            Field("report", "STRING", {"default": "{}", "multiline": True}),
            Field("writes", "STRING", {"default": "{}", "multiline": True}),
        ),
        output_node=True,
        category="simnode",
        module=_MODULE,
        description="Writes files (content by path below the node's folders) and reports the given JSON.",
    ),
)
