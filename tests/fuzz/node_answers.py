"""Runs a real executor, scheduler and gateway on a node whose responses are mutated.

``python -m tests.fuzz.node_answers [--mutations 5000] [--seed N]``. Jobs run on a simulated node behind a proxy that
mutates up to five responses of each job: history, queue, WebSocket frames, files, the response to the prompt, and what
the node says about itself: classes, models, software, GPUs. Between them ordinary jobs are timed. Exits with 1 if an
ordinary job did not succeed, the scheduler responded with an internal error, or a process exited or crashed. The same
seed gives the same mutations.
"""

import argparse
import asyncio
import json
import statistics
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Any

import httpx

from tests.fuzz.mutations import MAX_RESPONSE_BYTES, change_frame, change_reply
from tests.integration.executor.processes import Node
from tests.kit.fleet import ENDED, Fleet, running_fleet
from tests.kit.hostile_node import HostileNode, NodeRequest, Reply
from tests.kit.retrying_fleet import RetryingFleet
from tests.kit.waiting import until

CATALOG_ROUTES = ("object_info", "written_models", "models", "system_stats")  # read periodically, not for a job
ROUTES = (*("history",) * 6, *("frame",) * 4, *("queue", "prompt", "view") * 2, *CATALOG_ROUTES)
MUTATIONS_PER_JOB = 5  # maximum mutated responses per job, so that the job ends and an ordinary job can run
JOBS_PER_ROUND = 10  # mutated jobs between two ordinary ones
MAX_JOB_S = 60.0  # maximum duration of a job
ORDINARY_COLOUR = 0xFFFFFF  # colour by which the proxy recognizes an ordinary job
CATALOG_ERRORS = ("workflow.invalid", "fleet.empty")  # error code of a submit while the catalog is mutated
CRASHES = ("bus.handler_crashed", "loop.failed", "web.crashed", "executor.attempt.crashed")
SETTINGS: dict[str, Any] = {
    "RATE_LIMIT_ENABLED": "false",
    "SCHEDULER_MAX_ATTEMPTS": "1",  # each mutation is used once; retries are tested elsewhere
    "EXECUTOR_ANSWER_MAX_BYTES": str(MAX_RESPONSE_BYTES),
    "EXECUTOR_REPLY_S": "4",
    "EXECUTOR_POST_S": "10",
    "EXECUTOR_CATALOG_S": "10",
    "EXECUTOR_UNREACHABLE_S": "10",
    "EXECUTOR_STALLED_S": "10",
    "EXECUTOR_STOP_WITHIN_S": "10",
    "EXECUTOR_DEAD_WORKER_S": "10",
    "EXECUTOR_POLL_S": "0.2",
    "EXECUTOR_PROBE_S": "0.3",
    "EXECUTOR_HEARTBEAT_S": "0.5",
    "EXECUTOR_CATALOG_EVERY_S": "1",
    "EXECUTOR_MODELS_EVERY_S": "1",
}


@dataclass
class ResponseMutator:
    """The mutations for the node's current job."""

    seed: int
    done: Counter[str] = field(default_factory=Counter)
    last: str = ""
    route: str = ""
    left: int = 0
    due: set[str] = field(default_factory=set)  # routes of CATALOG_ROUTES of which the next response is mutated
    changed: set[str] = field(default_factory=set)  # routes of which the last response was mutated
    random: Random = field(default_factory=Random)

    def start_job(self, colour: int) -> None:
        """Handle a new job. Its colour is the number of its case."""
        self.random = Random(f"{self.seed}:{colour}")  # noqa: S311 - to be drawn again
        self.route = "" if colour == ORDINARY_COLOUR else self.random.choice(ROUTES)
        self.left = MUTATIONS_PER_JOB
        if self.route in CATALOG_ROUTES:
            self.due.add(self.route)

    async def mutate_reply(self, request: NodeRequest, reply: Reply) -> Reply:
        """Mutate the response if it is selected."""
        if request.route == "prompt":
            self.start_job(_read_colour(request.body))
        if request.route in CATALOG_ROUTES:
            if request.route not in self.due:
                self.changed.discard(request.route)
                return reply
            self.due.remove(request.route)
            self.changed.add(request.route)
        elif request.route != self.route or self.left <= 0:
            return reply
        changed = change_reply(reply, self.random)
        self._count(request.route, changed)
        return changed

    def mutate_frame(self, frame: str) -> Sequence[str | bytes]:
        """Mutate the frame if it is selected."""
        if self.route != "frame" or self.left <= 0 or self.random.random() < 0.4:
            return [frame]
        changed = change_frame(frame, self.random)
        self._count("frame", changed)
        return changed

    def _count(self, route: str, changed: Any) -> None:
        self.left -= 1
        self.done[route] += 1
        self.last = f"{route}: {changed!r}"[:600]


@dataclass
class Report:
    """Results of a run."""

    mutator: ResponseMutator
    ordinary_job_s: list[float] = field(default_factory=list)
    results: Counter[str] = field(default_factory=Counter)
    failures: list[str] = field(default_factory=list)


def _build_graph(colour: int) -> dict[str, Any]:
    image = {"width": 16, "height": 16, "batch_size": 1, "color": colour}
    return {
        "1": {"class_type": "EmptyImage", "inputs": image},
        "2": {"class_type": "SaveImage", "inputs": {"images": ["1", 0], "filename_prefix": "fuzz"}},
        "3": {"class_type": "PreviewAny", "inputs": {"source": "a text"}},
    }


def _read_colour(body: bytes) -> int:
    return int(json.loads(body)["prompt"]["1"]["inputs"]["color"])


async def fuzz(mutations: int, seed: int) -> Report:
    with tempfile.TemporaryDirectory(prefix="comfyfleet-fuzz-") as folder:
        node = Node(Path(folder))
        await node.start()
        proxy = HostileNode(node.url)
        await proxy.start()
        mutator = ResponseMutator(seed)
        try:
            async with running_fleet("--comfyui", proxy.url, **SETTINGS) as fleet:
                pids = {name: fleet.pid(name) for name in json.loads((fleet.state / "processes.json").read_text())}
                report = Report(mutator)
                key = await asyncio.to_thread(fleet.create_user, "fuzz", "enterprise")  # without a quota
                async with RetryingFleet.wrap(fleet).client(key) as client:
                    await _run_ordinary_job(client, report)
                    report.ordinary_job_s.clear()
                    proxy.change_reply, proxy.change_frame = mutator.mutate_reply, mutator.mutate_frame
                    await _run_rounds(fleet, client, report, mutations)
                _check_logs_and_pids(fleet, report, pids)
        finally:
            await proxy.stop()
            await node.stop()
    return report


async def _run_rounds(fleet: Fleet, client: httpx.AsyncClient, report: Report, mutations: int) -> None:
    number = 0
    reported = 0
    while report.mutator.done.total() < mutations and len(report.failures) < 5:
        if report.mutator.done.total() >= reported + 250:
            reported = report.mutator.done.total()
            print(f"{reported} changed, longest ordinary job {max(report.ordinary_job_s):.2f} s", flush=True)
        jobs = []
        for _ in range(JOBS_PER_ROUND):
            number += 1
            jobs.append(await _submit_job(client, number))
        for job_id in jobs:
            job = await fleet.wait_until_ended(client, job_id, within_s=MAX_JOB_S)
            code = (job.get("error") or {}).get("code")
            report.results[f"{job['status']} {code or ''}".strip()] += 1
        await _wait_for_true_catalog(report.mutator)
        await _run_ordinary_job(client, report)


async def _wait_for_true_catalog(mutator: ResponseMutator) -> None:
    """Wait until the executor has read again what the node says about itself, which it does once a second."""
    mutator.due.clear()
    if mutator.changed:
        await until(lambda: not mutator.changed, within_s=MAX_JOB_S)
        await asyncio.sleep(2)


async def _submit_job(client: httpx.AsyncClient, colour: int) -> str:
    """Submit a job; retry while a mutated catalog says that it cannot run."""
    deadline = time.monotonic() + MAX_JOB_S
    while True:
        answer = await client.post("/jobs", json={"workflow": _build_graph(colour)})
        if answer.status_code == 201:
            return str(answer.json()["job_id"])
        if answer.json().get("code") not in CATALOG_ERRORS or time.monotonic() > deadline:
            raise RuntimeError(f"submit: {answer.status_code} {answer.text[:1000]}")
        await asyncio.sleep(0.2)


async def _run_ordinary_job(client: httpx.AsyncClient, report: Report) -> None:
    """Run an ordinary job and record its duration since it was accepted."""
    job_id, begun = await _submit_job(client, ORDINARY_COLOUR), time.monotonic()
    job: dict[str, Any] = {}
    while time.monotonic() - begun < MAX_JOB_S and job.get("status") not in ENDED:
        job = (await client.get(f"/jobs/{job_id}")).json()
        await asyncio.sleep(0.02)
    report.ordinary_job_s.append(time.monotonic() - begun)
    if job.get("status") != "completed":
        report.failures.append(f"ordinary job: {job.get('status')} {job.get('error')} after {report.mutator.last}")


def _check_logs_and_pids(fleet: Fleet, report: Report, pids: dict[str, int]) -> None:
    for name, pid in pids.items():
        if fleet.pid(name) != pid:
            report.failures.append(f"{name} was restarted")
    for path in (fleet.state / "logs").glob("*"):
        for line in path.read_text(errors="replace").splitlines():
            away = path.name == "scheduler.log" and "bus.dependency_unavailable" in line
            if away or any(word in line for word in CRASHES):
                report.failures.append(f"{path.name}: {line[:1500]}")


def print_report(report: Report) -> None:
    """Print the figures."""
    done = report.mutator.done
    print(f"{done.total()} changed answers: {', '.join(f'{n} {route}' for route, n in done.most_common())}")
    print(f"results: {', '.join(f'{n} {ending}' for ending, n in report.results.most_common())}")
    if report.ordinary_job_s:
        longest, median = max(report.ordinary_job_s), statistics.median(report.ordinary_job_s)
        print(
            f"{len(report.ordinary_job_s)} ordinary jobs: median {median:.2f} s, longest {longest:.2f} s to completion"
        )
    print(f"{len(report.failures)} failures")
    for failure in report.failures[:20]:
        print(f"  {failure}")


def main() -> None:
    parser = argparse.ArgumentParser(prog="./dev fuzz node_answers", description=__doc__)
    parser.add_argument("--mutations", type=int, default=5_000, help="answers that are changed")
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    report = asyncio.run(fuzz(options.mutations, options.seed))
    print_report(report)
    sys.exit(bool(report.failures))


if __name__ == "__main__":
    main()
