"""Response bodies for class rules and invites."""

from collections.abc import Iterable
from datetime import datetime
from typing import Any
from uuid import UUID

from pydantic import BaseModel, ConfigDict

from contracts.auth.invites import CreatedInvite, Invite
from contracts.auth.tiers import Tier
from contracts.graph_policy.policy import OperatorRules

_NO_RULES: dict[str, list[str]] = {
    "allowed_classes": [], "denied_classes": [], "allowed_packs": [], "denied_packs": [],
}  # fmt: skip
_RULES = _NO_RULES | {"allowed_classes": ["RegexMatch"], "denied_packs": ["custom_nodes.my_pack"]}
_INVITE = {
    "id": "0199f2b0-7c3e-7a51-9d24-5a1be0c0ffee",
    "tier": "basic",
    "created_by": "0199f2b0-7c3e-7a51-9d24-5a1be0c0aaaa",
    "created_at": "2026-11-23T09:00:00Z",
    "expires_at": "2026-11-30T09:00:00Z",
}


def _with_example(example: dict[str, Any]) -> ConfigDict:
    return ConfigDict(json_schema_extra={"examples": [example]})


class RulesBody(BaseModel):
    """Rules about node classes and packs, by name."""

    model_config = _with_example(_NO_RULES)

    allowed_classes: list[str]
    denied_classes: list[str]
    allowed_packs: list[str]
    denied_packs: list[str]


class ClassRulesBody(RulesBody):
    """The rules in force.

    A denial overrides an allowance. Rules under ``from_settings`` cannot be changed by the API.
    """

    model_config = _with_example(_RULES | {"from_settings": _NO_RULES | {"denied_packs": ["custom_nodes.my_pack"]}})

    from_settings: RulesBody


class InviteBody(BaseModel):
    """An invite without its token. ``used_by`` is the account that it created, or null."""

    model_config = _with_example(_INVITE | {"used_by": None, "used_at": None})

    id: UUID
    tier: Tier
    created_by: UUID | None
    created_at: datetime
    expires_at: datetime
    used_by: UUID | None
    used_at: datetime | None


class InvitesBody(BaseModel):
    """A page of invites, newest first. ``next_cursor`` is null on the last page."""

    invites: list[InviteBody]
    next_cursor: str | None


class CreatedInviteBody(BaseModel):
    """A new invite. ``invite`` is its token, shown only in this response: send it as ``invite`` to register."""

    model_config = _with_example(_INVITE | {"invite": "cfi_…"})

    id: UUID
    invite: str
    tier: Tier
    created_by: UUID | None
    created_at: datetime
    expires_at: datetime


def build_class_rules_body(rules: OperatorRules) -> ClassRulesBody:
    return ClassRulesBody.model_validate(rules.model_dump(mode="json"))


def build_invites_body(invites: Iterable[Invite], next_cursor: str | None) -> InvitesBody:
    return InvitesBody(invites=[InviteBody(**invite.model_dump()) for invite in invites], next_cursor=next_cursor)


def build_created_invite_body(created: CreatedInvite) -> CreatedInviteBody:
    fields = created.invite.model_dump(exclude={"used_by", "used_at"})
    return CreatedInviteBody(invite=created.token.get_secret_value(), **fields)
