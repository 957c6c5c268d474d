"""Describes what a change of a tier or of a user would do."""

from collections.abc import Mapping
from typing import Any

from auth.domain.user_state import UserState
from contracts.auth.accounts import Role
from contracts.auth.tiers import Limits
from contracts.graph_policy.policy import GraphPolicy
from contracts.preview import NO_EFFECT, Effect, FieldChange, Preview


def list_changed_fields(before: Mapping[str, Any], after: Mapping[str, Any]) -> tuple[FieldChange, ...]:
    """List the fields that differ."""
    return tuple(
        FieldChange(field=name, before=before[name], after=after[name]) for name in after if before[name] != after[name]
    )


def preview_tier_change(before: Limits, after: Limits, *, affected: int, unaffected: int) -> Preview:
    """Return what a change of a tier would do.

    Args:
        affected: number of users of the tier who do not override all of the changed limits.
        unaffected: number of all other users of the tier.
    """
    changes = list_changed_fields(before.model_dump(mode="json"), after.model_dump(mode="json"))
    if not changes:
        return Preview(effects=(_NO_CHANGE,))
    effects = [
        Effect(
            code="users_affected", message=f"{_format_subject(affected)} new limits within a second.", count=affected
        ),
    ]
    if unaffected:
        message = f"{_format_subject(unaffected, 'keep', 'keeps')} own limits, which this change does not touch."
        effects.append(Effect(code="users_unaffected", message=message, count=unaffected))
    return Preview(effects=(*effects, *_list_effects_of_limits(before, after)), changes=changes)


def preview_user_change(
    before: UserState, after: UserState, limits_before: Limits, limits_after: Limits, *, sessions: int
) -> Preview:
    """Return what a change of a user would do. ``sessions``: number of its open sessions."""
    names = ("tier", "role", "is_active", "shares_quota")
    changes = list_changed_fields(
        {name: before.as_json()[name] for name in names}, {name: after.as_json()[name] for name in names}
    ) + tuple(
        change.model_copy(update={"field": f"limits.{change.field}"})
        for change in list_changed_fields(limits_before.model_dump(mode="json"), limits_after.model_dump(mode="json"))
    )
    effects = list(_list_effects_of_limits(limits_before, limits_after))
    if before.is_active and not after.is_active:
        message = (
            "The user is refused with every credential within a second, and its open sessions end. "
            "Its API keys work again once it is reactivated."
        )
        effects.append(Effect(code="access_ended", message=message, count=sessions))
    if after.is_active and not before.is_active:
        effects.append(Effect(code="access_restored", message="The user can log in, and its API keys work again."))
    if after.role is Role.ADMIN and before.role is not Role.ADMIN:
        message = "The user can read and change everything on this server."
        effects.append(Effect(code="admin_granted", message=message))
    if before.role is Role.ADMIN and after.role is not Role.ADMIN:
        effects.append(Effect(code="admin_removed", message="The user loses access to all admin routes."))
    if before.own_limits != after.own_limits and not changes:
        message = "The user's own limits change, but each has the same value as the limit that applies now."
        effects.append(Effect(code="own_limits_changed", message=message))
    if not effects and not changes:
        effects.append(_NO_CHANGE)
    return Preview(effects=tuple(effects), changes=changes)


def _list_effects_of_limits(before: Limits, after: Limits) -> list[Effect]:
    effects = []
    if _is_shorter(after.result_days, before.result_days):
        message = f"Jobs that ended more than {after.result_days} days ago are deleted permanently, with their outputs."
        effects.append(Effect(code="results_deleted", message=message))
    if _is_shorter(after.upload_days, before.upload_days):
        message = f"Uploads that no job has used for {after.upload_days} days are deleted permanently."
        effects.append(Effect(code="uploads_deleted", message=message))
    if after.graph_policy is GraphPolicy.OPEN and before.graph_policy is not GraphPolicy.OPEN:
        message = "Workflows may use every node class that no rule denies."
        effects.append(Effect(code="graph_policy_opened", message=message))
    return effects


def _is_shorter(days: int | None, than: int | None) -> bool:
    return days is not None and (than is None or days < than)


def _format_subject(users: int, plural_verb: str = "get", singular_verb: str = "gets") -> str:
    return f"1 user {singular_verb}" if users == 1 else f"{users} users {plural_verb}"


_NO_CHANGE = Effect(code=NO_EFFECT, message="Nothing changes.")
