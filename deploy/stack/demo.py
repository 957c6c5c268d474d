"""``./dev demo``: a temporary stack makes two images while a person watches."""

import asyncio
import json
import tempfile
import time
from importlib import resources
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn

from stack.interrupt import Interrupted, Interrupts
from stack.layout import tail
from stack.plan import Options
from stack.supervisor import Stack

PROMPT = {
    "prompt": "a lighthouse at dusk, oil on canvas",
    "negative_prompt": "text, watermark",
    "width": 768,
    "height": 512,
    "steps": 20,
    "seed": 7,
}
INTERRUPTED = 130


async def demo(output: Path, step_ms: int, console: Console) -> int:
    """Start a stack, make the images, stop it. Returns the exit status."""
    began = time.monotonic()
    output.mkdir(parents=True, exist_ok=True)  # noqa: ASYNC240 - nothing else runs yet
    with tempfile.TemporaryDirectory(prefix="comfyfleet-demo-") as state:
        stack = Stack(Options(Path(state), port=0, nodes=2, step_ms=step_ms), lambda _: None)
        interrupts = Interrupts(stack.kill)
        interrupts.open()
        try:
            pictures = await interrupts.unless(_show(stack, output, console))
        except Interrupted:
            return INTERRUPTED
        except Exception as failure:  # noqa: BLE001 - whatever it was, the person gets the logs before they are gone
            _explain(failure, stack, console)
            return 1
        finally:
            stack.kill()  # nothing here needs a graceful stop
            await stack.down()
    for picture in pictures:
        console.print(f"[green]✓[/] {picture}", highlight=False, soft_wrap=True)
    console.print(f"done in {time.monotonic() - began:.1f} s. Next: ./dev up", highlight=False)
    return 0


async def _show(stack: Stack, output: Path, console: Console) -> list[Path]:
    with console.status("starting NATS, PostgreSQL, five services and two simulated ComfyUI nodes"):
        starting = asyncio.ensure_future(stack.up())
        await asyncio.sleep(0)  # start the other processes before spending time on imports
        try:
            from stack.viewer import Viewer  # noqa: PLC0415 - see above

            credentials = await starting
        finally:
            starting.cancel()
    console.print(f"up at {credentials.base_url}", highlight=False)
    workflow = json.loads(resources.files("stack").joinpath("demo_workflow.json").read_text(encoding="utf-8"))
    jobs: dict[str, dict[str, Any]] = {"lighthouse": PROMPT, "harbour": {"workflow": workflow}}
    columns = (
        TextColumn("{task.description:<12}"),
        BarColumn(),
        TextColumn("{task.fields[status]:<11}{task.percentage:>3.0f} %"),
    )
    async with Viewer(credentials.base_url, credentials.demo_key) as viewer:
        with Progress(*columns, TimeElapsedColumn(), console=console) as bars:

            async def make(name: str, submission: dict[str, Any], bar: TaskID) -> list[Path]:
                job_id = await viewer.submit(submission)
                await viewer.watch(job_id, lambda seen: bars.update(bar, completed=seen.progress, status=seen.status))
                return await viewer.fetch(job_id, output, name)

            made = await asyncio.gather(*(
                make(name, submission, bars.add_task(name, total=100, status="pending"))
                for name, submission in jobs.items()
            ))  # fmt: skip
    return [picture.resolve() for pictures in made for picture in pictures]


def _explain(failure: Exception, stack: Stack, console: Console) -> None:
    console.print(f"[red]✗[/] {failure or repr(failure)}", highlight=False, soft_wrap=True)
    for log in sorted(stack.layout.logs.glob("*.log")):
        said = tail(log, 8)
        if said and log.stem not in ("zygote", "initdb", "postgres"):
            console.print(f"[bold]{log.stem}[/]", highlight=False)
            console.print(said, highlight=False, markup=False, soft_wrap=True)
