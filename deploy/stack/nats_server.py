"""The NATS server: the binary of its wheel, a rendered configuration, one supervised process."""

import shutil
import sysconfig
from dataclasses import dataclass
from pathlib import Path

from stack.credentials import OUTSIDE_USER, Secrets
from stack.health_probe import responds
from stack.layout import StateLayout, write_private
from stack.nats_config import ExternalSystem, NatsPlan, logins, render
from stack.ports import LOOPBACK
from stack.processes import ChildProcess, start_program


def binary() -> Path:
    """Return the server's program: the wheel's, else the one on PATH."""
    ours = Path(sysconfig.get_path("scripts")) / "nats-server"
    return ours if ours.exists() else Path(shutil.which("nats-server") or ours)


@dataclass(frozen=True, slots=True)
class Nats:
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
    def config(self) -> Path:
        """Path of the rendered configuration."""
        return self.layout.nats / "nats.conf"

    def configure(self, tenant: str) -> None:
        """Write the configuration, with one external system that acts for ``tenant``."""
        names = ["sys", *(login for login, _, _ in logins(self.nodes))]
        external = ExternalSystem("OUTSIDE_DEMO", OUTSIDE_USER, self.secrets.password(f"nats-{OUTSIDE_USER}"), tenant)
        plan = NatsPlan(
            passwords={name: self.secrets.password(f"nats-{name}") for name in names},
            nodes=self.nodes,
            outside=(external,),
            listen=f"{LOOPBACK}:{self.port}",
            monitor=f"{LOOPBACK}:{self.monitor}",
            store=str(self.layout.nats / "jetstream"),
        )
        write_private(self.config, render(plan))

    async def start(self) -> ChildProcess:
        return start_program([str(binary()), "--config", str(self.config)], self.layout.log_of("nats"))

    async def ready(self) -> bool:
        """Whether it serves clients and JetStream works."""
        return await responds(LOOPBACK, self.monitor, "/healthz")
