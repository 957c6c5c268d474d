"""Plans the processes of a stack with their arguments and environments, before anything is started."""

import os
import socket
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from contracts.registry import DATABASES
from stack.credentials import Secrets
from stack.health_probe import is_healthy
from stack.layout import StateLayout, write_private
from stack.nats_server import NatsServer
from stack.options import Options
from stack.ports import LOOPBACK, find_free_ports
from stack.postgres import PostgresServer
from stack.process_supervisor import ProcessUnit
from stack.processes import ChildProcess, ForkServerClient, PythonProcess
from stack.schemas import are_schemas_current

INHERITED_VARIABLES = ("PATH", "HOME", "LANG", "LC_ALL", "TMPDIR", "SSL_CERT_FILE", "SSL_CERT_DIR")
PASSED_ON = ("RATE_LIMIT_ENABLED", "ACCESS_TOKEN_EXPIRE_MINUTES")
"""Settings without a service's prefix that ./dev up passes on to services from its own environment."""
SHORT_STOP_GRACE_S = 3.0
CONSOLE_BUILD_DIR = Path(__file__).resolve().parents[2] / "clients/console/dist"
"""Where ``./dev`` builds the web console."""


@dataclass(frozen=True, slots=True)
class Node:
    """A ComfyUI node. ``port`` is set only for a simulated one."""

    name: str
    url: str
    port: int | None


class StackPlan:
    """The processes of one stack and their ports, which are chosen once.

    Attributes:
        databases: services that have a database.
    """

    databases = DATABASES

    def __init__(self, options: Options, listener: socket.socket, fork_server: ForkServerClient) -> None:
        self.options = options
        self.layout = StateLayout(options.state)
        self.secrets = Secrets.load(self.layout.secrets_file)
        self.base_url = f"http://{LOOPBACK}:{listener.getsockname()[1]}"
        count = len(options.comfyui) or options.nodes
        ports = iter(find_free_ports(11 + 3 * count))
        self.nodes = tuple(self._plan_nodes(ports))
        services = (*DATABASES, *(f"executor-{n + 1}" for n in range(count)))
        self._ports = {name: next(ports) for name in services}
        self._metrics_ports = {name: next(ports) for name in services}
        self.postgres = PostgresServer.for_state(self.layout, self.secrets, next(ports))
        names = tuple(node.name for node in self.nodes)
        self.nats = NatsServer(self.layout, self.secrets, next(ports), next(ports), names)
        self._listener = listener
        self._fork_server = fork_server

    async def are_schemas_current(self) -> bool:
        """Whether no database needs a migration."""
        return await are_schemas_current(self.postgres, self.databases)

    def build_units(self) -> dict[str, list[ProcessUnit]]:
        """Return the processes by layer. Each layer depends on the ones before it."""
        postgres = ProcessUnit("postgres", self.postgres.start, self.postgres.is_ready, stop_signal=2, grace_s=20)
        return {
            "postgres": [postgres],
            "nats": [ProcessUnit("nats", self.nats.start, self.nats.is_ready)],
            "nodes": [self._build_node_unit(node, node.port) for node in self.nodes if node.port],
            "services": [self._build_service_unit(name) for name in self._ports] if not self.options.bare else [],
            "proxy": [self._build_proxy_unit()] if not self.options.bare else [],
        }

    def list_metrics_urls(self) -> dict[str, str]:
        """Return the URL of each service's metrics."""
        return {name: f"http://{LOOPBACK}:{port}/metrics" for name, port in self._metrics_ports.items()}

    def build_environment(self, service: str, node: Node | None = None) -> dict[str, str]:
        """Return the whole environment of a service."""
        name = f"executor-{_find_node_number(node)}" if node else service
        login = f"executor-{node.name}" if node else service
        values = {
            "NATS_URL": self.nats.url,
            "NATS_USER": login,
            "NATS_PASSWORD": self.secrets.get_or_create_password(f"nats-{login}"),
            "HOST": LOOPBACK,
            "PORT": str(self._ports[name]),
            "METRICS_HOST": LOOPBACK,
            "METRICS_PORT": str(self._metrics_ports[name]),
            "LOG_LEVEL": self.options.log_level,
            **self._build_extra_settings(service, node),
        }
        if service in DATABASES:
            values["DATABASE_URL"] = self.postgres.build_url(service)
        prefix = f"{service.upper()}_"
        passed_on = {name: value for name, value in os.environ.items() if name.startswith(prefix) or name in PASSED_ON}
        own = {f"{prefix}{key}": value for key, value in values.items()}
        return {
            **get_inherited_environment(),
            **passed_on,
            **own,
            "SECRET_KEY": self.secrets.get_or_create_password("secret-key"),
        }

    def write_environments(self) -> None:
        """Write each service's environment to a file, to run it by hand.

        ``env -i $(cat .dev/env/auth.env) .venv/bin/python -m auth serve``
        """
        for service in DATABASES:
            self._write_environment(service, self.build_environment(service))
        for node in self.nodes:
            self._write_environment(f"executor-{_find_node_number(node)}", self.build_environment("executor", node))

    def build_command_process(self, name: str, steps: str) -> PythonProcess:
        """Return a process that runs commands one after another; see ``stack.run_commands``."""
        return PythonProcess(
            name, "stack.run_commands", (steps,), get_inherited_environment(), str(self.layout.get_log_path(name))
        )

    def _build_extra_settings(self, service: str, node: Node | None) -> dict[str, str]:
        if service == "gateway":
            return {
                "ARTIFACTS_URL": self.layout.artifacts.resolve().as_uri(),
                "PUBLIC_URL": self.base_url,
                "DOCS_PUBLIC": "true",
                "CONSOLE_DIR": str(CONSOLE_BUILD_DIR),
                "INTERNAL_URL": os.environ.get("GATEWAY_INTERNAL_URL", f"http://{LOOPBACK}:{self._ports['gateway']}"),
            }
        if node:
            journal = self.layout.get_directory(f"executor-{_find_node_number(node)}") / "journal.db"
            return {
                "NODE": node.name,
                "COMFYUI_URL": node.url,
                "JOURNAL_PATH": str(journal),
                # stopped and started again as a whole: a real node keeps running the prompt
                "ON_STOP": os.environ.get("EXECUTOR_ON_STOP", "leave_running"),
            }
        return {}

    def _plan_nodes(self, ports: Iterator[int]) -> Iterator[Node]:
        if self.options.comfyui:
            for number, url in enumerate(self.options.comfyui, 1):
                yield Node(f"node-{number}", url.rstrip("/"), None)
            return
        for number in range(1, self.options.nodes + 1):
            port = next(ports)
            yield Node(f"node-{number}", f"http://{LOOPBACK}:{port}", port)

    def _build_service_unit(self, name: str) -> ProcessUnit:
        service, _, number = name.partition("-")
        node = self.nodes[int(number) - 1] if number else None
        if number:
            self.layout.get_directory(name).mkdir(mode=0o700, exist_ok=True)
        port = self._ports[name]
        call = PythonProcess(
            name,
            f"{service}.__main__",
            ("serve",),
            self.build_environment(service, node),
            str(self.layout.get_log_path(name)),
        )
        return ProcessUnit(name, self._build_starter(call), lambda: is_healthy(LOOPBACK, port, "/readyz"))

    def _build_node_unit(self, node: Node, port: int) -> ProcessUnit:
        folder = self.layout.get_directory(node.name)
        folder.mkdir(mode=0o700, exist_ok=True)
        flags = {"port": port, "directory": folder, "step-ms": self.options.step_ms, "name": node.name}
        argv = tuple(word for flag, value in flags.items() for word in (f"--{flag}", str(value)))
        call = PythonProcess(
            node.name, "simnode.__main__", argv, get_inherited_environment(), str(self.layout.get_log_path(node.name))
        )
        return ProcessUnit(
            node.name,
            self._build_starter(call),
            lambda: is_healthy(LOOPBACK, port, "/system_stats"),
            grace_s=SHORT_STOP_GRACE_S,
        )

    def _build_proxy_unit(self) -> ProcessUnit:
        descriptor = self._listener.fileno()
        argv = tuple(map(str, (descriptor, self._ports["gateway"], self._ports["notifier"])))
        call = PythonProcess(
            "proxy",
            "stack.proxy",
            argv,
            get_inherited_environment(),
            str(self.layout.get_log_path("proxy")),
            keep=(descriptor,),
        )
        port = self._listener.getsockname()[1]
        return ProcessUnit(
            "proxy",
            self._build_starter(call),
            lambda: is_healthy(LOOPBACK, port, "/readyz", 5.0),
            grace_s=SHORT_STOP_GRACE_S,
        )

    def _build_starter(self, call: PythonProcess) -> Callable[[], Awaitable[ChildProcess]]:
        return lambda: self._fork_server.spawn(call)

    def _write_environment(self, name: str, environment: dict[str, str]) -> None:
        lines = "".join(f"{key}={value}\n" for key, value in environment.items())
        write_private(self.layout.environments / f"{name}.env", lines)


def get_inherited_environment() -> dict[str, str]:
    """Return the variables of our own environment that every process gets."""
    return {name: os.environ[name] for name in INHERITED_VARIABLES if name in os.environ}


def _find_node_number(node: Node | None) -> str:
    return node.name.partition("-")[2] if node else ""
