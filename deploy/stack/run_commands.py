"""Runs commands of services one after another in one process: migrations and the creation of the first users."""

import json
import os

from stack.fork_server import run_module


def main(argv: list[str]) -> None:
    """Run each step of the JSON list ``[{"module", "argv", "env"}]`` in the first argument; stop at the first failure.

    Raises:
        SystemExit: a step failed; with its exit status.
    """
    inherited = dict(os.environ)
    for step in json.loads(argv[0]):
        os.environ.clear()
        os.environ.update(inherited | step["env"])
        code = run_module(step["module"], step["argv"])
        if code != 0:
            raise SystemExit(code)
