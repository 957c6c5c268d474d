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

from stack.layout import tail
from stack.options import Options
from stack.stop_signals import StopRequested, StopSignals
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
        signals = StopSignals(stack.kill)
        signals.open()
        try:
            pictures = await signals.run_until_stopped(_run_jobs(stack, output, console))
        except StopRequested:
            return INTERRUPTED
        except Exception as failure:  # noqa: BLE001 - whatever it was, the person gets the logs before they are gone
            _print_failure(failure, stack, console)
            return 1
        finally:
            stack.kill()  # nothing here needs a graceful stop
            await stack.down()
    for picture in pictures:
        console.print(f"[green]✓[/] {picture}", highlight=False, soft_wrap=True)
    console.print(f"done in {time.monotonic() - began:.1f} s. Next: ./dev up", highlight=False)
    return 0


async def _run_jobs(stack: Stack, output: Path, console: Console) -> list[Path]:
    with console.status("starting NATS, PostgreSQL, five services and two simulated ComfyUI nodes"):
        starting = asyncio.ensure_future(stack.up())
        await asyncio.sleep(0)  # start the other processes before spending time on imports
        try:
            from stack.demo_client import DemoClient  # noqa: PLC0415 - see above

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
    async with DemoClient(credentials.base_url, credentials.demo_key) as client:
        with Progress(*columns, TimeElapsedColumn(), console=console) as bars:

            async def make(name: str, submission: dict[str, Any], bar: TaskID) -> list[Path]:
                job_id = await client.submit(submission)
                await client.watch(job_id, lambda seen: bars.update(bar, completed=seen.progress, status=seen.status))
                return await client.fetch(job_id, output, name)

            made = await asyncio.gather(*(
                make(name, submission, bars.add_task(name, total=100, status="pending"))
                for name, submission in jobs.items()
            ))  # fmt: skip
    return [picture.resolve() for pictures in made for picture in pictures]


def _print_failure(failure: Exception, stack: Stack, console: Console) -> None:
    console.print(f"[red]✗[/] {failure or repr(failure)}", highlight=False, soft_wrap=True)
    for log in sorted(stack.layout.logs.glob("*.log")):
        said = tail(log, 8)
        if said and log.stem not in ("fork_server", "initdb", "postgres"):
            console.print(f"[bold]{log.stem}[/]", highlight=False)
            console.print(said, highlight=False, markup=False, soft_wrap=True)
