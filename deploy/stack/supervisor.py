"""Starts a stack, restarts its processes, stops it."""

import asyncio
import fcntl
import json
import os
import socket
import time
from collections.abc import Callable
from contextlib import suppress
from typing import IO, TYPE_CHECKING

from stack.credentials import EXTERNAL_SYSTEM_USER, Credentials, Identities, Identity
from stack.layout import StateLayout, read_json, read_last_lines, write_private, write_private_json
from stack.options import Options
from stack.ports import open_listener
from stack.process_supervisor import ProcessSupervisor
from stack.processes import ForkServerClient

if TYPE_CHECKING:
    from stack.plan import StackPlan

START_TIMEOUT_S = 90.0
STOP_ORDER = ("proxy", "services", "nodes", "nats", "postgres")
NO_TENANT = "00000000-0000-0000-0000-000000000000"  # tenant of the external system while there are no users
INITIAL_USERS = {"admin": ("admin", "enterprise"), "demo": ("user", "pro")}  # username: role, tier
EXTRA_ARGUMENTS = {"demo": ("--graph-policy", "open")}  # the owner of the machine may use every class of the nodes


class StackFailed(Exception):
    """The stack could not be started. The message contains the reason and the end of a log."""


class AlreadyUp(Exception):
    """Another supervisor uses this state directory."""


class Stack:
    """One running system. Call ``up``, then ``down``, in the same event loop.

    Args:
        options: what to run.
        log: called with a line when a process is ready, dies or is restarted.
    """

    def __init__(self, options: Options, log: Callable[[str], None]) -> None:
        self.layout = StateLayout(options.state)
        self._options = options
        self._log = log
        self._supervisors: dict[str, list[ProcessSupervisor]] = {}
        self._pids: dict[str, int] = {}
        self._lock: IO[str] | None = None
        self._listener: socket.socket | None = None
        self._fork_server: ForkServerClient | None = None
        self._plan: StackPlan | None = None
        self._began = time.monotonic()

    async def up(self) -> Credentials:
        """Start everything. Returns once all processes are ready and credentials.json is written.

        Raises:
            AlreadyUp: the state directory is in use.
            PortTaken: the public port is in use.
            CannotRunPostgres: PostgreSQL cannot run on this machine.
            StackFailed: a process did not become ready.
        """
        try:
            self.layout.create()
        except OSError as refused:
            raise StackFailed(f"cannot write to {self.layout.state}: {refused.strerror}") from refused
        self._lock = _lock_state(self.layout)
        self.layout.ready_file.unlink(missing_ok=True)
        self._listener = open_listener(self._options.port)
        self._fork_server = ForkServerClient(
            self.layout.get_log_path("fork_server"), inherited=(self._listener.fileno(),)
        )
        if self._options.nodes or not self._options.bare:
            await self._fork_server.start()  # it imports modules while this process does what follows
        from stack.plan import StackPlan  # noqa: PLC0415 - it imports all contracts

        self._plan = plan = StackPlan(self._options, self._listener, self._fork_server)
        plan.write_environments()
        self._write_processes()
        self._supervisors = {
            layer: [ProcessSupervisor(unit, self._record_pid, self._log) for unit in units]
            for layer, units in plan.build_units().items()
        }
        try:
            async with asyncio.timeout(START_TIMEOUT_S):
                return await self._start_layers(plan)
        except TimeoutError as late:
            raise StackFailed(self._describe_timeout()) from late

    async def create_login_links(self) -> dict[str, str]:
        """Return a link for each of the first users that logs the user in to the console once, within ten minutes.

        Raises:
            StackFailed: the links could not be created.
        """
        if self._plan is None or self._options.bare:
            return {}
        files = {name: self.layout.state / f"login-{name}" for name in INITIAL_USERS}
        try:
            steps = [
                _build_step(self._plan, "auth", "login-link", "--username", name, "--url", self._plan.base_url,
                      "--output", str(path))
                for name, path in files.items()
            ]  # fmt: skip
            await self._run_commands(self._plan, "login-links", steps)
            return {name: path.read_text() for name, path in files.items()}
        finally:
            for path in files.values():
                path.unlink(missing_ok=True)

    async def down(self) -> None:
        """Stop everything, dependent processes first. Safe at any point of ``up``."""
        self.layout.ready_file.unlink(missing_ok=True)
        for layer in STOP_ORDER:
            await asyncio.gather(*(supervisor.stop() for supervisor in self._supervisors.get(layer, ())))
        if self._fork_server:
            await self._fork_server.close()
        if self._listener:
            self._listener.close()
        if self._lock:
            self._write_processes()
            self._lock.close()

    def kill(self) -> None:
        """Kill every process; ``down`` then returns immediately."""
        for supervisor in self._all_supervisors():
            supervisor.kill()

    async def _start_layers(self, plan: "StackPlan") -> Credentials:
        for layer in ("nodes", "proxy"):
            self._start_layer(layer)
        fresh = await plan.postgres.create()
        self._start_layer("postgres")
        known = None if fresh else Identities.load(self.layout.credentials_file)
        if known:
            self._start_nats(plan, known)
        await self._wait_for_layer("postgres")
        identities = await self._prepare_databases(plan, known)
        if not known:
            self._start_nats(plan, identities)
        self._start_layer("services")
        async with asyncio.TaskGroup() as waiting:
            for layer in ("nats", "nodes", "services"):
                waiting.create_task(self._wait_for_layer(layer))
        await self._wait_for_layer("proxy")
        credentials = Credentials(
            base_url=plan.base_url,
            nats_url=plan.nats.url,
            admin_key=identities.admin.key,
            demo_key=identities.demo.key,
            nodes=tuple(node.url for node in plan.nodes),
            outside={
                "user": EXTERNAL_SYSTEM_USER,
                "password": plan.secrets.get_or_create_password(f"nats-{EXTERNAL_SYSTEM_USER}"),
            },
            admin_user_id=identities.admin.user_id,
            demo_user_id=identities.demo.user_id,
            metrics=plan.list_metrics_urls() if not self._options.bare else {},
        )
        write_private_json(self.layout.credentials_file, credentials.to_json())
        write_private(self.layout.ready_file, str(os.getpid()))
        return credentials

    def _start_nats(self, plan: "StackPlan", identities: Identities) -> None:
        plan.nats.write_config(identities.demo.user_id)
        self._start_layer("nats")

    async def _prepare_databases(self, plan: "StackPlan", known: Identities | None) -> Identities:
        """Migrate the four databases and create the first two users, if that was not done before."""
        if self._options.bare:
            return known or Identities(Identity(NO_TENANT, ""), Identity(NO_TENANT, ""))
        if known and await plan.are_schemas_current():
            return known
        steps = [_build_step(plan, service, "migrate") for service in plan.databases]
        files = {name: self.layout.state / f"user-{name}.json" for name in INITIAL_USERS}
        if known is None:
            steps += [
                _build_step(plan, "auth", "bootstrap", "--username", name, "--email", f"{name}@example.com",
                      "--role", role, "--tier", tier, "--output", str(files[name]), *EXTRA_ARGUMENTS.get(name, ()))
                for name, (role, tier) in INITIAL_USERS.items()
            ]  # fmt: skip
        await self._run_commands(plan, "migrate", steps)
        if known:
            return known
        created = {name: read_json(path) for name, path in files.items()}
        for path in files.values():
            path.unlink()
        return Identities(**{name: Identity(user["user_id"], user["key"]) for name, user in created.items()})

    async def _run_commands(self, plan: "StackPlan", name: str, steps: list[dict[str, object]]) -> None:
        if self._fork_server is None:
            return
        began = time.monotonic()
        child = await self._fork_server.spawn(plan.build_command_process(name, json.dumps(steps)))
        try:
            code = await child.wait()
        except asyncio.CancelledError:
            child.signal(9)
            raise
        if code != 0:
            log = self.layout.get_log_path(name)
            raise StackFailed(f"{name} exited with status {code}. The end of {log}:\n{read_last_lines(log)}")
        self._log(f"{name} done in {time.monotonic() - began:.1f} s")

    def _start_layer(self, layer: str) -> None:
        for supervisor in self._supervisors[layer]:
            supervisor.start()

    async def _wait_for_layer(self, layer: str) -> None:
        async def wait_and_log(supervisor: ProcessSupervisor) -> None:
            await supervisor.wait_until_ready()
            self._log(f"{supervisor.unit.name} ready after {time.monotonic() - self._began:.1f} s")

        await asyncio.gather(*map(wait_and_log, self._supervisors[layer]))

    def _all_supervisors(self) -> list[ProcessSupervisor]:
        return [supervisor for layer in self._supervisors.values() for supervisor in layer]

    def _record_pid(self, name: str, pid: int | None) -> None:
        if pid is None:
            self._pids.pop(name, None)
        else:
            self._pids[name] = pid
        self._write_processes()

    def _write_processes(self) -> None:
        write_private_json(self.layout.processes_file, dict(sorted(self._pids.items())))

    def _describe_timeout(self) -> str:
        crashing = max(self._all_supervisors(), key=lambda supervisor: supervisor.restarts, default=None)
        if crashing is None or not crashing.restarts:
            return f"some processes were not ready after {START_TIMEOUT_S:.0f} s; see {self.layout.logs}"
        name = crashing.unit.name
        log = self.layout.get_log_path(name)
        return (
            f"{name} did not become ready in {crashing.restarts + 1} tries. The end of {log}:\n{read_last_lines(log)}"
        )


def _build_step(plan: "StackPlan", service: str, *argv: str) -> dict[str, object]:
    return {"module": f"{service}.__main__", "argv": argv, "env": plan.build_environment(service)}


def _lock_state(layout: StateLayout) -> IO[str]:
    """Lock the state directory for as long as the returned file is open."""
    lock = layout.lock_file.open("a+")
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as held:
        lock.seek(0)
        pid = lock.read().strip()
        lock.close()
        raise AlreadyUp(f"{layout.state} is in use by process {pid}; ./dev down stops it") from held
    lock.truncate(0)
    lock.write(str(os.getpid()))
    lock.flush()
    return lock


def read_running_pid(layout: StateLayout) -> int | None:
    """Return the pid of the supervisor that has locked this state directory; None if there is none."""
    with suppress(FileNotFoundError), layout.lock_file.open("r") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except OSError:
            return int(lock.read() or 0) or None
    return None
