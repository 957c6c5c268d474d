"""Starts a stack, restarts its processes, stops it."""

import asyncio
import fcntl
import json
import os
import socket
import time
from collections.abc import Callable
from contextlib import suppress
from typing import IO

from contracts.registry import DATABASES
from stack.children import ForkServerClient
from stack.credentials import OUTSIDE_USER, Credentials, Identities, Identity
from stack.keeper import ProcessSupervisor
from stack.layout import Layout, read_json, tail, write_private, write_private_json
from stack.plan import Options, Plan
from stack.ports import listen

UP_WITHIN_S = 90.0
STOP_ORDER = ("proxy", "services", "nodes", "nats", "postgres")
NOBODY = "00000000-0000-0000-0000-000000000000"  # tenant of the external system while there are no users
USERS = {"admin": ("admin", "enterprise"), "demo": ("user", "pro")}  # username: role, tier
OWN = {"demo": ("--graph-policy", "open")}  # the owner of the machine may use every class of the nodes

Say = Callable[[str], None]


class StackFailed(Exception):
    """The stack could not be started. The message contains the reason and the tail of a log."""


class AlreadyUp(Exception):
    """Another supervisor uses this state directory."""


class Stack:
    """One running system. Call ``up``, then ``down``, in the same event loop.

    Args:
        options: what to run.
        say: called with a line when a process is ready, dies or is restarted.
    """

    def __init__(self, options: Options, say: Say) -> None:
        self.layout = Layout(options.state)
        self._options = options
        self._say = say
        self._keepers: dict[str, list[ProcessSupervisor]] = {}
        self._pids: dict[str, int] = {}
        self._lock: IO[str] | None = None
        self._listener: socket.socket | None = None
        self._nursery: ForkServerClient | None = None
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
        self._lock = _claim(self.layout)
        self.layout.ready.unlink(missing_ok=True)
        self._listener = listen(self._options.port)
        self._nursery = ForkServerClient(self.layout.log_of("zygote"), inherited=(self._listener.fileno(),))
        if self._options.nodes or not self._options.bare:
            await self._nursery.start()  # it imports modules while PostgreSQL is created
        plan = Plan(self._options, self._listener, self._nursery)
        plan.write_environments()
        self._write_processes()
        self._keepers = {
            layer: [ProcessSupervisor(unit, self._changed, self._say) for unit in units]
            for layer, units in plan.units().items()
        }
        try:
            async with asyncio.timeout(UP_WITHIN_S):
                return await self._bring_up(plan)
        except TimeoutError as late:
            raise StackFailed(self._who_is_late()) from late

    async def down(self) -> None:
        """Stop everything, dependent processes first. Safe at any point of ``up``."""
        self.layout.ready.unlink(missing_ok=True)
        for layer in STOP_ORDER:
            await asyncio.gather(*(keeper.stop() for keeper in self._keepers.get(layer, ())))
        if self._nursery:
            await self._nursery.close()
        if self._listener:
            self._listener.close()
        if self._lock:
            self._write_processes()
            self._lock.close()

    def kill(self) -> None:
        """Kill every process; ``down`` then returns immediately."""
        for keeper in self._each():
            keeper.kill()

    async def _bring_up(self, plan: Plan) -> Credentials:
        for layer in ("nodes", "proxy"):
            self._start(layer)
        fresh = await plan.postgres.create()
        self._start("postgres")
        await self._ready("postgres")
        identities = await self._prepare(plan, fresh=fresh)
        plan.nats.configure(identities.demo.user_id)
        self._start("nats")
        self._start("services")
        async with asyncio.TaskGroup() as waiting:
            for layer in ("nats", "nodes", "services"):
                waiting.create_task(self._ready(layer))
        await self._ready("proxy")
        credentials = Credentials(
            base_url=plan.base_url,
            nats_url=plan.nats.url,
            admin_key=identities.admin.key,
            demo_key=identities.demo.key,
            nodes=tuple(node.url for node in plan.nodes),
            outside={"user": OUTSIDE_USER, "password": plan.secrets.of(f"nats-{OUTSIDE_USER}")},
            admin_user_id=identities.admin.user_id,
            demo_user_id=identities.demo.user_id,
        )
        write_private_json(self.layout.credentials, credentials.document())
        write_private(self.layout.ready, str(os.getpid()))
        return credentials

    async def _prepare(self, plan: Plan, *, fresh: bool) -> Identities:
        """Migrate the four databases and create the first two users if they are unknown."""
        known = None if fresh else Identities.read(self.layout.credentials)
        if self._options.bare:
            return known or Identities(Identity(NOBODY, ""), Identity(NOBODY, ""))
        steps = [_step(plan, service, "migrate") for service in DATABASES]
        files = {name: self.layout.state / f"user-{name}.json" for name in USERS}
        if known is None:
            steps += [
                _step(plan, "auth", "bootstrap", "--username", name, "--email", f"{name}@example.com",
                      "--role", role, "--tier", tier, "--output", str(files[name]), *OWN.get(name, ()))
                for name, (role, tier) in USERS.items()
            ]  # fmt: skip
        await self._one_shot(plan, "migrate", steps)
        if known:
            return known
        made = {name: read_json(path) for name, path in files.items()}
        for path in files.values():
            path.unlink()
        return Identities(**{name: Identity(user["user_id"], user["key"]) for name, user in made.items()})

    async def _one_shot(self, plan: Plan, name: str, steps: list[dict[str, object]]) -> None:
        if self._nursery is None:
            return
        began = time.monotonic()
        child = await self._nursery.spawn(plan.one_shot(name, json.dumps(steps)))
        try:
            code = await child.wait()
        except asyncio.CancelledError:
            child.signal(9)
            raise
        if code != 0:
            log = self.layout.log_of(name)
            raise StackFailed(f"{name} exited with status {code}. The end of {log}:\n{tail(log)}")
        self._say(f"{name} done in {time.monotonic() - began:.1f} s")

    def _start(self, layer: str) -> None:
        for keeper in self._keepers[layer]:
            keeper.start()

    async def _ready(self, layer: str) -> None:
        async def one(keeper: ProcessSupervisor) -> None:
            await keeper.until_ready()
            self._say(f"{keeper.unit.name} ready after {time.monotonic() - self._began:.1f} s")

        await asyncio.gather(*map(one, self._keepers[layer]))

    def _each(self) -> list[ProcessSupervisor]:
        return [keeper for layer in self._keepers.values() for keeper in layer]

    def _changed(self, name: str, pid: int | None) -> None:
        if pid is None:
            self._pids.pop(name, None)
        else:
            self._pids[name] = pid
        self._write_processes()

    def _write_processes(self) -> None:
        write_private_json(self.layout.processes, dict(sorted(self._pids.items())))

    def _who_is_late(self) -> str:
        crashing = max(self._each(), key=lambda keeper: keeper.restarts, default=None)
        if crashing is None or not crashing.restarts:
            return f"some processes were not ready after {UP_WITHIN_S:.0f} s; see {self.layout.logs}"
        name = crashing.unit.name
        log = self.layout.log_of(name)
        return f"{name} did not become ready in {crashing.restarts + 1} tries. The end of {log}:\n{tail(log)}"


def _step(plan: Plan, service: str, *argv: str) -> dict[str, object]:
    return {"module": f"{service}.__main__", "argv": argv, "env": plan.environment(service)}


def _claim(layout: Layout) -> IO[str]:
    """Lock the state directory for as long as the returned file is open."""
    lock = layout.lock.open("a+")
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


def running(layout: Layout) -> int | None:
    """Return the pid of the supervisor that has locked this state directory; None if there is none."""
    with suppress(FileNotFoundError), layout.lock.open("r") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except OSError:
            return int(lock.read() or 0) or None
    return None
