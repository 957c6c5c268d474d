"""Admin commands about class rules, invites and limits of single users."""

from collections.abc import Callable, Iterable
from dataclasses import fields
from itertools import islice
from typing import Annotated

import typer

from comfyfleet_client.access_results import ClassRules, Invite, Rules
from comfyfleet_client.cli import parameters, show
from comfyfleet_client.cli.account_commands import JsonOption
from comfyfleet_client.cli.admin_commands import UserArgument, app, find_user_id
from comfyfleet_client.cli.connection import open_client
from comfyfleet_client.results import Account

__all__ = ["app"]  # admin commands, including those of this module

NameArgument = Annotated[str, typer.Argument(help="A node class, or a pack such as custom_nodes.my_pack.")]


@app.command("class-rules")
def class_rules(context: typer.Context, *, json: JsonOption = False) -> None:
    """List the rules about node classes and packs."""
    with open_client(context) as client:
        _show_rules(client.admin.class_rules(), json=json)


def _add_rule_command(verb: str, kind: str, help_: str) -> None:
    def command(context: typer.Context, name: NameArgument, *, json: JsonOption = False) -> None:
        with open_client(context) as client:
            change: Callable[[str], ClassRules] = getattr(client.admin, f"{verb}_{kind}")
            _show_rules(change(name), json=json)

    app.command(f"{verb}-{kind}", help=help_)(command)


_add_rule_command("allow", "class", "Allow a node class for every tenant, unless a rule denies it.")
_add_rule_command("deny", "class", "Deny a node class for every tenant.")
_add_rule_command("reset", "class", "Remove the rule about a node class.")
_add_rule_command("allow", "pack", "Allow the classes of a pack for every tenant, unless a rule denies them.")
_add_rule_command("deny", "pack", "Deny the classes of a pack for every tenant.")
_add_rule_command("reset", "pack", "Remove the rule about a pack.")


@app.command()
def invites(
    context: typer.Context,
    *,
    limit: Annotated[int, typer.Option("--limit", "-n", min=1, help="Maximum number of results.")] = 20,
    json: JsonOption = False,
) -> None:
    """List invites, newest first."""
    with open_client(context) as client:
        found = list(islice(client.admin.invites(page_size=min(limit, 100)), limit))
    if json:
        for invite in found:
            show.print_json(invite)
    else:
        _show_invites(found)


@app.command()
def invite(
    context: typer.Context,
    *,
    tier: Annotated[str | None, typer.Option(help="Tier of the account; free by default.")] = None,
    days: Annotated[
        int | None, typer.Option(min=1, max=90, help="Days until the invite expires; 7 by default.")
    ] = None,
    json: JsonOption = False,
) -> None:
    """Create an invite and print its token, which is shown only once."""
    with open_client(context) as client:
        created = client.admin.create_invite(tier=tier, expires_in_days=days)
    if json:
        show.print_json(created)
    else:
        show.print_note(
            f"Invite {created.id} (tier {created.tier}), until {show.format_time(created.expires_at)}. "
            "It is not shown again:"
        )
        typer.echo(created.invite)


@app.command()
def revoke_invite(
    context: typer.Context, invite_id: Annotated[str, typer.Argument(metavar="INVITE", help="Id of the invite.")]
) -> None:
    """Revoke an invite."""
    with open_client(context) as client:
        client.admin.revoke_invite(invite_id)
    typer.echo(f"Invite {invite_id} is revoked.")


@app.command()
def set_own_limits(
    context: typer.Context,
    user: UserArgument,
    limit: Annotated[
        list[str], typer.Argument(metavar="NAME=VALUE…", help="For example graph_policy=open; null for no limit.")
    ],
) -> None:
    """Override limits of the tier for a user; existing overrides stay."""
    with open_client(context) as client:
        before = client.admin.user(find_user_id(client, user))
        own = {name: getattr(before.limits, name) for name in before.own_limits if hasattr(before.limits, name)}
        _print_own_limits(client.admin.change_user(before.id, limits=own | parameters.parse_values(limit)))


@app.command()
def reset_own_limits(context: typer.Context, user: UserArgument) -> None:
    """Remove a user's overrides, so that the limits of the tier apply again."""
    with open_client(context) as client:
        _print_own_limits(client.admin.change_user(find_user_id(client, user), limits={}))


@app.command()
def unshare_quota(context: typer.Context, user: UserArgument) -> None:
    """Give a user a daily image quota of its own, although others registered from the same address."""
    with open_client(context) as client:
        changed = client.admin.change_user(find_user_id(client, user), shares_quota=False)
    typer.echo(f"{changed.username} has a daily image quota of its own.")


def _print_own_limits(user: Account) -> None:
    own = ", ".join(f"{name}={getattr(user.limits, name, '?')}" for name in user.own_limits)
    typer.echo(f"{user.username} has {own or 'the limits of tier ' + user.tier}.")


def _show_rules(rules: ClassRules, *, json: bool) -> None:
    if json:
        show.print_json(rules)
        return
    fixed = rules.from_settings
    rows = [
        (each.name.replace("_", " "), name, "settings" if name in getattr(fixed, each.name) else "admin")
        for each in fields(Rules)
        for name in getattr(rules, each.name)
    ]
    show.table(("rule", "name", "from"), rows)


def _show_invites(invites: Iterable[Invite]) -> None:
    rows = [
        (
            invite.id,
            invite.tier,
            show.format_time(invite.created_at),
            show.format_time(invite.expires_at),
            invite.used_by or "-",
        )
        for invite in invites
    ]
    show.table(("id", "tier", "created", "expires", "used by"), rows)
