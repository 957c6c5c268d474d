"""Compares the rate of ``GET /api/v1/auth/me`` by API key with a bare FastAPI route on the same server settings.

    python -m tests.load.me_rate [--rounds 5] [--seconds 3] [--connections 16]

The sides alternate in one run; server and load generator are separate processes. The sides: a bare route that returns a
dict of the same size; the gateway for a user of tier enterprise (requests are not counted); for a user with a limit of
1,000,000 requests per minute (every request is counted); and the first again through the development proxy. Rate
limiting is always on.
"""

import argparse
import asyncio
import statistics
from typing import Any

from fastapi import FastAPI

from chassis.settings import ServiceSettings
from stack.ports import find_free_ports
from tests.kit.fleet import running_fleet
from tests.kit.load_generator import Load, find_gateway_url, run_load_generator, running_module, serve_bare

TARGET = 0.60


def bare_app(_: ServiceSettings) -> FastAPI:
    """Return an application with a minimal route whose response has about the same size."""
    app = FastAPI()

    @app.get("/bare")
    async def bare() -> dict[str, Any]:
        return {
            "id": "0199f2b0-7c3e-7a51-9d24-5a1be0c0ffee", "username": "admin", "email": "admin@example.com",
            "tier": "enterprise", "role": "admin", "is_active": True, "created_at": "2026-11-23T09:00:00Z",
            "limits": {"images_per_day": None, "max_running": None, "queue_cap": None, "weight": 8.0,
                       "requests_per_minute": None},
            "used_today": 0, "left_today": None, "resets_at": "2026-11-24T00:00:00Z", "running": 0, "queued": 0,
        }  # fmt: skip

    return app


async def measure(arguments: argparse.Namespace) -> None:
    """Alternate all sides and print their rates."""
    port = find_free_ports(1)[0]
    bare = f"http://127.0.0.1:{port}/bare"
    async with (
        running_fleet("--nodes", "1") as fleet,
        running_module(bare, "tests.load.me_rate", "--bare", BARE_PORT=str(port), LOG_LEVEL="ERROR"),
    ):
        admin, counted = fleet.credentials["admin_key"], fleet.key
        async with fleet.client(admin) as client:
            answer = await client.patch(
                f"/admin/users/{fleet.credentials['demo_user_id']}",
                json={"limits": {"requests_per_minute": 1_000_000}},
            )
            answer.raise_for_status()
            size = len((await client.get("/auth/me")).content)
        me = f"{find_gateway_url(fleet)}/api/v1/auth/me"
        sides = {
            "bare": (bare, admin),
            "me, not counted": (me, admin),
            "me, counted": (me, counted),
            "me, through proxy": (f"{fleet.base_url}/api/v1/auth/me", admin),
        }
        rates: dict[str, list[float]] = {name: [] for name in sides}
        for number in range(arguments.rounds + 1):
            for name, (url, key) in sides.items():
                load = Load([url], key, connections=arguments.connections, seconds=arguments.seconds)
                result = await run_load_generator(load)
                if number:  # the first round is a warm-up
                    rates[name].append(result.rate)
    print(f"answers of {size} bytes, {arguments.connections} connections, {arguments.rounds} rounds")
    medians = {name: statistics.median(found) for name, found in rates.items()}
    for name, median in medians.items():
        rounds = " ".join(f"{rate:6.0f}" for rate in rates[name])
        print(f"{name:18} {median:7.0f}/s  {median / medians['bare']:5.2f} x bare   [{rounds}]")
    print(f"target: {TARGET:.2f} x bare")


def main() -> None:
    """Run the benchmark, or the bare server."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=3)
    parser.add_argument("--connections", type=int, default=16)
    parser.add_argument("--bare", action="store_true", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.bare:
        serve_bare(bare_app)
    else:
        asyncio.run(measure(arguments))


if __name__ == "__main__":
    main()
