"""Runs Schemathesis on the whole OpenAPI document of a running system: every check, every phase.

``python -m tests.fuzz.openapi [--examples 500] [--seed N] [schemathesis options]``. Rate limits are off, because they
would hide other responses. Requests use the admin's API key; routes that need a session are tested with a session
afterwards. Exits with 1 if Schemathesis found an error, or a service exited or crashed.
"""

import argparse
import asyncio
import subprocess
import sys
from pathlib import Path

from tests.kit.fleet import Fleet, running_fleet

CONFIG = Path(__file__).with_name("schemathesis.toml")
CRASHES = ("web.crashed", "bus.handler_crashed", "loop.failed", "service.start_failed")
SESSIONS_ONLY = ("/api/v1/auth/password", "/api/v1/auth/logout", "/api/v1/auth/me/export", "/api/v1/auth/me")
PASSWORD = "what is made up is sent here"


async def fuzz(examples: int, options: list[str]) -> int:
    """Run Schemathesis; returns the exit status."""
    async with running_fleet("--nodes", "1", RATE_LIMIT_ENABLED="false") as fleet:
        before = {name: fleet.pid(name) for name in ("auth", "gateway", "scheduler", "notifier")}
        found = await _run(fleet, f"X-API-Key: {fleet.credentials['admin_key']}", examples, options)
        for number, path in enumerate(SESSIONS_ONLY):
            bearer = f"Authorization: Bearer {await _log_in(fleet, f'fuzz{number}')}"
            found |= await _run(fleet, bearer, examples, ["--include-path", path, *options])
        fallen = [name for name, pid in before.items() if fleet.pid(name) != pid]
        crashed = [line for line in _log_lines(fleet) if any(word in line for word in CRASHES)]
    for line in crashed[:20]:
        print(f"CRASHED {line[:1500]}")
    if fallen:
        print(f"RESTARTED {', '.join(fallen)}")
    return int(bool(found or fallen or crashed))


async def _log_in(fleet: Fleet, username: str) -> str:
    """Return a session of a separate account: generated wrong passwords delay the logins of another one."""
    async with fleet.client("") as http:
        account = {"username": username, "email": f"{username}@example.com", "password": PASSWORD}
        await http.post("/auth/register", json=account)
        answer = await http.post("/auth/login", json={"username": username, "password": PASSWORD})
    return str(answer.json()["access_token"])


async def _run(fleet: Fleet, header: str, examples: int, options: list[str]) -> int:
    command = [
        sys.executable, "-m", "schemathesis.cli", "--config-file", str(CONFIG), "run", f"{fleet.base_url}/openapi.json",
        "--max-examples", str(examples), "--header", header, "--continue-on-failure", "--request-timeout", "20",
        "--suppress-health-check", "all", *options,
    ]  # fmt: skip
    return (await asyncio.to_thread(subprocess.run, command, check=False, cwd=fleet.state)).returncode


def _log_lines(fleet: Fleet) -> list[str]:
    return [line for path in (fleet.state / "logs").glob("*") for line in path.read_text(errors="replace").splitlines()]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--examples", type=int, default=500, help="cases of each operation in the fuzzing phase")
    options, more = parser.parse_known_args()
    sys.exit(asyncio.run(fuzz(options.examples, more)))


if __name__ == "__main__":
    main()
