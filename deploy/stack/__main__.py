"""The ``./dev`` commands that run the system."""

import asyncio
import os
from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer(add_completion=False, no_args_is_help=True, pretty_exceptions_enable=False)

State = Annotated[Path, typer.Option("--state", help="State directory of the stack.")]
StepMs = Annotated[int, typer.Option("--step-ms", min=0, help="Duration of a simulated sampler step, milliseconds.")]


@app.command()
def up(
    *,
    port: Annotated[int, typer.Option(min=0, max=65535, help="Public port; 0 picks a free one.")] = 8000,
    state: State = Path(".dev"),
    nodes: Annotated[int, typer.Option(min=0, max=64, help="Number of simulated nodes.")] = 2,
    comfyui: Annotated[list[str] | None, typer.Option(help="URL of a real node to use instead; repeatable.")] = None,
    step_ms: StepMs = 50,
    log_level: Annotated[str, typer.Option(help="Log level of the services.")] = "INFO",
    bare: Annotated[bool, typer.Option("--bare", help="Run only NATS, PostgreSQL and the nodes.")] = False,
) -> None:
    """Run the whole system on this machine. Ctrl-C stops it; its state is kept."""
    from stack import foreground  # noqa: PLC0415 - each command imports only what it needs
    from stack.options import Options  # noqa: PLC0415 - see `up`

    urls = tuple(comfyui or ()) or _read_comfyui_urls()
    raise typer.Exit(
        foreground.run(Options(state.resolve(), port, nodes, urls, step_ms, log_level=log_level, bare=bare))
    )


@app.command()
def down(state: State = Path(".dev")) -> None:
    """Stop what ./dev up runs, and wait until it has stopped."""
    from rich.console import Console  # noqa: PLC0415 - each command imports only what it needs

    from stack import foreground  # noqa: PLC0415 - see `up`

    raise typer.Exit(foreground.down(state.resolve(), Console()))


@app.command()
def login(
    username: Annotated[str, typer.Argument(help="User to log in: demo or admin.")] = "demo",
    state: State = Path(".dev"),
) -> None:
    """Print a link that logs a user in to the console of ./dev up, once and within ten minutes."""
    from rich.console import Console  # noqa: PLC0415 - each command imports only what it needs

    from stack import foreground  # noqa: PLC0415 - see `up`

    raise typer.Exit(foreground.login(state.resolve(), username, Console()))


@app.command()
def demo(
    output: Annotated[Path, typer.Option(help="Folder for the images.")] = Path("comfyfleet-demo"),
    step_ms: StepMs = 50,
) -> None:
    """Run a temporary stack that makes two images."""
    from rich.console import Console  # noqa: PLC0415 - each command imports only what it needs

    from stack.demo import run_demo  # noqa: PLC0415 - see `up`

    raise typer.Exit(asyncio.run(run_demo(output, step_ms, Console())))


@app.command()
def migrate(state: State = Path(".dev")) -> None:
    """Migrate the databases of a state directory to the newest schema."""
    from stack.migrate import migrate_databases  # noqa: PLC0415 - see `up`

    raise typer.Exit(asyncio.run(migrate_databases(state.resolve())))


@app.command()
def backup(
    folder: Annotated[Path, typer.Argument(help="Folder to create.")],
    state: State = Path(".dev"),
) -> None:
    """Save databases and artifacts of a state directory."""
    from stack.backup import create_backup  # noqa: PLC0415 - see `up`

    raise typer.Exit(asyncio.run(create_backup(state.resolve(), folder.resolve())))


@app.command()
def restore(
    folder: Annotated[Path, typer.Argument(help="Folder that ./dev backup created.")],
    state: State = Path(".dev"),
) -> None:
    """Replace databases and artifacts of a state directory by those of a backup. The system must be down."""
    from stack.backup import restore_backup  # noqa: PLC0415 - see `up`

    raise typer.Exit(asyncio.run(restore_backup(state.resolve(), folder.resolve())))


@app.command()
def doctor(
    *,
    port: Annotated[int, typer.Option(help="Public port to check.")] = 8000,
    state: State = Path(".dev"),
) -> None:
    """Check this machine and list what is missing."""
    from stack.doctor import run_checks  # noqa: PLC0415 - see `up`

    raise typer.Exit(run_checks(port, state.resolve()))


def _read_comfyui_urls() -> tuple[str, ...]:
    """Return the URLs in ``COMFYUI_URLS``, or ``COMFYUI_URL``, comma separated."""
    urls = os.environ.get("COMFYUI_URLS") or os.environ.get("COMFYUI_URL") or ""
    return tuple(url.strip() for url in urls.split(",") if url.strip())


if __name__ == "__main__":
    app(prog_name="./dev")
