"""Admin calls about class rules and invites."""

from urllib.parse import quote

from comfyfleet_client.access_results import ClassRules, InvitePage, NewInvite
from comfyfleet_client.call import Call, Request, build_parser, omit_none, parse_empty, quote_segment

CLASSES, PACKS = "classes", "packs"


def read_class_rules() -> Call[ClassRules]:
    return Call(Request("GET", "/admin/class-rules"), build_parser(ClassRules))


def set_class_rule(kind: str, name: str, verdict: str) -> Call[ClassRules]:
    """Allow or deny a class or a pack."""
    return Call(Request("PUT", _build_rule_path(kind, name), body={"verdict": verdict}), build_parser(ClassRules))


def reset_class_rule(kind: str, name: str) -> Call[ClassRules]:
    return Call(Request("DELETE", _build_rule_path(kind, name)), build_parser(ClassRules))


def create_invite(tier: str | None, expires_in_days: int | None) -> Call[NewInvite]:
    body = omit_none(tier=tier, expires_in_days=expires_in_days)
    return Call(Request("POST", "/admin/invites", body=body, repeatable=False), build_parser(NewInvite))


def list_invites(*, limit: int | None = None, cursor: str | None = None) -> Call[InvitePage]:
    return Call(Request("GET", "/admin/invites", query=omit_none(limit=limit, cursor=cursor)), build_parser(InvitePage))


def revoke_invite(invite_id: str) -> Call[None]:
    return Call(Request("DELETE", f"/admin/invites/{quote_segment(invite_id)}"), parse_empty)


def _build_rule_path(kind: str, name: str) -> str:
    """Escape a name for a path, including slashes and names of dots only."""
    escaped = quote(name, safe="") if name.strip(".") else name.replace(".", "%2E")
    return f"/admin/class-rules/{kind}/{escaped}"
