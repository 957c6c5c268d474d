"""Schemathesis over the whole OpenAPI document of a running system: every check, every phase.

``python -m tests.fuzz.openapi [--examples 500] [--seed N] [schemathesis options]``. Rate limits are off, since they
would answer in place of what is to be tested. Exits with Schemathesis' own status, or with 1 where a service ended or
crashed while it ran.
"""

import argparse
import asyncio
import subprocess
import sys
from pathlib import Path

from tests.kit.fleet import Fleet, running_fleet

CONFIG = Path(__file__).with_name("schemathesis.toml")
CRASHES = ("web.crashed", "bus.handler_crashed", "loop.failed", "service.bring_up_failed")


async def fuzz(examples: int, seed: int | None, more: list[str]) -> int:
    """Run it; the exit status."""
    async with running_fleet("--nodes", "1", RATE_LIMIT_ENABLED="false") as fleet:
        before = {name: fleet.pid(name) for name in ("auth", "gateway", "scheduler", "notifier")}
        status = await asyncio.to_thread(_run, fleet, examples, seed, more)
        fallen = [name for name, pid in before.items() if fleet.pid(name) != pid]
        crashed = [line for line in _log_lines(fleet) if any(word in line for word in CRASHES)]
    for line in crashed[:20]:
        print(f"CRASHED {line[:1500]}")
    if fallen:
        print(f"RESTARTED {', '.join(fallen)}")
    return status or int(bool(fallen or crashed))


def _run(fleet: Fleet, examples: int, seed: int | None, more: list[str]) -> int:
    command = [
        sys.executable, "-m", "schemathesis.cli", "--config-file", str(CONFIG), "run", f"{fleet.base_url}/openapi.json",
        "--checks", "all", "--max-examples", str(examples), "--header", f"X-API-Key: {fleet.key}",
        "--continue-on-failure", "--request-timeout", "20", "--suppress-health-check", "all",
        *(["--seed", str(seed)] if seed is not None else []), *more,
    ]  # fmt: skip
    return subprocess.run(command, check=False).returncode


def _log_lines(fleet: Fleet) -> list[str]:
    return [line for path in (fleet.state / "logs").glob("*") for line in path.read_text(errors="replace").splitlines()]


def main() -> None:
    """Read the command line and run."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--examples", type=int, default=500, help="cases of each operation in the fuzzing phase")
    parser.add_argument("--seed", type=int)
    options, more = parser.parse_known_args()
    sys.exit(asyncio.run(fuzz(options.examples, options.seed, more)))


if __name__ == "__main__":
    main()
