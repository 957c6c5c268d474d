"""``./dev demo``: a temporary stack makes two images and shows their progress."""

import asyncio
import json
import tempfile
import time
from importlib import resources
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn

from stack.layout import read_last_lines
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


async def run_demo(output: Path, step_ms: int, console: Console) -> int:
    """Start a stack, make the images, stop it. Returns the exit status."""
    started = time.monotonic()
    output.mkdir(parents=True, exist_ok=True)  # noqa: ASYNC240 - nothing else runs yet
    with tempfile.TemporaryDirectory(prefix="comfyfleet-demo-") as state:
        stack = Stack(Options(Path(state), port=0, nodes=2, step_ms=step_ms), lambda _: None)
        signals = StopSignals(stack.kill)
        signals.install_handlers()
        try:
            images = await signals.run_until_stopped(_run_jobs(stack, output, console))
        except StopRequested:
            return INTERRUPTED
        except Exception as failure:  # noqa: BLE001 - whatever it was, print the logs before they are deleted
            _print_failure(failure, stack, console)
            return 1
        finally:
            stack.kill()  # nothing here needs a graceful stop
            await stack.down()
    for image in images:
        console.print(f"[green]✓[/] {image}", highlight=False, soft_wrap=True)
    console.print(f"done in {time.monotonic() - started:.1f} s. Next: ./dev up", highlight=False)
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

            async def make_images(name: str, submission: dict[str, Any], bar: TaskID) -> list[Path]:
                job_id = await client.submit(submission)
                await client.watch(
                    job_id, lambda update: bars.update(bar, completed=update.progress, status=update.status)
                )
                return await client.download_outputs(job_id, output, name)

            images = await asyncio.gather(*(
                make_images(name, submission, bars.add_task(name, total=100, status="pending"))
                for name, submission in jobs.items()
            ))  # fmt: skip
    return [path.resolve() for paths in images for path in paths]


def _print_failure(failure: Exception, stack: Stack, console: Console) -> None:
    console.print(f"[red]✗[/] {failure or repr(failure)}", highlight=False, soft_wrap=True)
    for log in sorted(stack.layout.logs.glob("*.log")):
        lines = read_last_lines(log, 8)
        if lines and log.stem not in ("fork_server", "initdb", "postgres"):
            console.print(f"[bold]{log.stem}[/]", highlight=False)
            console.print(lines, highlight=False, markup=False, soft_wrap=True)
