"""Links that log a user of a stack in to the console, once and within ten minutes."""

import asyncio
import sys
from asyncio.subprocess import PIPE

from stack.layout import StateLayout, read_json
from stack.supervisor import read_running_pid


class NoLoginLink(Exception):
    """No link could be created. The message says why."""


async def create_login_link(layout: StateLayout, username: str) -> str:
    """Return the URL of a new link for this user of a running stack.

    Raises:
        NoLoginLink: the stack is not up, or there is no such user.
    """
    credentials = read_json(layout.credentials_file)
    if credentials is None or read_running_pid(layout) is None:
        raise NoLoginLink(f"nothing is running on {layout.state}: start it with ./dev up")
    lines = (layout.environments / "auth.env").read_text().splitlines()
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "auth", "login-link", "--username", username, "--url", credentials["base_url"],
        env=dict(line.split("=", 1) for line in lines), stdout=PIPE, stderr=PIPE,
    )  # fmt: skip
    output, errors = await process.communicate()
    if process.returncode != 0:
        raise NoLoginLink(errors.decode().strip())
    return output.decode().strip()
