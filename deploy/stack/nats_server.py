"""The NATS server: its program, its configuration file, and one supervised process."""

import shutil
import sysconfig
from dataclasses import dataclass
from pathlib import Path

from stack.credentials import EXTERNAL_SYSTEM_USER, Secrets
from stack.health_probe import is_healthy
from stack.layout import StateLayout, write_private
from stack.nats_config import ExternalSystem, NatsConfig, list_logins, render_nats_config
from stack.ports import LOOPBACK
from stack.processes import ChildProcess, start_program


def find_nats_server() -> Path:
    """Return the server's program: the wheel's, else the one on PATH."""
    ours = Path(sysconfig.get_path("scripts")) / "nats-server"
    return ours if ours.exists() else Path(shutil.which("nats-server") or ours)


@dataclass(frozen=True, slots=True)
class NatsServer:
    """One server of one stack, on fixed ports."""

    layout: StateLayout
    secrets: Secrets
    port: int
    monitor: int
    nodes: tuple[str, ...]

    @property
    def url(self) -> str:
        """URL for clients."""
        return f"nats://{LOOPBACK}:{self.port}"

    @property
    def config_path(self) -> Path:
        """Path of the rendered configuration."""
        return self.layout.nats / "nats.conf"

    def write_config(self, tenant: str) -> None:
        """Write the configuration, with one external system that acts for ``tenant``."""
        names = ["sys", *(login for login, _, _ in list_logins(self.nodes))]
        external_system = ExternalSystem(
            "OUTSIDE_DEMO",
            EXTERNAL_SYSTEM_USER,
            self.secrets.get_or_create_password(f"nats-{EXTERNAL_SYSTEM_USER}"),
            tenant,
        )
        config = NatsConfig(
            passwords={name: self.secrets.get_or_create_password(f"nats-{name}") for name in names},
            nodes=self.nodes,
            external_systems=(external_system,),
            listen=f"{LOOPBACK}:{self.port}",
            monitor=f"{LOOPBACK}:{self.monitor}",
            store=str(self.layout.nats / "jetstream"),
        )
        write_private(self.config_path, render_nats_config(config))

    async def start(self) -> ChildProcess:
        return start_program(
            [str(find_nats_server()), "--config", str(self.config_path)], self.layout.get_log_path("nats")
        )

    async def is_ready(self) -> bool:
        """Whether the server accepts clients and JetStream works."""
        return await is_healthy(LOOPBACK, self.monitor, "/healthz")
