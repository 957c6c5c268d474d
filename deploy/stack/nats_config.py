"""Renders the NATS server's configuration, without I/O: one user per service, one account per external system.

Permissions come from ``contracts.permissions``. The same text serves one machine and docker-compose: a password is a
literal, or ``$NAME``, which the server reads from its environment.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass, field

from contracts.permissions import NATS_API_FEEDS, NATS_API_REQUESTS, Permissions, build_permissions
from contracts.registry import SERVICES

ANSWER_WITHIN = "30s"  # longer than any Rpc.timeout_s


@dataclass(frozen=True, slots=True)
class ExternalSystem:
    """An external system: its account, its login, and the tenant that the server sets in its subjects."""

    account: str
    user: str
    password: str
    tenant: str


@dataclass(frozen=True, slots=True)
class NatsPlan:
    """The input of the configuration.

    Attributes:
        passwords: password by login: one for each name that ``logins()`` returns, and "sys" for the system account.
        nodes: names of the ComfyUI nodes; each executor's login is restricted to one.
        listen: host:port for clients.
        monitor: host:port of the monitoring pages, which need no login.
        store: JetStream's directory.
        next_passwords: passwords of second logins, by login: "auth" adds "auth-next" with the permissions of "auth".
            While a password is being changed, both work.
        max_file_store: disk space for JetStream, or ``$NAME`` from the environment.
    """

    passwords: dict[str, str]
    nodes: tuple[str, ...]
    outside: tuple[ExternalSystem, ...]
    listen: str
    monitor: str
    store: str
    max_file_store: str = "8GB"
    server_name: str = "comfyfleet"
    next_passwords: dict[str, str] = field(default_factory=dict)


def logins(nodes: tuple[str, ...]) -> Iterator[tuple[str, str, str | None]]:
    """Return every internal login: its name, its service, and its node if it has one."""
    for service in SERVICES:
        if service == "executor":
            yield from ((f"executor-{node}", service, node) for node in nodes)
        else:
            yield service, service, None


def render(plan: NatsPlan) -> str:
    """Return the configuration file."""
    return "\n".join([
        "# Made by `stack.nats_config` from contracts/. Do not edit.",
        f"server_name: {_quote_text(plan.server_name)}",
        f"listen: {_quote_text(plan.listen)}",
        f"http: {_quote_text(plan.monitor)}",
        "max_payload: 16MB",
        "jetstream {",
        f"  store_dir: {_quote_text(plan.store)}",
        "  sync_interval: always",  # by default the server acknowledges up to two minutes before it syncs
        f"  max_file_store: {plan.max_file_store}",
        "  max_memory_store: 256M",
        "}",
        "system_account: SYS",
        "accounts {",
        f"  SYS {{ users: [ {{ user: sys, password: {_format_password(plan.passwords['sys'])} }} ] }}",
        *_render_accounts(plan),
        *(line for outside in plan.outside for line in _build_external_account(outside)),
        "}",
        "",
    ])  # fmt: skip


def _render_accounts(plan: NatsPlan) -> Iterator[str]:
    yield "  CORE {"
    yield "    jetstream: enabled"
    yield "    exports: ["
    for outside in plan.outside:
        yield from (f"      {export}" for export in _render_exports(outside))
    yield "    ]"
    yield "    users: ["
    for login, service, node in logins(plan.nodes):
        passwords = {login: plan.passwords[login]}
        if login in plan.next_passwords:
            passwords[f"{login}-next"] = plan.next_passwords[login]
        for user, password in passwords.items():
            yield f"      {{ user: {_quote_text(user)}, password: {_format_password(password)}, permissions: {{"
            yield from (f"        {line}" for line in _render_permissions(build_permissions(service, node)))
            yield "      } }"
    yield "    ]"
    yield "  }"


def _render_exports(outside: ExternalSystem) -> Iterator[str]:
    """Export each tenant's subjects only to the account that acts for the tenant."""
    for topic in NATS_API_REQUESTS.values():
        yield f"{{ service: {_quote_text(topic.subject(outside.tenant))}, accounts: [ {outside.account} ] }}"
    for feed in NATS_API_FEEDS.values():
        yield f"{{ stream: {_quote_text(f'{feed.name}.{outside.tenant}.>')}, accounts: [ {outside.account} ] }}"


def _render_permissions(permissions: Permissions) -> Iterator[str]:
    # An empty allow list would allow everything.
    yield f"publish: {_format_list(permissions.publish)}" if permissions.publish else 'publish: { deny: [ ">" ] }'
    yield f"subscribe: {_format_list(permissions.subscribe)}"
    if permissions.may_reply:
        yield f'allow_responses: {{ max: 1, expires: "{ANSWER_WITHIN}" }}'


def _build_external_account(outside: ExternalSystem) -> Iterator[str]:
    """Return an account that reaches only its own tenant's subjects; the server sets the tenant."""
    feeds = [f"{local}.>" for local in NATS_API_FEEDS]
    yield f"  {outside.account} {{"
    yield "    imports: ["
    for local, topic in NATS_API_REQUESTS.items():
        subject = _quote_text(topic.subject(outside.tenant))
        yield f"      {{ service: {{ account: CORE, subject: {subject} }}, to: {_quote_text(local)} }}"
    for local, feed in zip(feeds, NATS_API_FEEDS.values(), strict=True):
        subject = _quote_text(f"{feed.name}.{outside.tenant}.>")
        yield f"      {{ stream: {{ account: CORE, subject: {subject} }}, to: {_quote_text(local)} }}"
    yield "    ]"
    user, password = _quote_text(outside.user), _format_password(outside.password)
    yield f"    users: [ {{ user: {user}, password: {password}, permissions: {{"
    yield f"      publish: {_format_list(tuple(NATS_API_REQUESTS))}"
    yield f"      subscribe: {_format_list(('_INBOX.>', *feeds))}"
    yield "    } } ]"
    yield "  }"


def _format_list(subjects: tuple[str, ...]) -> str:
    return f"[ {', '.join(map(_quote_text, subjects))} ]"


def _quote_text(text: str) -> str:
    return json.dumps(text)


def _format_password(password: str) -> str:
    """Format a password. A reference to the environment must not be quoted, or it would be taken literally."""
    return password if password.startswith("$") else _quote_text(password)
