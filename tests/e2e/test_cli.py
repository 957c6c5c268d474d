"""The command line on the whole system, used as in a shell."""

import asyncio
import json
import os
import re
import secrets
import stat
import sys
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from comfyfleet_client.cli import login_file
from comfyfleet_client.cli.connection import open_session_client
from comfyfleet_client.cli.login_file import Login
from tests.e2e.conftest import simulated_only
from tests.e2e.test_identity import PASSWORD, slow
from tests.kit.commands import Commands
from tests.kit.fleet import HELLO, Fleet
from tests.kit.waiting import until

COMFYFLEET = Path(sys.executable).with_name("comfyfleet")
REFUSED, UNAVAILABLE = 3, 4


@dataclass(frozen=True)
class Said:
    """Exit status and output of a command."""

    status: int
    out: bytes
    err: str

    @property
    def text(self) -> str:
        return self.out.decode().strip()

    @property
    def objects(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.text.splitlines()]


class Person:
    """A user at a shell with a separate home directory. ``commands`` runs commands in forks; None: new processes."""

    def __init__(self, url: str, home: Path, commands: Commands | None = None) -> None:
        self.home, self._commands = home, commands
        outside = {name: value for name, value in os.environ.items() if not name.startswith("COMFYFLEET_")}
        self._environment = outside | {"COMFYFLEET_URL": url, "COMFYFLEET_CONFIG_DIR": str(home / "config")}

    async def runs(self, *arguments: object, stdin: str = "", **environment: str) -> Said:
        """Run a command and return its result. Fail if it prints a traceback."""
        run = self._commands.run if self._commands is not None else run_program
        async with asyncio.timeout(90):
            status, out, err = await run(
                [*map(str, arguments)], stdin.encode(), self.home, self._environment | environment
            )
        said = Said(status, out, err.decode())
        assert "Traceback" not in said.err, said.err
        return said

    async def does(self, *arguments: object, **more: str) -> Said:
        """Run a command and assert that it succeeds."""
        said = await self.runs(*arguments, **more)
        assert said.status == 0, said.err
        return said


async def run_program(argv: list[str], stdin: bytes, cwd: Path, env: dict[str, str]) -> tuple[int, bytes, bytes]:
    """Run the installed program; the equivalent of ``Commands.run``."""
    process = await asyncio.create_subprocess_exec(
        COMFYFLEET, *argv, cwd=cwd, env=env,
        stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    out, err = await process.communicate(stdin)
    return process.returncode or 0, out, err


@pytest.fixture
def person(fleet: Fleet, tmp_path: Path, commands: Commands) -> Person:
    """A user without an account."""
    return Person(fleet.base_url, tmp_path, commands)


@pytest.fixture
def demo(fleet: Fleet, person: Person) -> Callable[..., Any]:
    """The demo user with its API key."""

    async def runs(*arguments: object, **more: str) -> Said:
        return await person.runs(*arguments, COMFYFLEET_KEY=fleet.key, **more)

    return runs


async def test_cli_validates_saves_and_runs_a_workflow_with_random_seeds(
    demo: Callable[..., Any], person: Person
) -> None:
    (person.home / "graph.json").write_text(json.dumps(HELLO | {"7": HELLO["1"]}))
    (person.home / "wrong.json").write_text(json.dumps(HELLO | {"7": {"class_type": "EmptyImag", "inputs": {}}}))
    checked = await demo("workflows", "validate", "graph.json")
    assert (checked.status, checked.text) == (0, "valid, 2 images")
    assert 'Node "7" (EmptyImage) feeds no output node' in checked.err
    wrong = await demo("workflows", "validate", "wrong.json")
    assert (wrong.status, wrong.text) == (REFUSED, "not valid")
    assert 'Nearest: "EmptyImage"' in wrong.err
    name = f"w-{secrets.token_hex(4)}"
    saved = await demo("workflows", "save", name, "graph.json", "--parameter", "color=1.color")
    assert (saved.status, saved.text) == (0, f"{name} version 1")
    assert name in (await demo("workflows", "list")).text
    run = await demo("workflows", "run", name, "--param", "color=5", "--random-seed", "--wait", "--json")
    assert (run.objects[0]["status"], run.objects[0]["seeds"]) == ("completed", [])
    assert (await demo("workflows", "delete", name)).status == 0
    assert (await demo("workflows", "show", name)).status == REFUSED


@pytest.mark.requirement("GET /api/v1/auth/keys", "command-line")
@simulated_only
async def test_cli_covers_a_whole_user_session(fleet: Fleet, person: Person) -> None:
    name = f"cli-{secrets.token_hex(4)}"
    assert (await person.runs("whoami")).status == REFUSED
    await person.does("register", name, f"{name}@example.com", "--password-stdin", stdin=f"{PASSWORD}\n")
    wrong = await person.runs("login", name, "--password-stdin", stdin="not this one\n")
    assert (wrong.status, wrong.out) == (REFUSED, b"")
    await person.does("login", name, "--password-stdin", stdin=f"{PASSWORD}\n")
    kept = person.home / "config" / "credentials.json"
    assert stat.S_IMODE(kept.stat().st_mode) == 0o600
    assert PASSWORD not in kept.read_text()

    async def is_known() -> bool:
        return (await person.runs("whoami")).status == 0

    await until(is_known)
    assert name in (await person.does("whoami")).text
    (me,) = (await person.does("whoami", "--json")).objects
    assert (me["username"], me["tier"], me["used_today"]) == (name, "free", 0)
    await asyncio.to_thread(fleet.lift_rate_limit, me["id"])

    key = (await person.does("keys", "create", "box")).text
    (listed,) = (await person.does("keys", "list", "--json")).objects
    assert key.startswith(listed["prefix"])
    by_key = {"COMFYFLEET_KEY": key}

    said = await person.does(
        "submit", "--prompt", "a lighthouse", "--width", "64", "--height", "64", "--steps", "3", "--param", "seed=7",
        "--label", "from=shell", "--wait", "--output", "pictures", **by_key,
    )  # fmt: skip
    job_id, saved = said.text.splitlines()
    async with fleet.client(key) as client:
        picture = (await client.get(f"/jobs/{job_id}/result")).content
    assert (person.home / saved).read_bytes() == picture
    assert (await person.does("result", job_id, "-o", "-")).out == picture
    await person.does("result", job_id, "-o", "one.png", "--index", "0")
    assert (person.home / "one.png").read_bytes() == picture

    upload = (await person.does("upload", saved, **by_key)).text
    drawn = ("submit", "--prompt", "the same at night", "--steps", "4", "--param", f"image={upload}", "--param")
    over = [(await person.does(*drawn, f"denoise={denoise}", **by_key)).text for denoise in (0.3, 0.8)]
    watched = await person.does("watch", *over, **by_key)
    assert watched.text.splitlines() == [f"{one} completed" for one in over]
    assert all(f"{one} completed" in watched.err for one in over)
    await person.does("result", over[0], "-o", "night.png", **by_key)
    night = (person.home / "night.png").read_bytes()
    assert night.startswith(b"\x89PNG")
    assert night != picture

    assert (await person.does("watch", job_id)).text == "completed"
    (job,) = (await person.does("jobs", "--label", "from:shell", "--json")).objects
    assert (job["job_id"], job["status"], job["labels"]) == (job_id, "completed", {"from": "shell"})
    assert job_id in (await person.does("jobs")).text
    assert (await person.does("jobs", "--status", "failed", "--json")).objects == []
    assert "sim_" in (await person.does("models")).text

    async def is_counted() -> bool:
        (day,) = (await person.does("usage", "--json", **by_key)).objects
        return (day["jobs"], day["images"]) == (3, 3) and "POST /api/v1/jobs" in day["endpoints"]

    await until(is_counted)
    await person.does("keys", "revoke", listed["id"])

    async def is_refused() -> bool:
        return (await person.runs("jobs", **by_key)).status == REFUSED

    await until(is_refused)
    assert (await person.does("keys", "list", "--json")).objects == []
    assert (await person.runs("admin", "users")).status == REFUSED
    await person.does("logout")
    assert not kept.exists()
    assert (await person.runs("whoami")).status == REFUSED


async def test_cli_session_is_refreshed_stored_and_sent_to_its_own_server_only(person: Person) -> None:
    name = f"cli-{secrets.token_hex(4)}"
    await person.does("register", name, f"{name}@example.com", "--password-stdin", stdin=f"{PASSWORD}\n")
    await person.does("login", name, "--password-stdin", stdin=f"{PASSWORD}\n")
    kept = person.home / "config" / "credentials.json"
    login = json.loads(kept.read_text())
    kept.write_text(json.dumps(login | {"expires_at": "2026-01-01T00:00:00+00:00"}))
    await person.does("keys", "list")
    renewed = json.loads(kept.read_text())
    assert renewed["refresh_token"] != login["refresh_token"]
    assert renewed["url"] == login["url"]
    assert stat.S_IMODE(kept.stat().st_mode) == 0o600
    other = await person.runs("--url", "http://127.0.0.1:1", "whoami")
    assert other.status == REFUSED
    assert "http://127.0.0.1:1" in other.err


async def test_commands_that_run_at_the_same_time_share_the_session(
    person: Person, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = f"cli-{secrets.token_hex(4)}"
    await person.does("register", name, f"{name}@example.com", "--password-stdin", stdin=f"{PASSWORD}\n")
    await person.does("login", name, "--password-stdin", stdin=f"{PASSWORD}\n")
    monkeypatch.setenv("COMFYFLEET_CONFIG_DIR", str(person.home / "config"))

    def expire_login() -> Login:
        login = login_file.load_login()
        assert login is not None
        expired = replace(login, expires_at=datetime.now(UTC))
        login_file.save_login(expired)
        return expired

    with open_session_client(expire_login()) as long_command:
        for _ in range(2):  # the first token of a session that was refreshed twice is taken for a stolen one
            await person.does("keys", "list")
            expire_login()
        assert await asyncio.to_thread(long_command.keys.list) == ()
        await person.does("keys", "list")


async def test_login_during_a_long_command_is_kept(person: Person, monkeypatch: pytest.MonkeyPatch) -> None:
    first, second = (f"cli-{secrets.token_hex(4)}" for _ in range(2))
    for name in (first, second):
        await person.does("register", name, f"{name}@example.com", "--password-stdin", stdin=f"{PASSWORD}\n")
    await person.does("login", first, "--password-stdin", stdin=f"{PASSWORD}\n")
    monkeypatch.setenv("COMFYFLEET_CONFIG_DIR", str(person.home / "config"))
    login = login_file.load_login()
    assert login is not None
    with open_session_client(replace(login, expires_at=datetime.now(UTC))) as long_command:
        await person.does("login", second, "--password-stdin", stdin=f"{PASSWORD}\n")
        stored = login_file.load_login()
        assert await asyncio.to_thread(long_command.keys.list) == ()
    assert stored is not None
    assert (stored.username, login_file.load_login()) == (second, stored)


async def test_cli_submits_a_workflow_from_a_file_or_stdin(person: Person, demo: Callable[..., Any]) -> None:
    (person.home / "hello.json").write_text(json.dumps(HELLO))
    named = ("--idempotency-key", f"cli-{secrets.token_hex(4)}")
    first = await demo("submit", "--workflow", "hello.json", *named, "--json")
    again = await demo("submit", "--workflow", "-", *named, "--watch", stdin=json.dumps(HELLO))
    assert (first.status, again.status) == (0, 0)
    assert first.objects[0]["job_id"] == again.text
    events = (await demo("watch", again.text, "--json")).objects
    assert [events[0]["type"], events[-1]["type"]] == ["snapshot", "end"]
    (job,) = (await demo("submit", "--workflow", "hello.json", "--wait", "--json")).objects
    assert job["status"] == "completed"


@simulated_only
async def test_cli_exits_with_1_for_a_failed_job(demo: Callable[..., Any], person: Person) -> None:
    (person.home / "slow.json").write_text(json.dumps(slow(60)))
    job_id = (await demo("submit", "--workflow", "slow.json")).text
    watching = asyncio.create_task(demo("watch", job_id))
    assert (await demo("cancel", job_id)).text == "cancelled"
    watched = await watching
    assert (watched.status, watched.text) == (1, "cancelled")
    assert job_id in watched.err
    assert (await demo("result", job_id, "-o", "none.png")).status == REFUSED
    assert not (person.home / "none.png").exists()
    (person.home / "folder").mkdir()
    saved = await demo("result", job_id, "-o", "folder")
    assert (saved.status, saved.out) == (REFUSED, b"")
    assert "comfyfleet: " in saved.err
    assert not list((person.home / "folder").iterdir())


async def test_cli_exits_with_3_and_prints_every_validation_error(demo: Callable[..., Any]) -> None:
    said = await demo("submit", "--prompt", "a cat", "--width", "65", "--steps", "0")
    assert (said.status, said.out) == (REFUSED, b"")
    assert {"/width", "/steps"} <= {line.strip().partition(":")[0] for line in said.err.splitlines()}
    graph = {"1": {"class_type": "NoSuchNode", "inputs": {}}}
    said = await demo("submit", "--workflow", "-", stdin=json.dumps(graph))
    assert said.status == REFUSED
    assert "node 1" in said.err
    unknown = (("cancel", "nope"), ("watch", "nope"), ("result", "nope", "-o", "x"), ("keys", "revoke", "nope"))
    for said in await asyncio.gather(*(demo(*command) for command in unknown)):
        assert (said.status, said.out) == (REFUSED, b"")
        assert said.err.startswith("comfyfleet: ")


async def test_cli_exits_with_4_for_an_unreachable_server(person: Person) -> None:
    said = await person.runs("--url", "http://127.0.0.1:1", "whoami", COMFYFLEET_KEY="k")
    assert (said.status, said.out) == (UNAVAILABLE, b"")
    assert said.err.count("\n") == 1


async def test_cli_admin_changes_users_by_name(fleet: Fleet, person: Person) -> None:
    name = f"cli-{secrets.token_hex(4)}"
    await person.does("register", name, f"{name}@example.com", "--password-stdin", stdin=f"{PASSWORD}\n")
    key = {"COMFYFLEET_KEY": fleet.credentials["admin_key"]}
    (user,) = (await person.does("admin", "users", "--search", name, "--json", **key)).objects
    assert (user["username"], user["tier"], user["is_active"]) == (name, "free", True)
    await person.does("admin", "set-tier", name, "pro", **key)
    await person.does("admin", "deactivate", user["id"], **key)
    (user,) = (await person.does("admin", "users", "--search", name, "--inactive", "--json", **key)).objects
    assert (user["tier"], user["is_active"]) == ("pro", False)
    await person.does("admin", "activate", name, **key)
    assert (await person.runs("admin", "set-tier", "nobody-at-all", "pro", **key)).status == REFUSED
    assert (await person.runs("admin", "set-tier", name, "golden", **key)).status == REFUSED
    tiers = {tier["name"]: tier["limits"] for tier in (await person.does("admin", "tiers", "--json", **key)).objects}
    assert tiers["free"]["images_per_day"] == 10
    shown = await person.does("admin", "set-limits", "basic", f"queue_cap={tiers['basic']['queue_cap']}", **key)
    assert "basic" in shown.text
    assert (await person.runs("admin", "set-limits", "basic", "colour=1", **key)).status == REFUSED


@pytest.mark.requirement(
    "GET /api/v1/admin/class-rules",
    "PUT /api/v1/admin/class-rules/classes/{class_name}",
    "DELETE /api/v1/admin/class-rules/classes/{class_name}",
    "PUT /api/v1/admin/class-rules/packs/{pack}",
    "DELETE /api/v1/admin/class-rules/packs/{pack}",
    "table auth.class_rules",
)
async def test_cli_admin_allows_and_denies_node_classes(fleet: Fleet, person: Person) -> None:
    key = {"COMFYFLEET_KEY": fleet.credentials["admin_key"]}
    name, pack = f"Wildcard //{secrets.token_hex(3)} (cli)", f"custom_nodes.{secrets.token_hex(3)}"
    assert name in (await person.does("admin", "allow-class", name, **key)).text
    (rules,) = (await person.does("admin", "deny-pack", pack, "--json", **key)).objects
    assert name in rules["allowed_classes"]
    assert pack in rules["denied_packs"]
    shown = (await person.does("admin", "class-rules", **key)).text
    assert re.search(rf"denied packs +{re.escape(pack)} +admin", shown)
    (rules,) = (await person.does("admin", "deny-class", name, "--json", **key)).objects
    assert name in rules["denied_classes"]
    await person.does("admin", "allow-pack", pack, **key)
    await person.does("admin", "reset-class", name, **key)
    (rules,) = (await person.does("admin", "reset-pack", pack, "--json", **key)).objects
    assert not {name, pack} & {one for field in rules.values() for one in field}
    assert (await person.runs("admin", "deny-class", "two\tcolumns", **key)).status == REFUSED
    assert (await person.runs("admin", "deny-class", name)).status == REFUSED


async def test_cli_admin_sets_limits_of_a_user(fleet: Fleet, person: Person) -> None:
    key, name = {"COMFYFLEET_KEY": fleet.credentials["admin_key"]}, f"cli-{secrets.token_hex(4)}"
    await person.does("register", name, f"{name}@example.com", "--password-stdin", stdin=f"{PASSWORD}\n")
    await person.does("admin", "set-own-limits", name, "graph_policy=open", "run_seconds=60", **key)
    await person.does("admin", "set-own-limits", name, "graph_pixels=null", **key)
    (user,) = (await person.does("admin", "users", "--search", name, "--json", **key)).objects
    assert user["own_limits"] == ["graph_policy", "graph_pixels", "run_seconds"]
    assert [user["limits"][limit] for limit in user["own_limits"]] == ["open", None, 60]
    await person.does("admin", "unshare-quota", name, **key)
    assert "tier free" in (await person.does("admin", "reset-own-limits", name, **key)).text
    (user,) = (await person.does("admin", "users", "--search", name, "--json", **key)).objects
    assert (user["own_limits"], user["limits"]["graph_policy"]) == ([], "strict")
    assert (await person.runs("admin", "set-own-limits", name, "graph_policy=loose", **key)).status == REFUSED
    shown = (await person.does("admin", "tiers", **key)).text
    assert re.search(r"graph_policy +strict +strict +strict +open", shown)


async def test_first_admin_of_a_local_stack_may_run_every_class(fleet: Fleet, person: Person) -> None:
    (me,) = (await person.does("whoami", "--json", COMFYFLEET_KEY=fleet.key)).objects
    assert (me["tier"], me["limits"]["graph_policy"]) == ("pro", "open")
    assert re.search(r"graph policy +open", (await person.does("whoami", COMFYFLEET_KEY=fleet.key)).text)
