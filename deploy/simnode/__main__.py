"""The command line: ``python -m simnode --port 8188``."""

import argparse
import asyncio
import contextlib
import signal
import sys
import tempfile
import traceback
from pathlib import Path

from simnode.node import SimNode
from simnode.settings import DEFAULT_CHECKPOINTS, MAX_UPLOAD_BYTES, VERSION_0_3, VERSION_0_33, Settings


def main(argv: list[str] | None = None) -> None:
    """Run one node until SIGTERM or SIGINT.

    Args:
        argv: arguments without the program name; those of the process if None.

    Raises:
        SystemExit: status 1 if the sending loop failed, which ends ComfyUI too; 2 for bad arguments.
    """
    options = _create_parser().parse_args(argv)
    with contextlib.ExitStack() as stack:
        directory = options.directory or Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="simnode-")))
        error = asyncio.run(_serve(_build_settings(options, directory)))
    if error is not None:
        traceback.print_exception(error)
        sys.exit(1)


async def _serve(settings: Settings) -> BaseException | None:
    """Serve until a signal (returns None) or until the sending loop fails (returns the reason)."""
    stopped = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        with contextlib.suppress(ValueError, NotImplementedError, RuntimeError):
            loop.add_signal_handler(number, stopped.set)
    async with SimNode(settings) as node:
        print(f"To see the GUI go to: {node.url}", flush=True)
        waiting = asyncio.create_task(stopped.wait())
        failing = asyncio.create_task(node.wait_for_failure())
        await asyncio.wait([waiting, failing], return_when=asyncio.FIRST_COMPLETED)
        error = failing.result() if failing.done() else None
        for task in (waiting, failing):
            task.cancel()
    return error


def _build_settings(options: argparse.Namespace, directory: Path) -> Settings:
    return Settings(
        directory=directory,
        host=options.host,
        port=options.port,
        step_s=options.step_ms / 1000,
        node_s=options.node_ms / 1000,
        version=options.version,
        name=options.name,
        preview=options.preview,
        checkpoints=tuple(options.checkpoint or DEFAULT_CHECKPOINTS),
        without=frozenset(options.without_class),
        filler_classes=options.filler_classes,
        seed=options.seed,
        max_upload_bytes=options.max_upload_bytes,
    )


def _create_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="simnode", description="A simulated ComfyUI server.")
    add = parser.add_argument
    add("--host", default="127.0.0.1", help="address to bind")
    add("--port", type=int, default=8188, help="port to bind; 0 picks a free one, which is printed")
    add("--directory", type=Path, help="contains input/, output/ and temp/; temporary by default")
    add("--step-ms", type=_parse_milliseconds, default=50.0, help="time of one sampler step")
    add("--node-ms", type=_parse_milliseconds, default=0.0, help="time of every other node")
    add("--version", choices=(VERSION_0_33, VERSION_0_3), default=VERSION_0_33, help="which ComfyUI to behave like")
    add("--name", default="node-1", help="drawn into images")
    add("--preview", action=argparse.BooleanOptionalAction, default=False, help="send preview frames")
    add("--checkpoint", action="append", metavar="NAME", help=f"repeatable; default {', '.join(DEFAULT_CHECKPOINTS)}")
    add("--without-class", action="append", default=[], metavar="NAME", help="repeatable; hide a node class")
    add("--filler-classes", type=int, default=0, help="number of additional classes, which do nothing")
    add("--seed", type=int, default=0, help="seed of random delays and orders")
    add("--max-upload-bytes", type=int, default=MAX_UPLOAD_BYTES, help="largest request body")
    return parser


def _parse_milliseconds(text: str) -> float:
    value = float(text)
    if value < 0:
        raise argparse.ArgumentTypeError("must not be negative")
    return value


if __name__ == "__main__":
    main()
