"""The command ``comfyfleet``.

Exit status: 0 success, 1 the job failed or was cancelled, 2 wrong usage, 3 refused, 4 unavailable, 130 interrupted.
"""

import os
import sys
from collections.abc import Callable
from typing import Annotated, cast

import typer

from comfyfleet_client.cli import (
    access_commands,
    account_commands,
    failures,
    fleet_commands,
    job_commands,
    key_commands,
    upload_commands,
    workflow_commands,
)
from comfyfleet_client.cli.show import print_note
from comfyfleet_client.errors import ComfyfleetError

app = typer.Typer(
    no_args_is_help=True, pretty_exceptions_enable=False, context_settings={"help_option_names": ["-h", "--help"]}
)


@app.callback()
def comfyfleet(
    *,
    url: Annotated[
        str | None, typer.Option(help="URL of the service; default: COMFYFLEET_URL, else that of the last login.")
    ] = None,
) -> None:
    """Generate images with a fleet of ComfyUI nodes.

    Log in, or set COMFYFLEET_KEY. Exit status: 0 success, 1 the job failed, 2 wrong usage, 3 refused, 4 unavailable.
    """


for _panel, _commands in {
    "Account": (
        account_commands.register, account_commands.login, account_commands.logout, account_commands.whoami,
        fleet_commands.usage,
    ),
    "Jobs": (
        job_commands.submit, job_commands.watch, job_commands.result, job_commands.cancel, job_commands.purge,
        job_commands.job, job_commands.jobs, job_commands.models, upload_commands.upload, upload_commands.uploads,
    ),
}.items():  # fmt: skip
    for _command in cast("tuple[Callable[..., None], ...]", _commands):
        app.command(rich_help_panel=_panel)(_command)
app.add_typer(account_commands.account, name="account", rich_help_panel="Account")
app.add_typer(key_commands.app, name="keys", rich_help_panel="Account")
app.add_typer(workflow_commands.app, name="workflows", rich_help_panel="Jobs")
app.add_typer(access_commands.app, name="admin", rich_help_panel="Account")


def run() -> None:
    """Run one command and exit with its status."""
    try:
        app()
    except ComfyfleetError as error:
        failures.print_error(error)
        sys.exit(failures.find_exit_code(error))
    except BrokenPipeError:
        os.dup2(
            os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno()
        )  # the reader of the output is gone; avoid an error in the final flush
        sys.exit(failures.JOB_FAILED)
    except OSError as error:
        print_note(f"comfyfleet: {error}")
        sys.exit(failures.USAGE)
