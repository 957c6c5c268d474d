"""Fires four alerts by their faults, with a real Prometheus on a running system, and waits until each clears.

    ./dev drill alerts

Prometheus (Debian's package ``prometheus``) has to be on PATH. It loads ``deploy/monitoring/alerts.yml`` with every
duration divided by ``SPEED``; thresholds stay. A fault freezes a process with SIGSTOP, so its connections stay open.
It fails if an alert does not fire in time, or does not clear after the fault.
"""

import asyncio
import json
import os
import re
import shutil
import signal
import sys
import tempfile
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from time import monotonic
from typing import Any

import httpx

from stack.ports import find_free_ports
from tests.kit.fleet import HELLO, ROOT, Fleet, running_fleet
from tests.kit.waiting import until

SPEED = 20
FIRES_S, CLEARS_S = 120, 120
DURATION = re.compile(r"(?<=for: )\d+m|(?<=\[)\d+[mh](?=\])")


def shorten_durations(rules: str) -> str:
    """Divide the durations of alert rules by ``SPEED``."""
    seconds = {"m": 60, "h": 3600}
    return DURATION.sub(lambda found: f"{int(found[0][:-1]) * seconds[found[0][-1]] // SPEED}s", rules)


@asynccontextmanager
async def prometheus(targets: dict[str, str], folder: Path) -> AsyncIterator[httpx.AsyncClient]:
    """Run Prometheus on these metrics URLs by service, and yield a client of its API."""
    (port,) = find_free_ports(1)
    (folder / "alerts.yml").write_text(shorten_durations((ROOT / "deploy/monitoring/alerts.yml").read_text()))
    hosts = [url.removeprefix("http://").removesuffix("/metrics") for url in targets.values()]
    scrape = {"job_name": "comfyfleet", "static_configs": [{"targets": hosts}]}
    timing = {"scrape_interval": "1s", "scrape_timeout": "900ms", "evaluation_interval": "1s"}
    settings = {"global": timing, "rule_files": ["alerts.yml"], "scrape_configs": [scrape]}
    (folder / "prometheus.yml").write_text(json.dumps(settings))
    process = await asyncio.create_subprocess_exec(
        "prometheus",
        f"--config.file={folder / 'prometheus.yml'}",
        f"--storage.tsdb.path={folder / 'data'}",
        f"--web.listen-address=127.0.0.1:{port}",
        "--log.level=error",
    )
    try:
        async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", trust_env=False) as client:

            async def is_ready() -> bool:
                try:
                    return (await client.get("/-/ready")).is_success
                except httpx.TransportError:
                    return False

            await until(is_ready, within_s=30)
            yield client
    finally:
        process.terminate()
        await process.wait()


async def list_firing_alerts(client: httpx.AsyncClient) -> set[str]:
    """Return the names of the firing alerts."""
    alerts: list[dict[str, Any]] = (await client.get("/api/v1/alerts")).json()["data"]["alerts"]
    return {alert["labels"]["alertname"] for alert in alerts if alert["state"] == "firing"}


@contextmanager
def freeze_processes(*pids: int) -> Any:
    """Freeze processes until the block ends."""
    for pid in pids:
        os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        for pid in pids:
            os.kill(pid, signal.SIGCONT)


async def drill(fleet: Fleet, client: httpx.AsyncClient) -> list[str]:
    """Cause each fault, and return a line for each alert."""
    async with fleet.client(fleet.key) as api:

        async def no_fault() -> None: ...

        async def submit() -> None:
            await fleet.submit(api, workflow=HELLO)

        faults: dict[str, tuple[str, Callable[[], Coroutine[Any, Any, None]]]] = {
            "ServiceDown": ("notifier", no_fault),
            "DependencyDown": ("nats", no_fault),
            "NodesOffline": ("node-1", no_fault),
            "FleetStalled": ("node-1", submit),
        }
        lines = []
        for alert, (process, act) in faults.items():

            async def is_firing(alert: str = alert) -> bool:
                return alert in await list_firing_alerts(client)

            async def has_cleared(alert: str = alert) -> bool:
                return alert not in await list_firing_alerts(client)

            await until(has_cleared, within_s=CLEARS_S)
            began = monotonic()
            with freeze_processes(fleet.pid(process)):
                await act()
                await until(is_firing, within_s=FIRES_S)
                fired = monotonic()
            await until(has_cleared, within_s=CLEARS_S)
            lines.append(
                f"{alert:16} {process} frozen: fired after {fired - began:5.1f} s, "
                f"cleared {monotonic() - fired:5.1f} s after the fault"
            )
            print(lines[-1], flush=True)
        return lines


async def main() -> None:
    """Run the drill."""
    if shutil.which("prometheus") is None:
        sys.exit("Prometheus is not on PATH: apt-get install --no-install-recommends prometheus")
    with tempfile.TemporaryDirectory() as folder:
        async with (
            running_fleet("--nodes", "1") as fleet,
            prometheus(fleet.credentials["metrics"], Path(folder)) as client,
        ):
            await drill(fleet, client)


if __name__ == "__main__":
    asyncio.run(main())
