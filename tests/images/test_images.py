"""The images of ./dev images, run by buildah: one job passes through all services, with the node on another machine.

The executor and its simulated node are in a network namespace, so they reach only what the server publishes: NATS with
TLS, and the proxy. Everything is configured by docker-compose.yml, deploy/compose/gpu-boxes.yml and gpu-box.yml. Needs
root, buildah, iproute2 and caddy; ``.ci/images`` installs them and makes the images.
"""

import asyncio
import json
import os
import signal
import ssl
import subprocess
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml

from contracts.registry import DATABASES, SERVICES
from stack.ports import LOOPBACK, find_free_ports
from stack.postgres import get_postgres_bin
from tests.integration.compose.test_environment import JOB, PYTHON, Machine, filled_in
from tests.kit.compose import ROOT, VARIABLE, read_env
from tests.kit.fleet import has_ended
from tests.kit.postgres import PostgresServer
from tests.kit.waiting import repeat_until, until

SERVER, BOX = "10.254.77.1", "10.254.77.2"
NAMESPACE = f"comfyfleet-{os.getpid()}"
ON_BOX = ["nsenter", f"--net=/run/netns/{NAMESPACE}"]
READY_S = 90.0
SBOM = "/usr/share/comfyfleet/sbom.cdx.json"

pytestmark = pytest.mark.timeout(300)


def call(*command: str) -> str:
    """Run a program that must succeed; returns its output."""
    ran = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert ran.returncode == 0, f"{' '.join(command)}: {ran.stdout}{ran.stderr}"
    return ran.stdout.strip()


@dataclass(frozen=True)
class Image:
    """A container made of an image, and what the image says about how to run it."""

    container: str
    config: dict[str, Any]

    def command(self, arguments: list[str] | None = None) -> list[str]:
        """Return the entry point with arguments, or with the image's own."""
        return [*self.config["Entrypoint"], *(self.config["Cmd"] if arguments is None else arguments)]

    def run(self, env: dict[str, str], data: Path, argv: list[str], *more: str) -> list[str]:
        """Return the command line of a process in the container, with ``data`` as its /data."""
        given = [word for name, value in env.items() for word in ("--env", f"{name}={value}")]
        mounts = ["--volume", f"{data}:/data", *more]
        return ["buildah", "run", "--isolation", "chroot", *given, *mounts, self.container, "--", *argv]


@contextmanager
def image_of(service: str) -> Iterator[Image]:
    name = f"localhost/comfyfleet-{service}:latest"
    config = json.loads(call("buildah", "inspect", "--type", "image", name))["Docker"]["config"]
    container = call("buildah", "from", "--pull-never", name)
    try:
        yield Image(container, config)
    finally:
        call("buildah", "rm", container)


@contextmanager
def other_machine() -> Iterator[None]:
    """A network namespace that reaches this machine by one address, and nothing else."""
    call("ip", "netns", "add", NAMESPACE)
    try:
        call("ip", "link", "add", "cf-server", "type", "veth", "peer", "name", "cf-box", "netns", NAMESPACE)
        call("ip", "address", "add", f"{SERVER}/30", "dev", "cf-server")
        call("ip", "link", "set", "cf-server", "up")
        for inside in (f"address add {BOX}/30 dev cf-box", "link set cf-box up", "link set lo up"):
            call("ip", "-n", NAMESPACE, *inside.split())
        yield
    finally:
        call("ip", "netns", "delete", NAMESPACE)


def kill_group(leader: int) -> None:
    """Kill buildah with the processes of its container."""
    with suppress(ProcessLookupError):
        os.killpg(leader, signal.SIGKILL)


def make_certificates(folder: Path) -> None:
    """Create a private CA and a certificate for NATS, as docs/operations/gpu-box.md describes."""
    page = (ROOT / "docs/operations/gpu-box.md").read_text()
    script = page.partition("```sh\n# certificates\n")[2].partition("```")[0]
    assert "openssl" in script
    env = {"PATH": os.defpath, "NATS_HOST": f"IP:{SERVER}"}
    subprocess.run(["sh", "-euc", script], cwd=folder, env=env, check=True, capture_output=True, timeout=60)


class ImageMachine(Machine):
    """The server of docker-compose.yml and gpu-boxes.yml, with services that run from their images."""

    def __init__(self, folder: Path, env: dict[str, str], postgres: PostgresServer, running: ExitStack) -> None:
        super().__init__(folder, env, postgres, running)
        self.images = {service: running.enter_context(image_of(service)) for service in SERVICES}
        self.tls = folder / "tls"
        self._overrides = yaml.safe_load((ROOT / "deploy/compose/gpu-boxes.yml").read_text())["services"]

    def environment(self, service: str) -> dict[str, str]:
        """Return what compose gives the container, with addresses of this machine instead of container names."""
        own = service.removesuffix("-migrate")
        overrides = self._overrides.get(own, {}).get("environment", {})
        filled = {name: VARIABLE.sub(lambda match: self._env[match["name"]], text) for name, text in overrides.items()}
        env = super().environment(service) | {name: self.loopback.of(own, text) for name, text in filled.items()}
        if own not in SERVICES:
            return env
        del env["PATH"]
        env["SSL_CERT_FILE"] = "/run/tls/ca.pem"  # Python's own setting, for services that do not know NATS_CA yet
        env |= {"METRICS_HOST": LOOPBACK, "METRICS_PORT": "0"}  # the containers share this machine's ports
        data = str(self._folder / own / "data")
        return {name: value.replace(data, "/data") for name, value in env.items()}

    def container(self, service: str, argv: list[str], env: dict[str, str] | None = None) -> list[str]:
        """Return the command line that runs something in the container of a service."""
        data = self._folder / service / "data"
        if not data.exists():
            data.mkdir(parents=True)
            os.chown(data, 10001, 10001)
        mounts = ["--volume", f"{self.tls}/ca.pem:/run/tls/ca.pem:ro"]
        return self.images[service].run(self.environment(service) if env is None else env, data, argv, *mounts)

    def begin(self, name: str, argv: list[str]) -> None:
        """Start a process with this test's own environment, which buildah needs."""
        process = self.start(name, argv, {"PATH": f"{PYTHON}:{os.environ['PATH']}", "HOME": str(self._folder)})
        self._running.callback(kill_group, process.pid)


@pytest.fixture(scope="module")
async def machine(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[ImageMachine]:
    """The server without its executor."""
    folder = tmp_path_factory.mktemp("images")
    public = f"https://{SERVER}:{find_free_ports(1)[0]}"
    env = read_env(filled_in(folder)) | {
        "PUBLIC_URL": public,
        "PUBLIC_ADDRESS": public,
        "INTERNAL_URL": public,
        "EXECUTOR_NETWORKS": f"{BOX}/32",
    }
    (folder / "tls").mkdir()
    make_certificates(folder)
    postgres = PostgresServer()
    with ExitStack() as running:
        running.enter_context(other_machine())
        running.callback(postgres.remove)
        machine = ImageMachine(folder, env, postgres, running)
        told = machine.environment("postgres")
        postgres.password = told["POSTGRES_PASSWORD"]
        await postgres.create()
        client = {"PGHOST": LOOPBACK, "PGPORT": str(postgres.port), "PGPASSWORD": told["POSTGRES_PASSWORD"]}
        image = {"POSTGRES_USER": "postgres", "PATH": f"{get_postgres_bin()}:{os.defpath}"}
        machine.run("init", [str(ROOT / "deploy/postgres/init.sh")], {**told, **client, **image})
        start_nats(machine)
        start_proxy(machine)
        await trusted(machine)
        async with asyncio.TaskGroup() as group:
            for name in DATABASES:
                migrate = machine.container(name, machine.images[name].command(["migrate"]))
                group.create_task(asyncio.to_thread(machine.run, f"{name}-migrate", migrate, dict(os.environ)))
        for name in DATABASES:
            machine.begin(name, machine.container(name, machine.images[name].command()))
        yield machine


def start_nats(machine: ImageMachine) -> None:
    """Start NATS with the options of gpu-boxes.yml. Unlike the rest, it also listens on the server's other address."""
    argv = machine.configure_nats()
    config = Path(argv[2])
    config.write_text(config.read_text().replace(f'listen: "{LOOPBACK}:', 'listen: "0.0.0.0:'))
    options = [word.replace("/run/tls", str(machine.tls)) for word in machine._overrides["nats"]["command"][2:]]
    machine.start("nats", [*argv, *options], machine.environment("nats"))


def start_proxy(machine: ImageMachine) -> None:
    """Start the proxy with its file; Caddy makes a certificate of its own for an address."""
    text = (
        (ROOT / "deploy/proxy/Caddyfile")
        .read_text()
        .replace("admin off", "admin off\n\tskip_install_trust\n\tauto_https disable_redirects")
    )
    for service in ("gateway", "notifier"):
        text = text.replace(f"{service}:8000", f"{LOOPBACK}:{machine.loopback.ports[service]}")
    place = machine._folder / "proxy"
    place.mkdir()
    (place / "Caddyfile").write_text(text)
    env = {"PATH": os.environ["PATH"], "HOME": str(place), "XDG_DATA_HOME": str(place / "data")}
    env |= {name: machine._env[name] for name in ("PUBLIC_ADDRESS", "EXECUTOR_NETWORKS")}
    machine.start("proxy", ["caddy", "run", "--config", str(place / "Caddyfile"), "--adapter", "caddyfile"], env)


async def trusted(machine: ImageMachine) -> ssl.SSLContext:
    """Return a context that trusts the proxy, whose CA also joins ca.pem."""
    root = machine._folder / "proxy/data/caddy/pki/authorities/local/root.crt"
    await until(lambda: root.exists() and root.read_text().endswith("-----END CERTIFICATE-----\n"), READY_S)
    bundle = machine.tls / "ca.pem"
    if root.read_text() not in bundle.read_text():
        bundle.write_text(bundle.read_text() + root.read_text())
    return ssl.create_default_context(cafile=str(bundle))


def start_box(machine: ImageMachine) -> None:
    """Start a simulated node and the executor of gpu-box.yml on the other machine."""
    machine.begin("node", [*ON_BOX, "python", "-m", "simnode", "--port", "8188"])
    env = {
        "NATS_HOST": SERVER,
        "NATS_PORT": str(machine.loopback.ports["nats"]),
        "NODE": "node-1",
        "NATS_PASSWORD": machine._env["NATS_EXECUTOR_NODE_1_PASSWORD"],
        "COMFYUI_URL": f"http://{LOOPBACK}:8188",
    }
    service = yaml.safe_load((ROOT / "deploy/compose/gpu-box.yml").read_text())["services"]["executor"]
    told = {name: value for name, value in service["environment"].items() if value is not None}
    filled = {name: VARIABLE.sub(lambda match: env.get(match["name"], match["rest"]), told[name]) for name in told}
    filled["SSL_CERT_FILE"] = filled["NATS_CA"]
    machine.begin("executor", [*ON_BOX, *machine.container("executor", machine.images["executor"].command(), filled)])


@pytest.mark.requirement("S-79")
@pytest.mark.parametrize("service", SERVICES)
def test_image_has_labels_a_non_root_user_and_no_compiler(service: str) -> None:
    with image_of(service) as image:
        assert image.config["User"] == "10001:10001"
        assert image.config["Healthcheck"]["Test"][0] == "CMD"
        labels = image.config["Labels"]
        assert labels["org.opencontainers.image.title"] == f"comfyfleet-{service}"
        assert labels["org.opencontainers.image.version"] == "0.1.0"
        run = ["buildah", "run", "--isolation", "chroot", image.container, "--", "sh", "-c"]
        assert call(*run, "id -u") == "10001"
        assert call(*run, "for name in cc gcc c++ ld make uv; do command -v $name; done; true") == ""
        assert call(*run, "ls /app | grep -v dist-info").split() == sorted(["authn", "chassis", "contracts", service])
        bom = json.loads(call(*run, f"cat {SBOM}"))
        assert bom["metadata"]["component"]["name"] == f"comfyfleet-{service}"
        assert {"fastapi", "nats-py", "comfyfleet-chassis"} <= {one["name"] for one in bom["components"]}


async def test_job_passes_through_all_images_to_a_node_on_another_machine(machine: ImageMachine) -> None:
    context = await trusted(machine)
    for service in DATABASES:
        try:
            await until(partial(machine.answers, service, "/readyz"), READY_S)
        except TimeoutError:
            pytest.fail(f"{service} never became ready\n{machine.logs()}")
    start_box(machine)
    bootstrap = ["bootstrap", "--username", "admin", "--role", "admin", "--tier", "enterprise", "--output", "-"]
    command = machine.container("auth", machine.images["auth"].command(bootstrap))
    said = await asyncio.to_thread(machine.run, "bootstrap", command, dict(os.environ))
    key = json.loads(said.splitlines()[-1])["key"]
    origin = machine._env["PUBLIC_URL"]
    async with httpx.AsyncClient(verify=context, headers={"X-API-Key": key}, timeout=20, trust_env=False) as http:
        assert (await http.get(f"{origin}/internal/inputs/x")).content == b"", "the proxy lets this machine through"

        async def model_known() -> bool:
            answer = await http.get(f"{origin}/api/v1/models")
            return answer.status_code == 200 and bool(answer.json()["models"])

        try:
            await until(model_known, READY_S)
        except TimeoutError:
            pytest.fail(f"the node never joined\n{machine.logs()}")
        accepted = await http.post(f"{origin}/api/v1/jobs", json=JOB)
        assert accepted.status_code == 201, accepted.text
        read = await repeat_until(
            has_ended, lambda: http.get(f"{origin}/api/v1/jobs/{accepted.json()['job_id']}"), READY_S
        )
        job = read.json()
        assert job["status"] == "completed", f"{job}\n{machine.logs()}"
        result = await http.get(f"{origin}/api/v1/jobs/{job['job_id']}/result")
    assert result.content.startswith(b"\x89PNG\r\n\x1a\n")
    health = machine.container("executor", machine.images["executor"].config["Healthcheck"]["Test"][1:], {})
    call(*ON_BOX, *health)
