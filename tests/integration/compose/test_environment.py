"""Every service runs as a process with exactly the environment that docker-compose.yml gives it.

The test does Docker's work: it replaces container names and ports by loopback addresses (``Loopback``), and keeps the
start order of docker-compose.yml. NATS and PostgreSQL are real, with the configuration files that compose mounts.
"""

import asyncio
import json
import os
import re
import shlex
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import asyncpg
import httpx
import pytest

from contracts.registry import DATABASES, SERVICES
from stack.linux import die_with_parent
from stack.ports import LOOPBACK, find_free_ports
from stack.postgres import get_postgres_bin
from tests.kit.compose import COMPOSE, EXAMPLE, ROOT, environment, read_compose, read_env
from tests.kit.fleet import has_ended
from tests.kit.http import http_client
from tests.kit.postgres import PostgresServer
from tests.kit.waiting import repeat_until, until

READY_S = 120.0
END_S = 60.0
JOB = {"prompt": "x", "width": 64, "height": 64, "steps": 2}
PYTHON = str(Path(sys.executable).parent)


@dataclass(frozen=True)
class Loopback:
    """Maps the names of the compose network to this machine."""

    folder: Path
    ports: dict[str, int]

    def of(self, service: str, text: str) -> str:
        """Replace names, ports and ``/data`` of containers in ``text``, and nothing else.

        Each container has its own loopback interface and its own ``/data``; here they share one machine. So its
        addresses become 127.0.0.1 with a free port each, the port 8000 of each of our services becomes a separate port,
        and ``/data`` a separate folder.
        """
        if text == "8000":
            return str(self.ports[service])
        places = {
            "postgres:5432": f"{LOOPBACK}:{self.ports['postgres']}",
            "nats:4222": f"{LOOPBACK}:{self.ports['nats']}",
            "gateway:8000": f"{LOOPBACK}:{self.ports['gateway']}",
            "0.0.0.0:4222": f"{LOOPBACK}:{self.ports['nats']}",
            "0.0.0.0:8222": f"{LOOPBACK}:{self.ports['monitor']}",
            "0.0.0.0": LOOPBACK,  # noqa: S104 - looked for, not bound
            "/data": str(self.folder / service / "data"),
        }
        names = re.compile("|".join(rf"(?<![\w.-]){re.escape(name)}\b" for name in places))
        return names.sub(lambda match: places[match[0]], text)


class Machine:
    """The processes that docker compose would start."""

    def __init__(self, folder: Path, env: dict[str, str], postgres: PostgresServer, running: ExitStack) -> None:
        names = (*SERVICES, "nats", "monitor")
        self.loopback = Loopback(folder, dict(zip(names, find_free_ports(len(names)), strict=True)))
        self.loopback.ports["postgres"] = postgres.port
        self._folder = folder
        self._env = env
        self._running = running

    def environment(self, service: str) -> dict[str, str]:
        """Return the whole environment of a service's process."""
        own = service.removesuffix("-migrate")
        given = {name: self.loopback.of(own, value) for name, value in environment(service, self._env).items()}
        metrics = {"METRICS_PORT": "0"}  # each container has its own address; these processes share one
        return {"PATH": f"{PYTHON}:{os.defpath}", **given, **metrics}

    def command(self, service: str) -> list[str]:
        """Return the Dockerfile's entry point with compose's command, or with the Dockerfile's."""
        own = service.removesuffix("-migrate")
        return ["python", "-m", own, *read_compose()["services"][service].get("command", ["serve"])]

    def start(self, name: str, argv: list[str], env: dict[str, str]) -> subprocess.Popen[bytes]:
        """Start a process in its own folder. It is killed when the test ends."""
        place = self._folder / name
        (place / "data").mkdir(parents=True, exist_ok=True)
        return self._running.enter_context(started(argv, env, place))

    def run(self, name: str, argv: list[str], env: dict[str, str]) -> str:
        """Run a process, assert that it succeeds, and return its output."""
        place = self._folder / name
        place.mkdir(parents=True, exist_ok=True)
        ran = subprocess.run(argv, env=env, cwd=place, capture_output=True, text=True, timeout=READY_S, check=False)
        assert ran.returncode == 0, f"{name}: {ran.stdout}{ran.stderr}"
        return ran.stdout

    def configure_nats(self) -> list[str]:
        """Return the command line that compose gives NATS, with the mounted file."""
        command = read_compose()["services"]["nats"]["command"]
        mounted = dict(volume.split(":")[:2][::-1] for volume in read_compose()["services"]["nats"]["volumes"])
        place = self._folder / "nats"
        place.mkdir()
        file = place / "nats.conf"
        file.write_text(self.loopback.of("nats", (ROOT / mounted[command[1]]).read_text()))
        return ["nats-server", command[0], str(file)]

    async def answers(self, service: str, path: str) -> bool:
        """Return whether a path of a service responds with 200."""
        async with http_client(timeout=5) as http:
            try:
                return (await http.get(f"http://{LOOPBACK}:{self.loopback.ports[service]}{path}")).status_code == 200
            except httpx.HTTPError:
                return False

    def logs(self) -> str:
        """Return the end of every log, for the message of a failure."""
        return "\n".join(f"--- {log.parent.name}\n{log.read_text()[-2000:]}" for log in self._folder.glob("*/log"))


@contextmanager
def started(argv: list[str], env: dict[str, str], place: Path) -> Iterator[subprocess.Popen[bytes]]:
    parent = os.getpid()
    with (place / "log").open("ab") as log:
        process = subprocess.Popen(
            argv, env=env, cwd=place, stdout=log, stderr=log, start_new_session=True,
            preexec_fn=lambda: die_with_parent(parent),  # noqa: PLW1509 - one system call
        )  # fmt: skip
    try:
        yield process
    finally:
        process.kill()
        process.wait(10)


def filled_in(folder: Path) -> Path:
    """Create a .env file as described at the top of .env.example."""
    text = EXAMPLE.read_text()
    (folder / ".env").write_text(text)
    advice = next(line.lstrip("# ") for line in text.splitlines() if line.startswith("#   while"))
    subprocess.run(["sh", "-c", advice], cwd=folder, check=True, timeout=60)
    return folder / ".env"


@pytest.fixture(scope="module")
async def machine(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Machine]:
    """All processes of docker-compose.yml, started in its order, with every service ready."""
    folder = tmp_path_factory.mktemp("compose")
    node = find_free_ports(1)[0]
    env = read_env(filled_in(folder)) | {
        "COMFYUI_URL": f"http://{LOOPBACK}:{node}",
        "NATS_AUTH_PASSWORD": "1234567890",  # NATS would parse it as a number
    }
    postgres = PostgresServer()
    with ExitStack() as running:
        running.callback(postgres.remove)
        machine = Machine(folder, env, postgres, running)

        told = machine.environment("postgres")
        postgres.password = told["POSTGRES_PASSWORD"]
        await postgres.create()
        client = {"PGHOST": LOOPBACK, "PGPORT": str(postgres.port), "PGPASSWORD": told["POSTGRES_PASSWORD"]}
        # the first one is set by the image's entry point
        image = {"POSTGRES_USER": "postgres", "PATH": f"{get_postgres_bin()}:{os.defpath}"}
        machine.run("init", [str(ROOT / "deploy/postgres/init.sh")], {**told, **client, **image})

        machine.start("nats", machine.configure_nats(), machine.environment("nats"))
        machine.start("node", ["python", "-m", "simnode", "--port", str(node)], {"PATH": PYTHON})
        migrations = [f"{name}-migrate" for name in DATABASES]
        async with asyncio.TaskGroup() as group:
            for name in migrations:
                argv = machine.command(name)
                group.create_task(asyncio.to_thread(machine.run, name, argv, machine.environment(name)))
        for name in SERVICES:
            machine.start(name, machine.command(name), machine.environment(name))
        yield machine


async def until_it_answers(machine: Machine, service: str, path: str) -> None:
    try:
        await until(lambda: machine.answers(service, path), READY_S)
    except TimeoutError:
        pytest.fail(f"{service} never answered {path}\n{machine.logs()}")


def test_compose_environment_leaves_nothing_running(machine: Machine) -> None:
    for name in SERVICES:
        told = machine.environment(name)
        assert not [
            value for value in told.values() if re.search(r"postgres:5432|nats:4222|gateway:8000|0\.0\.0\.0", value)
        ]


@pytest.mark.parametrize("service", SERVICES)
async def test_service_starts_and_becomes_ready(machine: Machine, service: str) -> None:
    await until_it_answers(machine, service, "/healthz")
    await until_it_answers(machine, service, "/readyz")


@pytest.mark.requirement("S-78")
@pytest.mark.parametrize("service", DATABASES)
async def test_database_role_can_connect_only_to_its_own_database(machine: Machine, service: str) -> None:
    url = machine.environment(service)[f"{service.upper()}_DATABASE_URL"].replace("+asyncpg", "")
    await (await asyncpg.connect(url)).close()
    for other in {*DATABASES, "postgres", "template1"} - {service}:
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await asyncpg.connect(url.removesuffix(service) + other)


async def test_first_admin_generates_an_image(machine: Machine) -> None:
    for service in SERVICES:
        await until_it_answers(machine, service, "/readyz")
    advice = next(line for line in COMPOSE.read_text().splitlines() if "run --rm auth bootstrap" in line)
    bootstrap = shlex.split(advice.partition("--rm ")[2])
    said = await asyncio.to_thread(
        machine.run, "bootstrap", ["python", "-m", *bootstrap], machine.environment(bootstrap[0])
    )
    key = json.loads(said.splitlines()[-1])["key"]
    api = f"http://{LOOPBACK}:{machine.loopback.ports['gateway']}/api/v1"
    async with http_client(base_url=api, headers={"X-API-Key": key}, timeout=20) as http:

        async def model_known() -> bool:
            answer = await http.get("/models")
            return answer.status_code == 200 and bool(answer.json()["models"])

        await until(model_known, READY_S)
        accepted = await http.post("/jobs", json=JOB)
        assert accepted.status_code == 201, accepted.text
        read = await repeat_until(has_ended, lambda: http.get(f"/jobs/{accepted.json()['job_id']}"), END_S)
        job = read.json()
        assert job["status"] == "completed", f"{job}\n{machine.logs()}"
        result = await http.get(f"/jobs/{job['job_id']}/result")
    assert result.status_code == 200, result.text
    assert result.content.startswith(b"\x89PNG\r\n\x1a\n")
    artifacts = machine.loopback.folder / "gateway/data/artifacts"
    kept = [path for path in artifacts.rglob("*") if path.is_file() and path.parent.name != ".comfyfleet"]
    assert [path.read_bytes() for path in kept] == [result.content]
    assert (machine.loopback.folder / "executor/data/journal.db").exists()
